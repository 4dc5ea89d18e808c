"""How several models share this machine: one batch, in turn, or one unloaded for the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qeu.backends.catalog import is_hosted


class Capacity(Protocol):
    """What a plan must know of the machine; the shelf knows it."""

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """Memory the model will take, 0 if it is loaded already."""
        ...

    def free_bytes(self) -> int:
        """Memory still free for models."""
        ...


@dataclass(frozen=True)
class Stage:
    """One model's part of a run; `unload` names models that must leave the memory first."""

    model: str
    unload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Kind: `one_batch` (same base), `in_turn` (all fit), `swap` (they do not fit together).

    Bytes are what each model still needs and what is free now. `hosted` models run elsewhere, at
    the same time; where there are no others, the kind is `hosted` and there are no stages.
    """

    kind: str
    stages: tuple[Stage, ...]
    needs_bytes: tuple[int, ...]
    free_bytes: int
    hosted: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The plan for a person, e.g. "a then b: 6.1 + 4.9 GB > 8.0 GB free"."""
        names = " then ".join(stage.model for stage in self.stages)
        beside = f"; {', '.join(self.hosted)} at the same time" if self.hosted else ""
        if self.kind == "hosted":
            return f"{', '.join(self.hosted)}: on a server, all at the same time"
        if self.kind == "one_batch":
            return f"{names}: all in one batch{beside}"
        sizes = " + ".join(f"{need / 1e9:.1f}" for need in self.needs_bytes)
        sign = ">" if self.kind == "swap" else "≤"
        return f"{names}: {sizes} GB {sign} {self.free_bytes / 1e9:.1f} GB free{beside}"


def make_plan(models: Sequence[str], shelf: Capacity, exact: bool = False) -> Plan:
    """Plan a run over these base models, in their order; repeated names share a batch."""
    hosted = tuple(dict.fromkeys(name for name in models if is_hosted(name)))
    names = tuple(dict.fromkeys(name for name in models if not is_hosted(name)))
    if not names:
        return Plan("hosted", (), (), 0, hosted)
    # an unknown name is refused here, before anything starts
    needs = tuple(shelf.estimate_bytes(name, exact=exact) for name in names)
    if len(names) == 1:
        return Plan("one_batch", (Stage(names[0]),), needs, shelf.free_bytes(), hosted)
    free = shelf.free_bytes()
    if sum(needs) <= free:
        return Plan("in_turn", tuple(Stage(name) for name in names), needs, free, hosted)
    # what is in memory already goes first: it must leave before another one fits
    order = sorted(range(len(names)), key=lambda i: needs[i] > 0)
    names, needs = tuple(names[i] for i in order), tuple(needs[i] for i in order)
    stages = tuple(Stage(name, names[:i]) for i, name in enumerate(names))
    return Plan("swap", stages, needs, free, hosted)
