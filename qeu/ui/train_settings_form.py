"""The controls for an adapter's shape, for how a run learns, and for what is watched meanwhile."""

from collections.abc import Mapping
from dataclasses import fields

import gradio as gr

from qeu.core.run_passport import (
    BEST_MEASURES,
    DTYPES,
    OPTIMIZERS,
    QUANTIZATIONS,
    SCHEDULES,
    LoraSettings,
    TrainingSettings,
    WatchSettings,
)
from qeu.core.train_presets import Preset
from qeu.services.train_order import TrainOrder
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Words

# Words of each control, by part and setting.
_LABELS = {
    "rank": "train.set.rank",
    "alpha": "train.set.alpha",
    "dropout": "train.set.dropout",
    "target_modules": "train.set.target_modules",
    "quantization": "train.set.quantization",
    "double_quantization": "train.set.double_quantization",
    "steps": "train.set.steps",
    "learning_rate": "train.set.learning_rate",
    "schedule": "train.set.schedule",
    "warmup_steps": "train.set.warmup_steps",
    "batch_size": "train.set.batch_size",
    "accumulation": "train.set.accumulation",
    "max_length": "train.set.max_length",
    "packing": "train.set.packing",
    "optimizer": "train.set.optimizer",
    "weight_decay": "train.set.weight_decay",
    "compute_dtype": "train.set.compute_dtype",
    "save_every": "train.set.save_every",
    "gradient_clip": "train.set.gradient_clip",
    "checkpointing": "train.set.checkpointing",
    "rows": "train.set.rows",
    "samples": "train.set.samples",
    "sample_tokens": "train.set.sample_tokens",
    "best": "train.set.best",
    "patience": "train.set.patience",
}
_BEST_WORDS = {
    "last": "train.best.last",
    "loss": "train.best.loss",
    "reasoning_loss": "train.best.reasoning_loss",
    "answer_loss": "train.best.answer_loss",
}
assert set(_BEST_WORDS) == set(BEST_MEASURES)
_QUANTIZATION_WORDS = {
    "nf4": "train.quantization.nf4",
    "int8": "train.quantization.int8",
    "none": "train.quantization.none",
}
assert set(_QUANTIZATION_WORDS) == set(QUANTIZATIONS)
# What the arrows of a control add; anything between can be typed.
_STEPS = {"dropout": 0.05, "learning_rate": 1e-5, "weight_decay": 0.01, "gradient_clip": 0.1}
_PLAIN_CHOICES = {"schedule": SCHEDULES, "optimizer": OPTIMIZERS, "compute_dtype": DTYPES}
# What is seen at once; the others are folded away.
_SHOWN = ("steps", "max_length", "learning_rate")


class SettingsForm:
    """One control a setting; `first` is what they stand at before anybody touches them."""

    def __init__(self, say: Words, first: Preset) -> None:
        self.say, self.first = say, first
        self.parts: dict[str, dict[str, gr.components.Component]] = {
            "lora": {}, "training": {}, "watch": {},
        }  # fmt: skip

    def build_shown(self) -> None:
        """How long and how fast it learns."""
        for name in _SHOWN:
            self._add("training", name, getattr(self.first.training, name))
        self.epochs_num = gr.Number(
            self.first.epochs,
            label=self.say("train.set.epochs"),
            elem_id="train-epochs",
            min_width=110,
            step=0.5,
        )

    def build_folded(self) -> None:
        """All other settings, in two folded parts."""
        say = self.say
        with gr.Accordion(say("train.more_settings"), open=False, elem_id="train-settings"):
            gr.Markdown(say("train.part.lora"), elem_classes="q-section")
            with gr.Row(elem_classes="q-tight q-fields"):
                self._add_all("lora", self.first.lora)
            gr.Markdown(say("train.part.training"), elem_classes="q-section")
            with gr.Row(elem_classes="q-tight q-fields"):
                self._add_all("training", self.first.training)
        with gr.Accordion(say("train.part.watch"), open=False, elem_id="train-watch"):
            gr.Markdown(say("train.watch.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight q-fields"):
                self._add_all("watch", self.first.watch)

    def components(self) -> set[object]:
        """All controls."""
        return {one for part in self.parts.values() for one in part.values()} | {self.epochs_num}

    def read(self, data: Data) -> tuple[LoraSettings, TrainingSettings, WatchSettings, float]:
        """The settings as they stand, and the epochs; what cannot be meant is told by the order."""
        lora, training, watch = (
            {name: _plain(data[one], self._kind(name)) for name, one in part.items()}
            for part in self.parts.values()
        )
        modules = str(lora.pop("target_modules") or "")
        names = tuple(name.strip() for name in modules.split(",") if name.strip())
        # scales are quantised again only where weights are quantised by them
        lora["double_quantization"] = lora["double_quantization"] and lora["quantization"] == "nf4"
        return (
            LoraSettings(target_modules=names, **lora),  # type: ignore[arg-type]
            TrainingSettings(**training),  # type: ignore[arg-type]
            WatchSettings(**watch),  # type: ignore[arg-type]
            float(data[self.epochs_num] or 0),  # type: ignore[arg-type]
        )

    def fill(self, order: TrainOrder) -> Updates:
        """The controls as an order has them."""
        updates: Updates = {self.epochs_num: order.epochs}
        for part, settings in (
            ("lora", order.lora), ("training", order.training), ("watch", order.watch),
        ):  # fmt: skip
            for name, control in self.parts[part].items():
                value = getattr(settings, name)
                updates[control] = ", ".join(value) if isinstance(value, tuple) else value
        return updates

    def _add_all(self, part: str, plain: object) -> None:
        for setting in fields(plain):  # type: ignore[arg-type]
            if setting.name not in self.parts[part]:
                self._add(part, setting.name, getattr(plain, setting.name))

    def _add(self, part: str, name: str, value: object) -> None:
        # dropout is a setting of the adapter and of the records: ids tell them apart
        common = {"label": self.say(_LABELS[name]), "elem_id": f"train-{part}-{name}"}
        made: gr.components.Component
        if isinstance(value, bool):
            made = gr.Checkbox(value, min_width=150, **common)
        elif isinstance(value, int | float):
            whole = isinstance(value, int)
            made = gr.Number(
                value, precision=0 if whole else None, step=1 if whole else _STEPS[name],
                min_width=110, **common,
            )  # fmt: skip
        elif name == "target_modules":
            made = gr.Textbox(
                ", ".join(self.first.lora.target_modules), max_lines=1, min_width=220,
                placeholder=self.say("train.set.target_modules.hint"), **common,
            )  # fmt: skip
        else:
            made = gr.Dropdown(self._choices(name), value=value, min_width=130, **common)
        self.parts[part][name] = made

    def _choices(self, name: str) -> list[tuple[object, str]]:
        families: Mapping[str, Mapping[str, str]] = {
            "best": _BEST_WORDS, "quantization": _QUANTIZATION_WORDS,
        }  # fmt: skip
        if name in families:
            return [(self.say(key), value) for value, key in families[name].items()]
        return [(value, value) for value in _PLAIN_CHOICES[name]]

    def _kind(self, name: str) -> type:
        for plain in (LoraSettings(), TrainingSettings(), WatchSettings()):
            if hasattr(plain, name):
                return type(getattr(plain, name))
        raise AssertionError(name)


def _plain(value: object, kind: type) -> object:
    """A control's value as the setting has it; an emptied number is 0, which is told if wrong."""
    if kind is bool:
        return bool(value)
    if kind in (int, float):
        return kind(value or 0)  # type: ignore[call-overload]
    return value if value is not None else ""
