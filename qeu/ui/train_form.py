"""The order form of the Train tab: which records teach which base what, and how."""

import re
from collections.abc import Iterable
from typing import Any

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import BY_CATEGORY, ROLE_IDS, ROLES, Role
from qeu.core.run_passport import LOSS_PARTS, REASONING_SOURCES
from qeu.core.train_presets import PRESETS, Preset, find_preset
from qeu.core.training_variant import Variant
from qeu.core.twins import TWIN_KINDS
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.services.shipped_data import find_shipped
from qeu.services.train_order import TrainOrder, with_preset
from qeu.store.datasets import count_records, find_dataset, list_datasets
from qeu.store.filters import ALL, Filter
from qeu.store.queries import read_page
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.markup import escape
from qeu.ui.models_pickers import local_choices
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.train_settings_form import SettingsForm

TRAIN_SPLIT = Filter(split=("train",))
_SCOPE_WORDS = {
    "train": "train.scope.train",
    "filter": "data.scope.filter_plain",
    "all": "data.scope.all_plain",
    "run": "train.scope.run",
}
_TARGET_WORDS = {
    "both": "target.both",
    "reasoning": "target.reasoning",
    "reasoning_task": "target.reasoning_task",
    "answer": "target.answer",
}
assert set(_TARGET_WORDS) == set(TARGETS)
_REASONING_WORDS = {
    "own": "train.reasoning.own",
    "none": "train.reasoning.none",
    "shuffled": "train.reasoning.shuffled",
}
assert set(_REASONING_WORDS) == set(REASONING_SOURCES)
_LOSS_WORDS = {
    "reasoning": "field.reasoning",
    "output": "field.output",
    "prompt": "train.loss.prompt",
}
assert set(_LOSS_WORDS) == set(LOSS_PARTS)
_TWIN_WORDS = {
    "own": "train.twin.own",
    "none": "train.twin.none",
    "shuffled": "train.twin.shuffled",
    "given": "train.twin.given",
    "slot": "train.twin.slot",
    "task": "train.twin.task",
    "dropped": "train.twin.dropped",
}
assert set(_TWIN_WORDS) == set(TWIN_KINDS)
_FIRST_PRESET = PRESETS[0]


