"""What a training run was: everything needed to repeat it and to ask its adapter as it learned.

Written as `run.json` into the run's folder, before the first step (literal example:
tests/contract/run.json). Does not read or write files.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS, TARGETS, render
from qeu.core.record import Record
from qeu.core.request import hash_json
from qeu.core.roles import Role

REASONING_SOURCES = ("own", "none", "shuffled")
LOSS_PARTS = ("reasoning", "output", "prompt")
QUANTIZATIONS = ("nf4", "int8", "none")
DTYPES = ("bfloat16", "float16", "float32")
SCHEDULES = ("constant", "linear", "cosine")
# adamw is torch's; 8-bit states need a GPU, and paged ones lend it the machine's memory.
OPTIMIZERS = ("adamw", "adamw_8bit", "paged_adamw_8bit")
# By which measure on the validation rows the step is chosen that is kept.
BEST_MEASURES = ("last", "loss", "reasoning_loss", "answer_loss")
MOST_SAMPLES = 32


@dataclass(frozen=True)
class LoraSettings:
    """The adapter's shape; `target_modules` are the names of the base's linear layers."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    target_modules: tuple[str, ...] = ()
    quantization: str = "nf4"
    double_quantization: bool = True

    def problems(self) -> list[str]:
        """All settings that cannot be meant, each as one sentence."""
        found = [
            f"{name} is {getattr(self, name)!r}; choose a whole number from 1 to 1,024."
            for name in ("rank", "alpha")
            if not _whole(getattr(self, name), 1, 1_024)
        ]
        if not _between(self.dropout, 0, 0.9):
            found.append(f"dropout is {self.dropout!r}; choose 0 to 0.9.")
        if not self.target_modules:
            found.append("No target modules; name at least one linear layer of the base.")
        return found + _choice("quantization", self.quantization, QUANTIZATIONS)


@dataclass(frozen=True)
class TrainingSettings:
    """How the run learns: lengths in tokens, `steps` are optimiser steps.

    `checkpointing` computes activations twice to keep fewer; `gradient_clip` 0 clips nothing.
    """

    steps: int = 60
    learning_rate: float = 2e-4
    schedule: str = "cosine"
    warmup_steps: int = 5
    batch_size: int = 1
    accumulation: int = 1
    max_length: int = 512
    packing: bool = True
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    compute_dtype: str = "bfloat16"
    save_every: int = 20
    gradient_clip: float = 1.0
    checkpointing: bool = False

    def problems(self) -> list[str]:
        """All settings that cannot be meant, each as one sentence."""
        limits = {
            "steps": (1, 1_000_000),
            "warmup_steps": (0, 1_000_000),
            "batch_size": (1, 1_024),
            "accumulation": (1, 1_024),
            "max_length": (16, 131_072),
            "save_every": (1, 1_000_000),
        }
        found = [
            f"{name} is {getattr(self, name)!r}; choose a whole number from {low:,} to {high:,}."
            for name, (low, high) in limits.items()
            if not _whole(getattr(self, name), low, high)
        ]
        if not _between(self.learning_rate, 0, 1) or self.learning_rate == 0:
            found.append(f"learning_rate is {self.learning_rate!r}; choose above 0, at most 1.")
        if not _between(self.weight_decay, 0, 1):
            found.append(f"weight_decay is {self.weight_decay!r}; choose 0 to 1.")
        if not _between(self.gradient_clip, 0, 1_000):
            found.append(f"gradient_clip is {self.gradient_clip!r}; choose 0 (none) to 1,000.")
        found += _choice("optimizer", self.optimizer, OPTIMIZERS)
        found += _choice("schedule", self.schedule, SCHEDULES)
        return found + _choice("compute_dtype", self.compute_dtype, DTYPES)


@dataclass(frozen=True)
class WatchSettings:
    """What is looked at while the run learns, at its first step and at every save.

    `rows` validation records are foretold, and the first `samples` of them answered greedily, in
    at most `sample_tokens` new tokens. `best` is the measure by which the kept step is chosen,
    `patience` after how many saves without a better one the run ends (0: never).
    """

    rows: int = 32
    samples: int = 8
    sample_tokens: int = 160
    best: str = "last"
    patience: int = 0

    def problems(self) -> list[str]:
        """All settings that cannot be meant, each as one sentence."""
        limits = {
            "rows": (0, 10_000),
            "samples": (0, MOST_SAMPLES),
            "sample_tokens": (1, 4_096),
            "patience": (0, 1_000),
        }
        found = [
            f"{name} is {getattr(self, name)!r}; choose a whole number from {low:,} to {high:,}."
            for name, (low, high) in limits.items()
            if not _whole(getattr(self, name), low, high)
        ]
        found += _choice("best", self.best, BEST_MEASURES)
        if not found and self.best == "last" and self.patience:
            found.append("patience needs a measure to wait for; choose best, such as loss.")
        if not found and self.best != "last" and not self.rows:
            found.append(f"best is {self.best}, which needs validation rows; set rows above 0.")
        return found


