"""What is learned of the records, and with whose reasoning: the switches of a training run."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qeu.core.record import Record
from qeu.core.roles import ROLES, Role
from qeu.core.text import clean_value

# Why a record is not learned from; the last one is known only once the length is.
LEFT_OUT = ("no_instruction", "no_reasoning", "no_output", "no_other", "nothing_left")
_REASONING_TARGETS = ("reasoning", "reasoning_task")


@dataclass(frozen=True)
class Variant:
    """How a record becomes an example.

    `loss_on`: which of prompt, reasoning and output are learned. `reasoning`: the record's own,
    none, or shuffled: that of another record of the same category and language (a placebo).
    `reasoning_dropout`: the share of records that lose theirs, drawn by seed and record.
    """

    layout: str = "bonsai-v2"
    target: str = "both"
    role: Role = ROLES["assistant"]
    loss_on: tuple[str, ...] = ("reasoning", "output")
    reasoning: str = "own"
    reasoning_dropout: float = 0.0
    seed: int = 0

    @property
    def written(self) -> tuple[str, ...]:
        """What the completion is made of."""
        if self.target in _REASONING_TARGETS:
            return ("reasoning",)
        return ("output",) if self.target == "answer" else ("reasoning", "output")

    @property
    def learns_reasoning(self) -> bool:
        """Whether a reasoning is foretold and not merely given."""
        return "reasoning" in self.loss_on and "reasoning" in self.written

    @property
    def learns_output(self) -> bool:
        """Whether an answer is foretold."""
        return "output" in self.loss_on and "output" in self.written

    def problems(self) -> list[str]:
        """Switches that are fine one by one and make no sense together, a sentence each."""
        found = []
        if not {*self.written, "prompt"} & set(self.loss_on):
            found.append(
                f"Nothing would be learned: target {self.target} writes "
                f"{', '.join(self.written)}, and the loss looks at {', '.join(self.loss_on)}."
            )
        alone = self.learns_reasoning and not self.learns_output
        if alone and self.reasoning == "none":
            found.append(
                "Only the reasoning would be learned, and the records have none of it: "
                "choose reasoning own, or learn the output too."
            )
        elif alone and self.reasoning_dropout:
            found.append(
                "Only the reasoning would be learned, so records that lose theirs teach nothing: "
                "set reasoning_dropout to 0."
            )
        return found


def why_left_out(record: Record, variant: Variant, has_other: bool = False) -> str:
    """Why this record teaches nothing in this variant, as one of LEFT_OUT; "" where it does.

    `has_other`: whether there is another record to take a shuffled reasoning from.
    """
    if not clean_value(record.instruction):
        return "no_instruction"
    if variant.learns_output and not clean_value(record.output):
        return "no_output"
    if variant.reasoning == "none" or drops_reasoning(record.identity, variant):
        # without any reasoning by choice; where it alone is learned, that is a problem told before
        return "" if variant.learns_output or "prompt" in variant.loss_on else "no_reasoning"
    # a placebo is for those that have a reasoning, so that both runs learn from the same records
    if variant.learns_reasoning and not clean_value(record.reasoning):
        return "no_reasoning"
    if variant.reasoning == "shuffled" and clean_value(record.reasoning) and not has_other:
        return "no_other"
    return ""


def drops_reasoning(identity: str, variant: Variant) -> bool:
    """Whether this record loses its reasoning; the same on every machine.

    Who loses it at one share loses it at every greater one.
    """
    if variant.reasoning_dropout <= 0:
        return False
    draw = int.from_bytes(_draw("drop", variant.seed, identity)[:8])
    return draw < variant.reasoning_dropout * 2**64


@dataclass(frozen=True)
class Donor:
    """A record that has a reasoning: `key` names it, `text` is the reasoning or its hash."""

    key: int
    group: tuple[str, str]
    identity: str
    text: str


def shuffle_reasonings(donors: Iterable[Donor], seed: int) -> dict[int, int]:
    """{record: whose reasoning it gets}, within each group, by their keys.

    Each reasoning is given once, and never to a record with the very same text. Where that cannot
    be (one record alone, or most of a group have one text) those are missing from the result.
    """
    groups: dict[tuple[str, str], list[Donor]] = defaultdict(list)
    for donor in donors:
        groups[donor.group].append(donor)
    return {key: other for group in groups.values() for key, other in _shift(group, seed)}


def _shift(group: Sequence[Donor], seed: int) -> Iterable[tuple[int, int]]:
    """Equal texts side by side, then all shifted by the longest run of them."""
    order = sorted(
        group, key=lambda d: (_draw("text", seed, d.text), _draw("shuffle", seed, d.identity))
    )
    runs: dict[str, int] = defaultdict(int)
    for donor in order:
        runs[donor.text] += 1
    step = max(runs.values())
    for at, donor in enumerate(order):
        other = order[(at + step) % len(order)]
        if other.text != donor.text:
            yield donor.key, other.key


def _draw(purpose: str, seed: int, value: str) -> bytes:
    return hashlib.sha256(f"{purpose}:{seed}:{value}".encode("utf-8", "surrogatepass")).digest()