class TrainForm:
    """The controls of an order; `read` makes the order of them, `fill` the other way round."""

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        self.context, self.say, self.place = context, say, place
        self.settings = SettingsForm(say, _FIRST_PRESET)

    def build(self) -> None:
        """What is chosen most at the top, settings that have a good start folded away."""
        say = self.say
        # what the run that the form was filled from has, and no control: filter, twins, wording
        self.kept = gr.State({})
        with gr.Row(elem_classes="q-tight"):
            self.preset_dd = gr.Dropdown(
                [(preset.label, preset.id) for preset in PRESETS], value=_FIRST_PRESET.id,
                label=say("train.preset"), elem_id="train-preset", min_width=220, scale=2,
            )  # fmt: skip
            self.base_dd = gr.Dropdown(
                local_choices(), value=_FIRST_PRESET.base, allow_custom_value=True,
                label=say("train.base"), elem_id="train-base", min_width=160, scale=2,
            )  # fmt: skip
            self.name_box = gr.Textbox(
                "", label=say("train.name"), max_lines=1, elem_id="train-name", min_width=150,
                scale=2,
            )  # fmt: skip
        self.preset_note = gr.HTML(elem_id="train-preset-note", padding=False)
        with gr.Row(elem_classes="q-tight"):
            self.dataset_dd = gr.Dropdown(
                [], value=None, label=say("dataset.name"), elem_id="train-dataset", min_width=150
            )
            self.scope_dd = gr.Dropdown(
                [(say(key), name) for name, key in _SCOPE_WORDS.items()], value="train",
                label=say("job.scope"), elem_id="train-scope", min_width=190, scale=2,
            )  # fmt: skip
            self.role_dd = gr.Dropdown(
                [(say("train.role.by_category"), BY_CATEGORY.id),
                 *((say(f"role.{role}"), role) for role in ROLE_IDS)],
                value="assistant", label=say("side.role"), elem_id="train-role", min_width=140,
            )  # fmt: skip
        self._build_variant()
        with gr.Row(elem_classes="q-tight"):
            self.settings.build_shown()
        self.settings.build_folded()
        with gr.Accordion(say("train.twins"), open=False, elem_id="train-twins"):
            gr.Markdown(say("train.twins.intro"), elem_classes="q-intro")
            self.twins_cbg = gr.CheckboxGroup(
                [(say(key), kind) for kind, key in _TWIN_WORDS.items()], value=[],
                label=say("train.twins.kinds"), elem_id="train-twin-kinds",
            )  # fmt: skip
            self.seeds_box = gr.Textbox(
                "0", label=say("train.twins.seeds"), info=say("train.twins.seeds.help"),
                max_lines=1, elem_id="train-twin-seeds",
            )  # fmt: skip

    def _build_variant(self) -> None:
        say, plain = self.say, Variant()
        with gr.Row(elem_classes="q-tight"):
            self.target_dd = gr.Dropdown(
                [(say(key), name) for name, key in _TARGET_WORDS.items()], value=plain.target,
                label=say("side.target"), elem_id="train-target", min_width=170,
            )  # fmt: skip
            self.reasoning_dd = gr.Dropdown(
                [(say(key), name) for name, key in _REASONING_WORDS.items()],
                value=plain.reasoning, label=say("train.reasoning"), elem_id="train-reasoning",
                min_width=170,
            )  # fmt: skip
            self.layout_dd = gr.Dropdown(
                [(name, name) for name in LAYOUTS], value=plain.layout, label=say("side.layout"),
                elem_id="train-layout", min_width=110,
            )  # fmt: skip
        with gr.Row(elem_classes="q-tight"):
            self.loss_cbg = gr.CheckboxGroup(
                [(say(key), name) for name, key in _LOSS_WORDS.items()],
                value=list(plain.loss_on), label=say("train.loss"), elem_id="train-loss",
                min_width=230, scale=2,
            )  # fmt: skip
            self.dropout_num = gr.Number(
                plain.reasoning_dropout, step=0.1, label=say("train.dropout"),
                elem_id="train-dropout", min_width=150,
            )  # fmt: skip
            self.seed_num = gr.Number(
                plain.seed, precision=0, label=say("sampling.seed"), elem_id="train-seed",
                min_width=80,
            )  # fmt: skip

    def components(self) -> set[object]:
        """All that an order is read from, and that a person changes here."""
        return {
            self.base_dd, self.name_box, self.dataset_dd, self.scope_dd, self.role_dd,
            self.target_dd, self.reasoning_dd, self.layout_dd, self.loss_cbg, self.dropout_num,
            self.seed_num, self.twins_cbg, self.seeds_box, *self.settings.components(),
        }  # fmt: skip

    def inputs(self) -> set[object]:
        """All that an order is read from."""
        states = {self.kept, self.preset_dd, self.place.name_dd, self.place.filter_state}
        return self.components() | states

    def outputs(self) -> set[object]:
        """All that `fill` and `on_open` may update."""
        return self.components() | {self.kept, self.preset_dd, self.preset_note}

    def read(self, data: Data) -> TrainOrder:
        """The order as it stands; what cannot be meant is told by the order itself."""
        name = str(data[self.dataset_dd] or "")
        if not name:
            raise QeuError("No data set is chosen. Choose one above, or import a file first.")
        lora, training, watch, epochs = self.settings.read(data)
        variant = Variant(
            layout=str(data[self.layout_dd]),
            target=str(data[self.target_dd]),
            role=self._role(data),
            # in the order in which they are named everywhere
            loss_on=tuple(part for part in LOSS_PARTS if part in (data[self.loss_cbg] or ())),  # type: ignore[operator]
            reasoning=str(data[self.reasoning_dd]),
            reasoning_dropout=float(data[self.dropout_num] or 0),  # type: ignore[arg-type]
            seed=int(data[self.seed_num] or 0),  # type: ignore[call-overload]
        )
        # which records twins can learn from belongs to which records are meant
        twins = tuple(_kept(data[self.kept], "twins", ())) if data[self.scope_dd] == "run" else ()
        return TrainOrder(
            str(data[self.name_box] or "").strip(), str(data[self.base_dd] or "").strip(), name,
            self.filter_of(data), variant, lora, training, epochs, watch, twins,
        )  # fmt: skip

    def read_twins(self, data: Data) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """(kinds, seeds) that are ordered together; no kinds: one run. QeuError for odd seeds."""
        kinds = tuple(kind for kind in TWIN_KINDS if kind in (data[self.twins_cbg] or ()))  # type: ignore[operator]
        written = str(data[self.seeds_box] or "")
        parts = [part for part in re.split(r"[\s,、，]+", written) if part]
        whole = all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts)
        if kinds and not (parts and whole):
            raise QeuError(
                f"The seeds are {written[:80]!r}. Write whole numbers with commas, such as 0, 1, 2."
            )
        return kinds, tuple(dict.fromkeys(map(int, parts))) if kinds else ()

    def filter_of(self, data: Data) -> Filter:
        """Which records of the data set are meant."""
        scope = data[self.scope_dd]
        if scope == "train":
            return TRAIN_SPLIT
        if scope == "run":
            return Filter.from_json(_kept(data[self.kept], "where", {}))
        # the Dataset tab's filter is meant only where it shows the same data set
        same = str(data[self.place.name_dd] or "") == str(data[self.dataset_dd] or "")
        if scope == "filter" and same:
            return Filter.from_json(dict(data[self.place.filter_state] or {}))  # type: ignore[call-overload]
        return ALL

    def _role(self, data: Data) -> Role:
        """The role chosen; a wording of its own stays with the run that it was filled from."""
        chosen = str(data[self.role_dd])
        if chosen == BY_CATEGORY.id:
            return BY_CATEGORY
        kept = _kept(data[self.kept], "role", {})
        return Role(chosen, kept[chosen]) if chosen in kept else ROLES[chosen]

    def fill(self, order: TrainOrder, name: str) -> Updates:
        """The controls as this order has them, under this name."""
        variant = order.variant
        scope = {TRAIN_SPLIT: "train", ALL: "all"}.get(order.where, "run")
        scope = "run" if order.twins else scope
        role = variant.role
        known = role.id == BY_CATEGORY.id or ROLES.get(role.id) == role
        return {
            self.base_dd: order.base,
            self.name_box: name,
            self.dataset_dd: order.dataset,
            self.scope_dd: scope,
            self.kept: {
                "where": order.where.to_json(),
                "role": {} if known else {role.id: role.text},
                "twins": list(order.twins),
            },
            self.role_dd: role.id,
            self.target_dd: variant.target,
            self.reasoning_dd: variant.reasoning,
            self.layout_dd: variant.layout,
            self.loss_cbg: list(variant.loss_on),
            self.dropout_num: variant.reasoning_dropout,
            self.seed_num: variant.seed,
            **self.settings.fill(order),
        }

    def fill_preset(self, data: Data, language: str) -> Updates:
        """The base and all settings of a preset; records, name and variant stay."""
        preset = find_preset(str(data[self.preset_dd]))
        order = with_preset(TrainOrder("", "", ""), preset)
        note = preset_html(preset, language)
        return {self.base_dd: order.base, self.preset_note: note, **self.settings.fill(order)}

    def on_open(self, data: Data, request: gr.Request, language: str) -> Updates:
        """The data sets and names there are now; what was chosen before stays where it can."""
        workspace = self.context.records(request)
        names = [dataset.name for dataset in list_datasets(workspace)]
        if SHIPPED not in names and find_shipped():
            names.append(SHIPPED)  # comes in by itself when it is asked for
        wanted = [str(data[self.dataset_dd] or ""), str(data[self.place.name_dd] or "")]
        chosen = next((name for name in wanted if name in names), names[0] if names else None)
        fresh = {**data, self.dataset_dd: chosen}
        updates: Updates = {self.dataset_dd: gr.update(choices=names, value=chosen)}
        presets = [(tell(preset.label, language), preset.id) for preset in PRESETS]
        updates[self.preset_dd] = gr.update(choices=presets)
        preset = find_preset(str(data[self.preset_dd]))
        updates[self.preset_note] = preset_html(preset, language)
        name = str(data[self.name_box] or "")
        if not name or name in self._taken():
            updates[self.name_box] = self.propose_name(str(data[self.base_dd] or ""), chosen or "")
        return updates | self.on_dataset(fresh, request, language)

    def on_dataset(self, data: Data, request: gr.Request, language: str) -> Updates:
        """How many records are meant by each answer; a training split of none gives way to all."""
        workspace, name = self.context.records(request), str(data[self.dataset_dd] or "")
        plain = [(text(key, language), scope) for scope, key in _SCOPE_WORDS.items()]
        has_run = bool(data[self.kept])
        if not name:
            return {self.scope_dd: gr.update(choices=plain[:3])}
        try:
            dataset = find_dataset(workspace, name)
            counts = {
                "train": read_page(workspace, dataset, TRAIN_SPLIT, limit=0),
                "filter": read_page(
                    workspace, dataset, self.filter_of({**data, self.scope_dd: "filter"}), limit=0
                ),
            }
            total = count_records(workspace, dataset)
        except QeuError:
            return {self.scope_dd: gr.update(choices=plain[:3])}
        shown = {
            key: f"{'' if page.total_exact else '≈ '}{page.total:,}"
            for key, page in counts.items()
        } | {"all": f"{total:,}"}  # fmt: skip
        choices = [
            (f"{words} ({shown[scope]})" if scope in shown else words, scope)
            for words, scope in plain
            if scope != "run" or has_run
        ]
        update: dict[str, object] = {"choices": choices}
        if data[self.scope_dd] == "train" and not counts["train"].total:
            update["value"] = "all"
        return {self.scope_dd: gr.update(**update)}

    def propose_name(self, base: str, dataset: str) -> str:
        """A free name that says what it is: base, data set, a number."""
        parts = (base.rpartition("/")[2] or "adapter", dataset)
        plain = "-".join(_plain(part) for part in parts if _plain(part))
        taken = self._taken()
        numbers = (f"{plain}-{number}" for number in range(1, 10_000))
        return next((name for name in numbers if name.casefold() not in taken), plain)

    def _taken(self) -> set[str]:
        folder = self.context.settings.adapters
        paths: Iterable[str] = (p.name for p in folder.iterdir()) if folder.is_dir() else ()
        return {name.casefold() for name in paths}


def preset_html(preset: Preset, language: str) -> str:
    """What a preset needs, and where its numbers come from."""
    needs = text("train.preset.needs", language, needs=tell(preset.needs, language))
    shown = f"{escape(needs)} {escape(tell(preset.source, language))}"
    if preset.url.startswith("https://"):
        name = escape(text("train.preset.source", language))
        shown += f' <a href="{escape(preset.url)}" target="_blank" rel="noopener">{name}</a>'
    return f'<p class="q-hint">{shown}</p>'


def _kept(state: object, name: str, plain: Any) -> Any:
    """One of the values that the form keeps without a control."""
    return dict(state or {}).get(name, plain)  # type: ignore[call-overload]


def _plain(name: str) -> str:
    """Letters, digits and dashes of a name, in small letters: a folder on every disk."""
    return re.sub(r"[^\w-]+", "-", name.casefold(), flags=re.ASCII).strip("-_")[:40]
