"""Vote on a run of the history, take the last vote back, read the standings."""

import re
from collections.abc import Mapping

from qeu.core.errors import QeuError, UsageError
from qeu.core.language import identify
from qeu.core.votes import Standings, Vote, make_standings
from qeu.services.compare import SIDES, Comparison
from qeu.store.history import StoredComparison, get_comparison
from qeu.store.votes import add_vote, find_vote, list_votes, undo_vote
from qeu.store.workspace import Workspace

LONGEST_NOTE = 2_000
# As much of a question as its language is read from.
_ENOUGH = 200
_VOTER = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_PARTS: Mapping[str, frozenset[str]] = {
    "answer": frozenset({"answer"}),
    "reasoning": frozenset({"reasoning"}),
    "reasoning_task": frozenset({"reasoning"}),
    "both": frozenset({"reasoning", "answer"}),
}


def cast_vote(
    workspace: Workspace,
    run: int,
    better: str,
    *,
    acceptable: Mapping[str, bool | None] | None = None,
    swapped: bool = False,
    blind: bool = True,
    note: str = "",
    seconds: float = 0.0,
    voter: str = "",
    visitor: str = "",
) -> tuple[Vote, bool]:
    """Store a verdict on a run; (the voter's vote on it, whether it is this one).

    `better`, `acceptable` name the run's sides, wherever they were shown. Raises QeuError where
    there is no such run or no two texts to choose from, UsageError for values that mean nothing.
    """
    stored = get_comparison(workspace, run, visitor)
    if why := why_no_vote(stored):
        raise QeuError(why)
    if not _VOTER.fullmatch(voter):
        raise UsageError("A voter's name has at most 64 letters, digits, dots and hyphens.")
    comparison, told = Comparison.from_json(stored.settings), acceptable or {}
    left_as, right_as = differences(comparison)
    vote = Vote(
        run=run,
        left=side_model(stored, "left"),
        right=side_model(stored, "right"),
        better=better,
        left_ok=told.get("left"),
        right_ok=told.get("right"),
        swapped=swapped,
        blind=blind,
        left_as=left_as,
        right_as=right_as,
        category=comparison.category,
        language=identify(stored.question[:_ENOUGH])[0],
        note=note.strip()[:LONGEST_NOTE],
        seconds=round(seconds, 1),
        voter=voter,
    )
    if wrong := vote.problems():
        raise UsageError(wrong[0])
    return add_vote(workspace, vote, visitor)


def take_back(workspace: Workspace, voter: str = "", visitor: str = "") -> Vote:
    """Undo the voter's last vote; raises QeuError where there is none."""
    return undo_vote(workspace, voter, visitor)


def voted_on(workspace: Workspace, run: int, voter: str = "") -> Vote | None:
    """The voter's vote on a run, if it stands."""
    return find_vote(workspace, run, voter)


def read_standings(workspace: Workspace, visitor: str = "") -> Standings:
    """What all votes tell."""
    return make_standings(list_votes(workspace, visitor))


def why_no_vote(stored: StoredComparison) -> str:
    """Why a run cannot be voted on, as a sentence; "" where it can."""
    for side in SIDES:
        result = side_result(stored, side)
        if result.get("finish_reason") == "error":
            failed = "One side failed, so there is no vote."
            return f"{failed} {result.get('error') or ''}".strip()
    target = shared_target(Comparison.from_json(stored.settings))
    part = {"answer": "answer", "reasoning": "reasoning"}.get(target, "text")
    for side in SIDES:
        if not str(side_result(stored, side).get(part) or "").strip():
            return (
                "One side wrote nothing that can be compared: it was stopped, or its tokens ended "
                "before the answer. Allow more tokens, or ask another question."
            )
    return ""


def shared_target(comparison: Comparison) -> str:
    """What both sides wrote and can be held against each other; "" where that is nothing."""
    left, right = comparison.left.target, comparison.right.target
    if left == right:
        return left
    parts = [_PARTS[target] for target in (left, right)]
    shared = parts[0] & parts[1]
    return "answer" if "answer" in shared else "reasoning" if shared else ""


def given_reasoning(comparison: Comparison, side: str) -> str:
    """The given reasoning that a side was really shown: only an answer follows one."""
    settings = comparison.side(side)
    is_shown = settings.use_reasoning and settings.target == "answer"
    return comparison.reasoning.strip() if is_shown else ""


def differences(comparison: Comparison) -> tuple[str, str]:
    """What was set on each side and not on the other, in words of the command line.

    The models are left out: they name the sides. Seeds are left out: they are drawn.
    """
    found: dict[str, list[str]] = {side: [] for side in SIDES}
    for name in ("role", "target", "layout"):
        values = {side: str(getattr(comparison.side(side), name)) for side in SIDES}
        for side, value in values.items():
            if values["left"] != values["right"]:
                found[side].append(f"{name} {value or 'own'}")
    given = {side: bool(given_reasoning(comparison, side)) for side in SIDES}
    if given["left"] != given["right"] and comparison.left.target == comparison.right.target:
        for side in SIDES:
            found[side].append("reasoning" if given[side] else "no-reasoning")
    sampling = {
        side: (comparison.side(side).sampling or comparison.sampling).to_json() for side in SIDES
    }
    for name, value in sampling["left"].items():
        if name != "seed" and value != sampling["right"][name]:
            for side in SIDES:
                found[side].append(f"{name.replace('_', '-')} {sampling[side][name]}")
    return ", ".join(found["left"]), ", ".join(found["right"])


def side_model(stored: StoredComparison, side: str) -> str:
    """MODEL or MODEL@ADAPTER that wrote a side."""
    result = side_result(stored, side)
    adapter = result.get("adapter")
    return f"{result.get('model')}{f'@{adapter}' if adapter else ''}"


def side_result(stored: StoredComparison, side: str) -> Mapping[str, object]:
    """What a run holds of a side; empty where it holds nothing."""
    result = stored.results.get(side)
    return result if isinstance(result, Mapping) else {}
