"""The form of the sweep: which prompts, which models, which values of which settings."""

import re
from collections.abc import Mapping, Sequence

import gradio as gr

from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES
from qeu.core.roles import BY_CATEGORY, ROLE_IDS, ROLES
from qeu.core.sweep_spec import GRID_FIELDS, MOST_SEEDS, SweepPrompt, SweepSpec, read_grid
from qeu.services.compare import Comparison
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.services.shipped_data import find_shipped
from qeu.store.datasets import list_datasets
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.models_drawer import model_choices
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sweep_words import AXIS_WORDS
from qeu.ui.visibility import OFF

# A choice of a list cannot be empty: what is left to the model, all splits, what is typed.
OWN, _ALL, TYPED = "own", "all", ":typed"
_SPLIT_WORDS = {
    "validation": "dataset.split.validation",
    "test": "dataset.split.test",
    "train": "dataset.split.train",
    _ALL: "data.scope.all_plain",
}
# What stands there first: a grid that the embedded model is through with in a minute.
FIRST_GRID = {"temperature": "0, 0.5, 1", "top_p": "0.5, 0.95", "max_new_tokens": "64"}
FIRST_SEEDS, FIRST_LIMIT = 4, 12
# Several typed prompts stand apart by a line of hyphens.
_BETWEEN = re.compile(r"^[ \t]*-{3,}[ \t]*$", re.MULTILINE)
# Signs that stand between values in other scripts.
_COMMAS = str.maketrans(dict.fromkeys("\u3001\uff0c\uff1b;", ","))