@dataclass(frozen=True)
class RunPassport:
    """One training run, resolved: nothing in it is "auto", and no path of this machine.

    `base_revision` is the Hub commit or the SHA-256 of local weights; `data_hash` is made of the
    training records' identities in order, `validation_hash` of the others'; `tokenizer_hash` of
    the tokenizer's files; `layout_hash` by `hash_layout`. `loss_on` names the fields that are
    learned. `reasoning` says whose reasoning the records had: their own, none, or another
    record's (placebo); `reasoning_dropout` is the share of records that lost theirs. `where` is
    the filter that chose the records; `twins` are the variants (core/twins.py) that it is compared
    with, which all had the same records. Role "by_category" has no text of its own.
    """

    name: str
    created: str
    base: str
    base_revision: str
    layout: str
    target: str
    role: str
    role_text: str
    dataset: str
    records: int
    data_hash: str
    validation_records: int
    validation_hash: str
    tokenizer_hash: str
    layout_hash: str
    seed: int
    loss_on: tuple[str, ...] = ("reasoning", "output")
    reasoning: str = "own"
    reasoning_dropout: float = 0.0
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    where: Mapping[str, object] = field(default_factory=dict)
    twins: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Everything that cannot be meant, each as one sentence, so that a form shows all."""
        found = []
        if not self.name or set(self.name) & set('/\\.@:*?"<>|') or self.name != self.name.strip():
            found.append(
                f"The name {self.name!r} cannot be a folder and a part of MODEL@NAME; "
                "use letters, digits, - and _."
            )
        for name in ("base", "base_revision"):
            if not getattr(self, name):
                found.append(f"{name} is empty; a run without it cannot be repeated.")
        for name in ("data_hash", "tokenizer_hash", "layout_hash", "validation_hash"):
            value = getattr(self, name)
            if not _is_hash(value) and not (name == "validation_hash" and value == ""):
                found.append(f"{name} is {value!r}; it must be a SHA-256 of 64 hex digits.")
        if not _whole(self.records, 1, 2**63):
            found.append(f"The run has {self.records!r} records; choose data with at least one.")
        if not _whole(self.seed, 0, 2**63 - 1):
            found.append(f"seed is {self.seed!r}; choose a whole number of 0 or more.")
        if not _between(self.reasoning_dropout, 0, 1):
            found.append(f"reasoning_dropout is {self.reasoning_dropout!r}; choose 0 to 1.")
        if not self.loss_on or not set(self.loss_on) <= set(LOSS_PARTS):
            found.append(f"loss_on is {self.loss_on!r}; choose from: {', '.join(LOSS_PARTS)}.")
        found += _choice("layout", self.layout, LAYOUTS)
        found += _choice("target", self.target, TARGETS)
        found += _choice("reasoning", self.reasoning, REASONING_SOURCES)
        return found + self.lora.problems() + self.training.problems() + self.watch.problems()

    def to_json(self) -> dict[str, object]:
        """Plain values, as in `run.json`."""
        data = asdict(self) | {"loss_on": list(self.loss_on), "versions": dict(self.versions)}
        data["where"], data["twins"] = dict(self.where), list(self.twins)
        data["lora"]["target_modules"] = list(self.lora.target_modules)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "RunPassport":
        """The passport again; raises QeuError for a field that is unknown or missing."""
        values = _known(cls, data)
        values["loss_on"] = tuple(values.get("loss_on", cls.loss_on))  # type: ignore[arg-type]
        values["twins"] = tuple(values.get("twins", ()))  # type: ignore[arg-type]
        lora = _known(LoraSettings, values.get("lora", {}))
        lora["target_modules"] = tuple(lora.get("target_modules", ()))  # type: ignore[arg-type]
        values["lora"] = LoraSettings(**lora)  # type: ignore[arg-type]
        training = _known(TrainingSettings, values.get("training", {}))
        values["training"] = TrainingSettings(**training)  # type: ignore[arg-type]
        values["watch"] = WatchSettings(**_known(WatchSettings, values.get("watch", {})))  # type: ignore[arg-type]
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError as error:
            names = {f.name for f in fields(cls)} - set(values)
            raise QeuError(f"This run.json lacks {', '.join(sorted(names))}.") from error


def hash_layout(layout: str, target: str) -> str:
    """SHA-256 of how a fixed record renders: it changes when the layout's strings change."""
    record = Record(instruction="I", input="In", reasoning="R", output="O")
    role = Role("assistant", "S")
    rendered = render(record, layout, role, target, Role("logician", "L"), "T")
    turns = [{"role": m.role, "content": m.content} for m in rendered.prompt.messages]
    return hash_json(
        {
            "prompt": rendered.prompt.text,
            "messages": turns,
            "prefill": rendered.prompt.prefill,
            "stop": list(rendered.prompt.stop),
            "completion": rendered.completion_text,
        }
    )


def _known(cls: type, data: object) -> dict[str, object]:
    if not isinstance(data, Mapping):
        raise QeuError(f"A part of run.json is {data!r}; it must be an object with names.")
    if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
        raise QeuError(f"run.json has an unknown field {unknown[0]!r}; another version wrote it.")
    return dict(data)


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> list[str]:
    return (
        [] if value in allowed else [f"{name} is {value!r}; choose one of: {', '.join(allowed)}."]
    )


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _between(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and low <= value <= high


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
