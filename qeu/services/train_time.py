"""How long a run will take, from what earlier runs of the same base measured on this machine."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.run_metrics import MOST_READ
from qeu.core.run_passport import RunPassport
from qeu.services.train_order import TrainOrder
from qeu.store.run_folders import RunFolder, list_runs

NOT_KNOWN = "How long it takes is not known yet; try one step."
# The first steps of a process are slow: what is shorter tells little.
_FEWEST_STEPS = 3


@dataclass(frozen=True)
class Speed:
    """Tokens a second, real ones and not padding, and in a sentence where they were measured."""

    tokens_per_s: float
    source: str


def find_speed(adapters: Path, order: TrainOrder) -> Speed | None:
    """The speed of the latest run that is most like the order; None where none has its base."""
    known = []
    for folder in list_runs(adapters):
        try:
            passport = folder.passport()
        except QeuError:
            continue  # a damaged run tells nothing, and the list of runs says so
        if passport.base == order.base:
            known.append((_likeness(passport, order), passport.created, folder))
    # the most alike first: metrics of long runs take their time to read
    for _, _, folder in sorted(known, key=lambda one: one[:2], reverse=True):
        if speed := _measured(folder):
            source = f"Measured in run {folder.name!r}: {speed:,.0f} tokens a second."
            return Speed(speed, source)
    return None


def probed_speed(tokens_per_s: float) -> Speed:
    """The speed that a step tried just now had."""
    return Speed(
        tokens_per_s, f"Measured in one step just now: {tokens_per_s:,.0f} tokens a second."
    )


def estimate_seconds(
    order: TrainOrder, rows: int, tokens: int, speed: Speed | None
) -> float | None:
    """Seconds of all steps; `rows` and `tokens` are those of one pass. None: not known."""
    if speed is None or not rows or speed.tokens_per_s <= 0:
        return None
    settings = order.training
    step = settings.batch_size * settings.accumulation * tokens / rows
    return settings.steps * step / speed.tokens_per_s


def _measured(folder: RunFolder) -> float:
    """The median of its steps; 0.0 where too few were made."""
    values = [v for _, v in folder.metrics(MOST_READ).curve("train", "tokens_per_s") if v > 0]
    return statistics.median(values) if len(values) >= _FEWEST_STEPS else 0.0


def _likeness(passport: RunPassport, order: TrainOrder) -> int:
    """How many of the settings that make a step fast or slow are the same."""
    ours, theirs = order.training, passport.training
    same = [
        passport.lora.quantization == order.lora.quantization,
        *(
            getattr(ours, name) == getattr(theirs, name)
            for name in ("compute_dtype", "checkpointing", "packing", "batch_size", "max_length")
        ),
    ]
    return sum(same)