class SweepForm:
    """The controls of an order; `read` makes the spec of them, `fill` the other way round.

    Settings that are not in the grid are those of `sampling`, the page's own; `roles` are the
    boxes with the wordings.
    """

    def __init__(
        self,
        context: Context,
        say: Words,
        sampling: SamplingForm,
        exact_cb: gr.Checkbox,
        roles: Mapping[str, gr.Textbox],
    ) -> None:
        self.context, self.say = context, say
        self.sampling, self.exact_cb, self.roles = sampling, exact_cb, roles

    def build(self) -> None:
        """Prompts, models, the grid; what is varied less often is folded away."""
        say = self.say
        self.source_dd = gr.Dropdown(
            [(say("sweep.source.typed"), TYPED)], value=TYPED, label=say("sweep.source"),
            elem_id="sweep-source",
        )  # fmt: skip
        with gr.Group(elem_id="sweep-typed") as self.typed_group:
            self._build_typed()
        with (
            gr.Group(elem_id="sweep-records", visible=OFF) as self.records_group,
            gr.Row(elem_classes="q-tight"),
        ):
            self.split_dd = gr.Dropdown(
                [(say(key), name) for name, key in _SPLIT_WORDS.items()], value="validation",
                label=say("job.scope"), elem_id="sweep-split", min_width=120,
            )  # fmt: skip
            self.limit_num = gr.Number(
                FIRST_LIMIT, precision=0, minimum=0, label=say("job.limit"),
                info=say("job.limit.help"), elem_id="sweep-limit", min_width=120,
            )  # fmt: skip
        self.models_dd = gr.Dropdown(
            model_choices(self.context), value=[DEFAULT_MODEL], multiselect=True,
            allow_custom_value=True, label=say("sweep.models"), elem_id="sweep-models",
        )  # fmt: skip
        gr.Markdown(say("sweep.grid"), elem_classes="q-intro")
        with gr.Row(elem_classes="q-tight q-fields"):
            self.grid_boxes = {
                name: gr.Textbox(
                    FIRST_GRID.get(name, ""), label=say(AXIS_WORDS[name]),
                    placeholder=say("sweep.as_set"), elem_id=f"sweep-{name}", min_width=120,
                    max_lines=1,
                )
                for name in GRID_FIELDS
            }  # fmt: skip
            self.seeds_num = gr.Number(
                FIRST_SEEDS, precision=0, minimum=1, maximum=MOST_SEEDS, label=say("sweep.seeds"),
                elem_id="sweep-seeds", min_width=120,
            )  # fmt: skip
        with gr.Accordion(say("sweep.more"), open=False, elem_id="sweep-more"):
            self._build_more()

    def _build_typed(self) -> None:
        say = self.say
        self.instruction_box = gr.Textbox(
            "", label=say("question.instruction"), info=say("sweep.prompt.help"), lines=3,
            max_lines=10, elem_id="sweep-instruction",
        )  # fmt: skip
        with gr.Accordion(say("sweep.prompt.more"), open=False, elem_id="sweep-prompt-more"):
            self.input_box = gr.Textbox(
                "", label=say("question.input"), lines=2, max_lines=8, elem_id="sweep-input"
            )
            self.reasoning_box = gr.Textbox(
                "", label=say("question.reasoning"), lines=2, max_lines=8,
                elem_id="sweep-reasoning",
            )  # fmt: skip
            self.reference_box = gr.Textbox(
                "", label=say("question.reference"), info=say("question.reference.hint"), lines=1,
                max_lines=8, elem_id="sweep-reference",
            )  # fmt: skip
            self.category_dd = gr.Dropdown(
                [(say(f"category.{name}"), name) for name in CATEGORIES], value="open_qa",
                label=say("question.category"), elem_id="sweep-category",
            )  # fmt: skip

    def _build_more(self) -> None:
        say = self.say
        roles = [(say(f"role.{role}"), role) for role in ROLE_IDS]
        choices = {
            "role": [*roles, (say("train.role.by_category"), BY_CATEGORY.id)],
            "target": [(say(f"target.{target}"), target) for target in TARGETS],
            "layout": [(layout, layout) for layout in LAYOUTS],
        }
        self.choice_dds = {
            name: gr.Dropdown(
                [(say("sweep.own"), OWN), *found], value=[OWN], multiselect=True,
                label=say(AXIS_WORDS[name]), elem_id=f"sweep-{name}",
            )
            for name, found in choices.items()
        }  # fmt: skip
        self.use_reasoning_cb = gr.Checkbox(
            False, label=say("side.use_reasoning"), elem_id="sweep-use-reasoning"
        )

    def components(self) -> list[gr.components.Component]:
        """All controls of its own."""
        return [
            self.source_dd, self.instruction_box, self.input_box, self.reasoning_box,
            self.reference_box, self.category_dd, self.split_dd, self.limit_num, self.models_dd,
            *self.grid_boxes.values(), self.seeds_num, *self.choice_dds.values(),
            self.use_reasoning_cb,
        ]  # fmt: skip

    def inputs(self) -> set[object]:
        """What `read` reads: with the page's own sampling, its exact switch and the wordings."""
        return {
            *self.components(), *self.sampling.components(), self.exact_cb, *self.roles.values()
        }  # fmt: skip

    def read(self, data: Data) -> SweepSpec:
        """The order as it stands; raises UsageError for what cannot be meant."""
        source, split = str(data[self.source_dd] or TYPED), str(data[self.split_dd] or _ALL)
        is_typed = source == TYPED
        written = {name: str(data[box] or "") for name, box in self.grid_boxes.items()}
        lines = [f"{n}={v.translate(_COMMAS)}" for n, v in written.items() if v.strip()]
        chosen = {name: _picked(data[box]) for name, box in self.choice_dds.items()}
        return SweepSpec(
            tuple(str(ref) for ref in data[self.models_dd] or ()),  # type: ignore[attr-defined]
            prompts=self._prompts(data) if is_typed else (),
            dataset="" if is_typed else source,
            where={} if is_typed or split == _ALL else {"split": [split]},
            limit=0 if is_typed else _whole(data[self.limit_num]),
            grid=read_grid(lines),
            roles=chosen["role"],
            targets=chosen["target"],
            layouts=chosen["layout"],
            seeds=_whole(data[self.seeds_num]),
            sampling=self.sampling.read(data),
            use_reasoning=bool(data[self.use_reasoning_cb]),
            exact=bool(data[self.exact_cb]),
            wordings=self._wordings(data),
        ).checked()

    def _prompts(self, data: Data) -> tuple[SweepPrompt, ...]:
        """What was typed, cut at the lines of hyphens; each part goes with its question."""
        boxes = (self.instruction_box, self.input_box, self.reasoning_box, self.reference_box)
        parts = [_cut(str(data[box] or "")) for box in boxes]
        count = len(parts[0])
        for found in parts[1:]:
            if len(found) not in (1, count) or (len(found) == 1 < count and found[0]):
                raise UsageError(
                    f"There are {count:,} prompts, but {len(found):,} parts in a box that goes "
                    "with them. Write as many there, a line of three hyphens between them, or "
                    "leave it empty."
                )
        category = str(data[self.category_dd] or "open_qa")
        whole = [found * count if len(found) == 1 else found for found in parts]
        return tuple(SweepPrompt(*texts, category) for texts in zip(*whole, strict=True))

    def _wordings(self, data: Data) -> dict[str, str]:
        written = {role: str(data[box] or "").strip() for role, box in self.roles.items()}
        return {
            role: shown for role, shown in written.items() if shown not in ("", ROLES[role].text)
        }

    def fill(self, spec: SweepSpec) -> Updates:
        """The controls as an order has them; the page's own sampling is left alone."""
        updates: Updates = {
            self.source_dd: spec.dataset or TYPED,
            self.models_dd: list(spec.models),
            self.seeds_num: spec.seeds,
            self.use_reasoning_cb: spec.use_reasoning,
        }
        if spec.dataset:
            splits = spec.where.get("split")
            updates[self.split_dd] = splits[0] if isinstance(splits, list) and splits else _ALL
            updates[self.limit_num] = spec.limit
        else:
            updates |= self._fill_prompts(spec.prompts)
        for name, box in self.grid_boxes.items():
            updates[box] = ", ".join(f"{value:g}" for value in spec.grid.get(name, ()))
        values = {"role": spec.roles, "target": spec.targets, "layout": spec.layouts}
        for name, box in self.choice_dds.items():
            updates[box] = [value or OWN for value in values[name]]
        return updates

    def _fill_prompts(self, prompts: Sequence[SweepPrompt]) -> Updates:
        def joined(texts: Sequence[str]) -> str:
            return "\n---\n".join(texts) if any(texts) else ""

        return {
            self.instruction_box: joined([one.instruction for one in prompts]),
            self.input_box: joined([one.input for one in prompts]),
            self.reasoning_box: joined([one.reasoning for one in prompts]),
            self.reference_box: joined([one.reference for one in prompts]),
            self.category_dd: prompts[0].category if prompts else "open_qa",
        }

    def ask_about(self, comparison: Comparison) -> Updates:
        """The prompt, models and ways of asking of a comparison; its grid stays as it is.

        Where the two sides are asked differently, each model is left to its own way.
        """
        prompt = SweepPrompt(
            comparison.instruction, comparison.input, comparison.reasoning, comparison.reference,
            comparison.category,
        )  # fmt: skip
        left, right = comparison.left, comparison.right
        updates = self._fill_prompts([prompt]) | {
            self.source_dd: TYPED,
            self.models_dd: list(dict.fromkeys(s.model for s in (left, right) if s.model)),
            self.use_reasoning_cb: left.use_reasoning and bool(comparison.reasoning.strip()),
        }
        for name, box in self.choice_dds.items():
            values = [getattr(left, name), getattr(right, name)]
            updates[box] = [values[0] or OWN] if values[0] == values[1] else [OWN]
        return updates

    def sources(self, names: Sequence[str], chosen: str) -> Updates:
        """Where prompts can come from now; the shipped records are offered before they are here."""
        known = [*names, *([SHIPPED] if SHIPPED not in names and find_shipped() else [])]
        choices = [(self.say("sweep.source.typed"), TYPED), *((name, name) for name in known)]
        value = chosen if chosen in known else TYPED
        return {self.source_dd: gr.update(choices=choices, value=value)} | self.groups(value)

    def groups(self, source: str) -> Updates:
        """The controls of one kind of prompts."""
        is_typed = (source or TYPED) == TYPED
        return {
            self.typed_group: gr.update(visible=True if is_typed else OFF),
            self.records_group: gr.update(visible=OFF if is_typed else True),
        }

    def names(self, request: gr.Request) -> list[str]:
        """The data sets that are there."""
        return [dataset.name for dataset in list_datasets(self.context.records(request))]


def _picked(value: object) -> tuple[str, ...]:
    """The values of a list; none of them is the model's own."""
    found = tuple("" if one == OWN else str(one) for one in value or ())  # type: ignore[attr-defined]
    return found or ("",)


def _cut(shown: str) -> list[str]:
    return [part.strip() for part in _BETWEEN.split(shown)]


def _whole(value: object) -> int:
    return int(value or 0)  # type: ignore[call-overload]
