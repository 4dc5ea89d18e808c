"""Between the sweep and the Compare tab: a cell's settings go there, its question comes from it."""

import gradio as gr

from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS
from qeu.core.record import CATEGORIES
from qeu.core.roles import BY_CATEGORY, ROLE_IDS, ROLES, role_for
from qeu.core.sampling import Sampling
from qeu.services.compare import SideSettings
from qeu.services.sweep_result import CellResult, CellText, Sweep
from qeu.ui.compare_actions import SHIPPED_ROLES
from qeu.ui.compare_form import CompareForm, Data, Updates
from qeu.ui.compare_view import CompareView
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.sweep_form import SweepForm

# On a narrow screen the drawer that the button stands in would lie over what it leads to.
CLOSE_JS = (
    "(...args) => { if (window.innerWidth < 1000) window.qeuToggleSidebar('sampling'); "
    "return args; }"
)


class SweepUse:
    """Fills the Compare form from a cell, and the sweep's form from Compare."""

    def __init__(self, form: CompareForm, view: CompareView, tabs: gr.Tabs, parts: gr.Tabs) -> None:
        self.form, self.view, self.tabs, self.parts = form, view, tabs, parts

    def outputs(self) -> set[object]:
        """All that `fill` may update."""
        return {*self.form.outputs(), self.view.notice, self.tabs}

    def fill(
        self, sweep: Sweep, result: CellResult, one: CellText, side: str, language: str
    ) -> Updates:
        """A cell's settings, asked the prompt of one of its texts with that text's seed.

        On the left its sampling is the page's own; on the right it is that side's alone, so that
        two cells can stand side by side.
        """
        record, setting = one.record, result.cell.setting
        role = _role_of(result, one)
        sampling = Sampling.from_json(setting.sampling.to_json() | {"seed": one.sample.seed})
        settings = SideSettings(
            setting.model,
            role,
            result.layout if result.layout in LAYOUTS else "",
            result.target,
            sweep.spec.use_reasoning,
            sampling if side == "right" else None,
        )
        question = self.form.question
        updates: Updates = {
            **self.form.sides[side].fill(settings),
            question.instruction_box: record.instruction,
            question.input_box: record.input,
            question.reasoning_box: record.reasoning,
            question.reference_box: record.output,
            question.category_dd: record.category if record.category in CATEGORIES else "open_qa",
            self.form.exact_cb: sweep.spec.exact,
            self.form.roles[role]: sweep.spec.wordings.get(role) or ROLES[role].text,
            self.tabs: gr.update(selected="compare"),
        }
        if side == "left":
            updates |= self.form.sampling.fill(sampling)
        told = text("sweep.used", language, number=sweep.number, cell=result.number)
        return updates | {self.view.notice: notice_html(told)}

    def wire(self, button: gr.Button, sweep: SweepForm, state: gr.State) -> None:
        """Turn to the sweep with Compare's prompt, models and ways of asking filled in."""

        def on_sweep(data: Data, request: gr.Request) -> Updates:
            try:
                asked = sweep.ask_about(self.form.read(data, SHIPPED_ROLES))
            except QeuError as error:
                told = tell(str(error), language_of(request))
                return {self.view.notice: notice_html(told, "error")}
            asked |= sweep.groups("") | {state: {**dict(data[state] or {}), "filled": True}}  # type: ignore[call-overload]
            return asked | {
                self.tabs: gr.update(selected="evaluate"),
                self.parts: gr.update(selected="sweep"),
            }

        shown = {*sweep.components(), sweep.typed_group, sweep.records_group, state}
        button.click(
            on_sweep,
            self.form.components() | {state},
            shown | {self.tabs, self.parts, self.view.notice},
            js=CLOSE_JS,
            show_progress="hidden",
            api_visibility="private",
        )


def find_text(texts: list[CellText], prompt: int, seed: int) -> CellText:
    """The text of a prompt and a seed; raises UsageError where the cell has none."""
    for one in texts:
        if (one.sample.prompt, one.sample.seed) == (prompt, seed):
            return one
    raise UsageError(f"This cell has no text of prompt {prompt + 1} with seed {seed}.")


def _role_of(result: CellResult, one: CellText) -> str:
    """The role that this prompt was asked in, as Compare knows it."""
    role = result.role
    if role == BY_CATEGORY.id:
        role = role_for(BY_CATEGORY, one.record.category).id
    return role if role in ROLE_IDS else "assistant"
