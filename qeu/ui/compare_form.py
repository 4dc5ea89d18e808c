"""The form of the Compare tab: its controls, read as a comparison and filled from one."""

from collections.abc import Mapping, Sequence

import gradio as gr

from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES
from qeu.core.roles import ROLE_IDS
from qeu.services.compare import SIDES, Comparison, SideSettings
from qeu.ui.context import Words
from qeu.ui.sampling_form import SamplingForm

Data = Mapping[object, object]
Updates = dict[object, object]


class SideForm:
    """The controls and outputs of one side."""

    def __init__(self, say: Words, name: str, models: Sequence[tuple[str, str]]) -> None:
        self.name, self.say = name, say
        with gr.Row(elem_classes="q-tight"):
            self.model_dd = gr.Dropdown(
                list(models),
                label=say("side.model"),
                allow_custom_value=True,
                elem_id=f"{name}-model",
                min_width=200,
                scale=3,
            )
            self.target_dd = gr.Dropdown(
                [(say(f"target.{target}"), target) for target in TARGETS],
                value="answer",
                label=say("side.target"),
                elem_id=f"{name}-target",
                min_width=130,
                scale=2,
            )
        with gr.Row(elem_classes="q-tight"):
            self.role_dd = gr.Dropdown(
                [(say(f"role.{role}"), role) for role in ROLE_IDS],
                value="assistant",
                label=say("side.role"),
                elem_id=f"{name}-role",
                min_width=130,
                scale=2,
            )
            self.layout_dd = gr.Dropdown(
                [(say("layout.auto"), ""), *((layout, layout) for layout in LAYOUTS)],
                value="",
                label=say("side.layout"),
                elem_id=f"{name}-layout",
                min_width=130,
                scale=2,
            )
        with gr.Row(elem_classes="q-tight q-checks"):
            self.use_reasoning_cb = gr.Checkbox(
                True, label=say("side.use_reasoning"), elem_id=f"{name}-use-reasoning"
            )
            self.own_cb = gr.Checkbox(False, label=say("side.own"), elem_id=f"{name}-own")
        with gr.Group(visible=False) as self.own_group:
            self.sampling = SamplingForm(say, name)

    def wire(self) -> None:
        """Connect the controls that change one another."""
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        self.own_cb.input(
            lambda own: gr.update(visible=own),
            self.own_cb,
            self.own_group,
            # ticked and cleared again at once: what stands in the box in the end counts
            trigger_mode="always_last",
            **quiet,
        )
        # not `input`: a link, an example, a swap and the history change targets too
        self.target_dd.change(self.on_target, self.target_dd, self.use_reasoning_cb, **quiet)

    def on_target(self, target: str) -> Updates:
        """Only an answer follows a given reasoning; a box without effect cannot be ticked."""
        return {self.use_reasoning_cb: gr.update(**self._given(target))}

    def begin(self, target: str) -> None:
        """The same while the page is being built."""
        for name, value in self._given(target).items():
            setattr(self.use_reasoning_cb, name, value)

    def _given(self, target: str) -> dict[str, object]:
        is_read = target == "answer"
        label = "side.use_reasoning" if is_read else "side.use_reasoning.not"
        return {"interactive": is_read, "label": self.say(label)}

    def components(self) -> list[gr.components.Component]:
        """All inputs of this side."""
        return [
            self.model_dd,
            self.role_dd,
            self.layout_dd,
            self.target_dd,
            self.use_reasoning_cb,
            self.own_cb,
            *self.sampling.components(),
        ]

    def read(self, data: Data) -> SideSettings:
        """The side as it stands."""
        return SideSettings(
            model=str(data[self.model_dd] or "").strip(),
            role=str(data[self.role_dd]),
            layout=str(data[self.layout_dd] or ""),
            target=str(data[self.target_dd]),
            use_reasoning=bool(data[self.use_reasoning_cb]),
            sampling=self.sampling.read(data) if data[self.own_cb] else None,
        )

    def fill(self, side: SideSettings) -> Updates:
        """Updates that show these settings."""
        own = side.sampling is not None
        updates: Updates = {
            self.model_dd: side.model,
            self.role_dd: side.role,
            self.layout_dd: side.layout,
            self.target_dd: side.target,
            self.use_reasoning_cb: side.use_reasoning,
            self.own_cb: own,
            self.own_group: gr.update(visible=own),
        }
        return updates | (self.sampling.fill(side.sampling) if side.sampling else {})


