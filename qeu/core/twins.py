"""Twins: variants that learn from the same records with the same seeds, to be held side by side."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qeu.core.errors import QeuError
from qeu.core.training_variant import Variant

# What each kind writes, and with whose reasoning.
_KINDS: dict[str, tuple[str, str, float]] = {
    "own": ("both", "own", 0.0),
    "none": ("answer", "none", 0.0),
    "shuffled": ("both", "shuffled", 0.0),
    "given": ("answer", "own", 0.0),
    "slot": ("reasoning", "own", 0.0),
    "task": ("reasoning_task", "own", 0.0),
    "dropped": ("both", "own", 0.5),
}
TWIN_KINDS = tuple(_KINDS)
KIND_WORDS = {
    "own": "reasoning and answer",
    "none": "the answer alone, no reasoning",
    "shuffled": "another record's reasoning, and the answer (placebo)",
    "given": "the answer, with the reasoning given",
    "slot": "the reasoning alone, in its slot",
    "task": "the reasoning alone, as a task",
    "dropped": "reasoning and answer, half of the records without reasoning",
}
MOST_TWINS = 24
_MOST_SEED = 2**63 - 1
_NAME = re.compile(r"([a-z]+)-s(\d{1,19})")


@dataclass(frozen=True)
class Twin:
    """One of several variants: which kind, drawn by which seed."""

    kind: str
    seed: int

    @property
    def label(self) -> str:
        """How it is written in names and settings: own-s0."""
        return f"{self.kind}-s{self.seed}"

    def variant_of(self, variant: Variant) -> Variant:
        """This twin of a variant: layout, role and loss stay, so any twin tells all others."""
        target, reasoning, dropout = _KINDS[self.kind]
        return replace(
            variant,
            target=target,
            reasoning=reasoning,
            reasoning_dropout=dropout,
            seed=self.seed,
        )


def make_twins(kinds: Sequence[str], seeds: Sequence[int]) -> tuple[Twin, ...]:
    """Every kind with every seed, seed by seed; raises QeuError for what cannot be meant."""
    if wrong := twin_problems(kinds, seeds):
        raise QeuError(" ".join(wrong))
    return tuple(Twin(kind, seed) for seed in seeds for kind in kinds)


def twin_problems(kinds: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """All that is wrong with an order of twins, each as one sentence."""
    found = [
        f"There is no twin {kind!r}; choose from: {', '.join(TWIN_KINDS)}."
        for kind in dict.fromkeys(kinds)
        if kind not in _KINDS
    ]
    found += [
        f"seed is {seed!r}; choose a whole number of 0 or more."
        for seed in seeds
        if not 0 <= seed <= _MOST_SEED
    ]
    if not kinds or not seeds:
        found.append("Twins need at least one kind and one seed.")
    if len(set(kinds)) < len(kinds) or len(set(seeds)) < len(seeds):
        found.append("A twin is named twice; name each kind and each seed once.")
    if len(kinds) * len(seeds) > MOST_TWINS:
        found.append(
            f"That makes {len(kinds) * len(seeds):,} runs; order at most {MOST_TWINS} at once."
        )
    return found


def parse_twins(labels: Sequence[str]) -> tuple[Twin, ...]:
    """The twins again from their labels; raises QeuError for one that is none."""
    return tuple(map(_parse, labels))


def twin_name(name: str, twin: Twin) -> str:
    """What the run of a twin is called: NAME-own-s0."""
    return f"{name}-{twin.label}"


def describe_variant(variant: Variant) -> str:
    """What is learned, in a few words."""
    words = {
        "both": "reasoning and answer",
        "answer": "the answer, with the reasoning given",
        "reasoning": "the reasoning alone, in its slot",
        "reasoning_task": "the reasoning alone, as a task",
    }[variant.target]
    if variant.reasoning == "none":
        words = "the answer alone, no reasoning"
    elif variant.reasoning == "shuffled":
        words += ", another record's reasoning (placebo)"
    elif variant.reasoning_dropout:
        words += f", {variant.reasoning_dropout:.0%} of the records without reasoning"
    if set(variant.loss_on) != {"reasoning", "output"}:
        words += f"; loss on {' and '.join(variant.loss_on)}"
    return words


def _parse(label: str) -> Twin:
    found = _NAME.fullmatch(label)
    if not found or found[1] not in _KINDS or int(found[2]) > _MOST_SEED:
        raise QeuError(
            f"{label[:80]!r} names no twin. Write it as own-s0: one of {', '.join(TWIN_KINDS)}, "
            "then -s and its seed."
        )
    return Twin(found[1], int(found[2]))
