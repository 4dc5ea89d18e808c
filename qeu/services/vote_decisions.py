"""What the votes on each run decided, and the two texts of it that can be held against each other.

Several people may vote on one run: the majority counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qeu.core.prompts import Rendered, render
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.votes import Vote
from qeu.services.compare import SIDES, Comparison
from qeu.services.votes import given_reasoning, shared_target, side_result
from qeu.store.history import StoredComparison, get_comparison
from qeu.store.votes import list_votes
from qeu.store.workspace import Workspace

# Why a run that was voted on gives nothing to learn from: all called it equal, the voters were
# split, the better text is not acceptable, a side was stopped, both wrote the same, they were
# asked for different things, or the question is kept for testing.
LEFT_OUT = ("equal", "split", "unacceptable", "stopped", "same", "different", "held_out")


@dataclass(frozen=True)
class Decided:
    """A run with a winner: what was asked, what both sides wrote of it, and the votes."""

    stored: StoredComparison
    votes: Sequence[Vote]
    winner: str
    target: str
    role: Role
    logician: Role
    record: Record
    reduced: bool
    texts: Mapping[str, Record] = field(repr=False)

    @property
    def loser(self) -> str:
        """The other side."""
        return "right" if self.winner == "left" else "left"

    def rendered(self, side: str, layout: str) -> Rendered:
        """The prompt, and a side's text as it follows it in training."""
        return render(self.texts[side], layout, self.role, self.target, self.logician)


def decide(workspace: Workspace, visitor: str = "") -> Iterator[Decided | str]:
    """Each run that was voted on, in their order: what was decided, or why nothing was."""
    runs: dict[int, list[Vote]] = {}
    for vote in list_votes(workspace, visitor):
        runs.setdefault(vote.run, []).append(vote)
    for run, votes in sorted(runs.items()):
        yield _decide(get_comparison(workspace, run, visitor), votes)


def _decide(stored: StoredComparison, votes: Sequence[Vote]) -> Decided | str:
    counts = {side: sum(vote.better == side for vote in votes) for side in SIDES}
    if not any(counts.values()):
        return "equal"
    if counts["left"] == counts["right"]:
        return "split"
    winner = max(SIDES, key=counts.__getitem__)
    if any(vote.acceptable[winner] is False for vote in votes):
        return "unacceptable"
    results = {side: side_result(stored, side) for side in SIDES}
    if any(result.get("finish_reason") == "cancelled" for result in results.values()):
        return "stopped"
    comparison = Comparison.from_json(stored.settings)
    target = shared_target(comparison)
    if not target:
        return "different"
    asked = Record(
        instruction=comparison.instruction,
        input=comparison.input,
        output=comparison.reference,
        category=comparison.category,
        language=votes[0].language or "und",
    )
    role, given, reduced = _shared(comparison)
    if target == "answer":
        asked = replace(asked, reasoning=given, output="")
    texts = {side: _written(asked, results[side], target) for side in SIDES}
    if any(not _text(texts[side], target) for side in SIDES):
        return "different"
    if _text(texts["left"], target) == _text(texts["right"], target):
        return "same"
    logician = comparison.role("logician")
    return Decided(stored, votes, winner, target, role, logician, asked, reduced, texts)


def _shared(comparison: Comparison) -> tuple[Role, str, bool]:
    """(role, given reasoning, whether something was left out) that hold for both sides."""
    left, right = comparison.left, comparison.right
    same_role = left.role == right.role
    role = comparison.role(left.role) if same_role else Role(left.role, "")
    same_given = given_reasoning(comparison, "left") == given_reasoning(comparison, "right")
    given = given_reasoning(comparison, "left") if same_given else ""
    return role, given, not (same_role and same_given and left.target == right.target)


def _written(asked: Record, result: Mapping[str, object], target: str) -> Record:
    """The record with what a side wrote in its place."""
    reasoning, answer = (str(result.get(name) or "").strip() for name in ("reasoning", "answer"))
    if target == "answer":
        return replace(asked, output=answer)
    return replace(asked, reasoning=reasoning, output=answer if target == "both" else asked.output)


def _text(record: Record, target: str) -> str:
    """What a side wrote, as one text; "" where a part of it is missing."""
    if target == "both":
        return f"{record.reasoning}\n\n{record.output}" if record.output else ""
    return record.output if target == "answer" else record.reasoning