class QuestionForm:
    """What is asked, and what it is judged by."""

    def __init__(self, say: Words) -> None:
        with gr.Row(elem_classes="q-tight"):
            self.instruction_box = gr.Textbox(
                "",
                label=say("question.instruction"),
                placeholder=say("question.instruction.hint"),
                lines=3,
                max_lines=10,
                elem_id="instruction",
                scale=3,
                min_width=300,
            )
            self.input_box = gr.Textbox(
                "",
                label=say("question.input"),
                placeholder=say("question.input.hint"),
                lines=3,
                max_lines=10,
                elem_id="context",
                scale=2,
                min_width=260,
            )
        with gr.Accordion(say("question.more"), open=False, elem_id="more"):
            with gr.Row(elem_classes="q-tight"):
                self.reasoning_box = gr.Textbox(
                    "",
                    label=say("question.reasoning"),
                    placeholder=say("question.reasoning.hint"),
                    lines=3,
                    max_lines=8,
                    elem_id="given-reasoning",
                    min_width=260,
                )
                self.reference_box = gr.Textbox(
                    "",
                    label=say("question.reference"),
                    placeholder=say("question.reference.hint"),
                    lines=3,
                    max_lines=8,
                    elem_id="reference",
                    min_width=260,
                )
            with gr.Row(elem_classes="q-tight"):
                self.category_dd = gr.Dropdown(
                    [(say(f"category.{name}"), name) for name in CATEGORIES],
                    value="open_qa",
                    label=say("question.category"),
                    info=say("question.category.info"),
                    elem_id="category",
                )
                self.language_dd = gr.Dropdown(
                    [
                        (say("language.auto"), ""),
                        *((say(f"language.{code}"), code) for code in ("en", "ja", "zh")),
                    ],
                    value="",
                    label=say("question.language"),
                    info=say("question.language.info"),
                    elem_id="expected-language",
                )


class CompareForm:
    """The whole form: question, two sides, common sampling, and the exact switch."""

    def __init__(
        self,
        question: QuestionForm,
        sides: Mapping[str, SideForm],
        sampling: SamplingForm,
        exact_cb: gr.Checkbox,
        roles: Mapping[str, gr.Textbox],
    ) -> None:
        self.question, self.sides, self.sampling = question, sides, sampling
        self.exact_cb, self.roles = exact_cb, roles

    def components(self) -> set[gr.components.Component]:
        """All inputs, for handlers that read the whole form."""
        q = self.question
        return {
            q.instruction_box,
            q.input_box,
            q.reasoning_box,
            q.reference_box,
            q.category_dd,
            q.language_dd,
            self.exact_cb,
            *self.sampling.components(),
            *self.roles.values(),
            *(c for side in self.sides.values() for c in side.components()),
        }

    def outputs(self) -> set[object]:
        """All that `fill` may update."""
        return {*self.components(), *(side.own_group for side in self.sides.values())}

    def read(self, data: Data, shipped_roles: Mapping[str, str]) -> Comparison:
        """The comparison as it stands; raises QeuError for values that cannot be used."""
        q = self.question
        edited = {
            role: str(data[box]).strip()
            for role, box in self.roles.items()
            if str(data[box] or "").strip() not in ("", shipped_roles[role])
        }
        sides = {name: self.sides[name].read(data) for name in SIDES}
        comparison = Comparison(
            sides["left"],
            sides["right"],
            instruction=str(data[q.instruction_box] or ""),
            input=str(data[q.input_box] or ""),
            reasoning=str(data[q.reasoning_box] or ""),
            reference=str(data[q.reference_box] or ""),
            category=str(data[q.category_dd]),
            expected_language=str(data[q.language_dd] or ""),
            sampling=self.sampling.read(data),
            exact=bool(data[self.exact_cb]),
            roles=edited,
        )
        return Comparison.from_json(comparison.to_json())

    def fill(self, comparison: Comparison) -> Updates:
        """Updates that show this comparison; edited role texts come with it."""
        q = self.question
        updates: Updates = {
            q.instruction_box: comparison.instruction,
            q.input_box: comparison.input,
            q.reasoning_box: comparison.reasoning,
            q.reference_box: comparison.reference,
            q.category_dd: comparison.category,
            q.language_dd: comparison.expected_language,
            self.exact_cb: comparison.exact,
        }
        updates |= self.sampling.fill(comparison.sampling)
        for name in SIDES:
            updates |= self.sides[name].fill(comparison.side(name))
        return updates | {box: comparison.role(role).text for role, box in self.roles.items()}

    def preset(self, comparison: Comparison) -> None:
        """Make this comparison what the page starts with; only while the page is being built."""
        for component, value in self.fill(comparison).items():
            if isinstance(component, gr.components.Component):
                component.value = value
        for name in SIDES:
            self.sides[name].begin(comparison.side(name).target)
