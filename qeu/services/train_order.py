"""What a person orders to be trained, and all that is wrong with it, at once and in words."""

import math
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from qeu.backends.memory_estimate import MemoryEstimate, estimate_training, weights_bytes
from qeu.backends.model_shape import ModelShape
from qeu.core.errors import QeuError
from qeu.core.roles import Role
from qeu.core.run_passport import LoraSettings, RunPassport, TrainingSettings, WatchSettings
from qeu.core.train_presets import Preset
from qeu.core.training_variant import Variant
from qeu.core.twins import parse_twins
from qeu.store.filters import ALL, Filter

MOST_NAME_CHARACTERS = 100
MOST_EPOCHS = 1_000
# Bytes a trained number: kept as float32, and in a checkpoint with Adam's two states beside it.
_SAVED, _CHECKPOINTED = 4, 12
# Stands for the hashes that a run computes when it starts.
_ANY_HASH = "0" * 64


@dataclass(frozen=True)
class TrainOrder:
    """Which records teach which base what, under which name.

    `epochs` 0: `training.steps` says how long; else that many passes over the examples. `twins`
    are labels (own-s0) of variants that are to be compared: only what all of them can learn.
    """

    name: str
    base: str
    dataset: str
    where: Filter = ALL
    variant: Variant = field(default_factory=Variant)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    epochs: float = 0.0
    watch: WatchSettings = field(default_factory=WatchSettings)
    twins: tuple[str, ...] = ()

    @classmethod
    def from_passport(cls, passport: RunPassport) -> "TrainOrder":
        """What was ordered, as far as a run's passport tells: its steps, not its epochs."""
        variant = Variant(
            passport.layout, passport.target, Role(passport.role, passport.role_text),
            passport.loss_on, passport.reasoning, passport.reasoning_dropout, passport.seed,
        )  # fmt: skip
        return cls(
            passport.name, passport.base, passport.dataset, Filter.from_json(passport.where),
            variant, passport.lora, passport.training, watch=passport.watch,
            twins=passport.twins,
        )  # fmt: skip

    def passport(self, records: int = 1) -> RunPassport:
        """What can be said of the run's passport before it starts; its hashes are zeros."""
        variant = self.variant
        return RunPassport(
            name=self.name, created="", base=self.base, base_revision=_ANY_HASH,
            layout=variant.layout, target=variant.target, role=variant.role.id,
            role_text=variant.role.text, dataset=self.dataset, records=records,
            data_hash=_ANY_HASH, validation_records=0, validation_hash="",
            tokenizer_hash=_ANY_HASH, layout_hash=_ANY_HASH, seed=variant.seed,
            loss_on=variant.loss_on, reasoning=variant.reasoning,
            reasoning_dropout=variant.reasoning_dropout, lora=self.lora, training=self.training,
            watch=self.watch, where=self.where.to_json(), twins=self.twins,
        )  # fmt: skip

    def problems(self) -> list[str]:
        """All settings that cannot be meant, alone or together; looks at nothing outside."""
        found = self.passport().problems()
        if not 0 <= self.epochs <= MOST_EPOCHS:
            found.append(f"epochs is {self.epochs!r}; choose above 0, at most {MOST_EPOCHS:,}.")
        try:
            parse_twins(self.twins)
        except QeuError as error:
            found.append(str(error))
        return found or self.variant.problems() + self._watch_problems()

    def _watch_problems(self) -> list[str]:
        """Where the measure that chooses the kept step will never be there."""
        learned = {
            "reasoning_loss": self.variant.learns_reasoning and self.variant.reasoning != "none",
            "answer_loss": self.variant.learns_output,
        }
        if learned.get(self.watch.best, True):
            return []
        return [
            f"best is {self.watch.best}, and this variant does not learn that part; "
            "choose loss or last."
        ]

    def resolve_steps(self, rows: int) -> "TrainOrder":
        """The order with as many steps as its epochs take over `rows` rows of a batch."""
        if not self.epochs or not rows:
            return self
        steps = math.ceil(self.epochs * self.steps_per_epoch(rows))
        return replace(self, training=replace(self.training, steps=steps))

    def steps_per_epoch(self, rows: int) -> int:
        """Optimiser steps of one pass; the last step of a pass may have fewer rows."""
        batches = math.ceil(rows / self.training.batch_size)
        return math.ceil(batches / self.training.accumulation)


def with_preset(order: TrainOrder, preset: Preset) -> TrainOrder:
    """The order with a preset's base and settings; name, data and variant stay."""
    return replace(
        order,
        base=preset.base,
        lora=preset.lora,
        training=preset.training,
        watch=preset.watch,
        epochs=preset.epochs,
    )


def name_problems(folder: Path, name: str) -> list[str]:
    """Why an adapter of this name cannot be made in the folder of adapters."""
    if len(name) > MOST_NAME_CHARACTERS:
        return [
            f"The name has {len(name):,} characters; use at most {MOST_NAME_CHARACTERS}, "
            "since it becomes a folder."
        ]
    # a folder of the same name in other letters is the same one on some disks
    taken = {path.name.casefold() for path in folder.iterdir()} if folder.is_dir() else set()
    if name.casefold() in taken:
        return [f"The name {name!r} is taken in {folder}. Choose another, or delete that adapter."]
    return []


def shape_problems(order: TrainOrder, shape: ModelShape | None) -> list[str]:
    """Settings that this base cannot have."""
    length = order.training.max_length
    if shape is None or not 0 < shape.context < length:
        return []
    return [
        f"max_length is {length:,}, and {order.base} reads {shape.context:,} tokens at most; "
        "choose that or less."
    ]


def estimate_run(
    order: TrainOrder, shape: ModelShape | None, longest: int
) -> MemoryEstimate | None:
    """Memory of one step by formula, in bytes; None where the base's shape is not at hand.

    Counts all linear layers as trained, so with fewer of them it is an upper bound.
    """
    if shape is None or not shape.layers or not shape.matrices:
        return None
    settings = order.training
    row = settings.max_length if settings.packing else min(settings.max_length, longest)
    found = estimate_training(shape, order.lora.rank, row * settings.batch_size)
    if order.lora.quantization == "nf4":
        return found
    precision = "int8" if order.lora.quantization == "int8" else settings.compute_dtype
    more = weights_bytes(shape, precision) - weights_bytes(shape, "nf4")
    return replace(found, weights=found.weights + more)


def disk_bytes(order: TrainOrder, shape: ModelShape | None) -> int | None:
    """What the adapter and all its checkpoints take; None where the shape is not at hand."""
    if shape is None or not shape.matrices:
        return None
    trained = order.lora.rank * sum(rows + columns for rows, columns in shape.matrices)
    checkpoints = order.training.steps // order.training.save_every
    return trained * (_SAVED + _CHECKPOINTED * checkpoints)


def free_bytes(folder: Path) -> int:
    """Free disk space where the folder is, or will be."""
    folder = folder.absolute()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def disk_problems(needed: int | None, free: int) -> list[str]:
    """A sentence where the run does not fit on the disk."""
    if needed is None or needed <= free:
        return []
    return [
        f"The run needs {needed / 1e6:,.0f} MB on disk, and {free / 1e6:,.0f} MB are free. "
        "Make room, save less often, or choose a lower rank."
    ]
