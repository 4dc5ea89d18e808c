"""The Roles tab: one question under four roles at once, and the language trial."""

from collections.abc import Iterator, Sequence

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS
from qeu.core.roles import ROLE_IDS, ROLES
from qeu.services.roles import ROLE_TARGETS, FourRoles, start_roles
from qeu.ui.compare_form import Data, QuestionForm, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.roles_view import RolePanel, RolesView
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.streaming import stream_run
from qeu.ui.strings import text
from qeu.ui.translation_source import part_name, read_side
from qeu.ui.trial_panel import TrialPanel

PLACE = "roles"
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", "show_progress": "hidden"}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# One question that every role takes another way, in reach of a model of 135 million parameters.
EXAMPLE = "Tell me about the moon."


class RolesTab:
    """Builds the tab; `wire` connects it once the Compare tab's question exists."""

    def __init__(
        self,
        context: Context,
        say: Words,
        sampling: SamplingForm,
        exact_cb: gr.Checkbox,
        models: Sequence[tuple[str, str]],
    ) -> None:
        self.context, self.sampling, self.exact_cb = context, sampling, exact_cb
        with gr.Row(elem_classes="q-tight"):
            self.model_dd = gr.Dropdown(
                list(models),
                value=DEFAULT_MODEL,
                label=say("side.model"),
                allow_custom_value=True,
                elem_id="roles-model",
                min_width=200,
                scale=3,
            )
            self.layout_dd = gr.Dropdown(
                [(say("layout.auto"), ""), *((layout, layout) for layout in LAYOUTS)],
                value="",
                label=say("side.layout"),
                elem_id="roles-layout",
                min_width=150,
                scale=2,
            )
        with gr.Tabs(elem_id="roles-parts"):
            with gr.Tab(say("roles.four"), id="four"):
                self._build_four(say)
            with gr.Tab(say("trial.title"), id="trial"):
                self.trial = TrialPanel(
                    context, say, sampling, exact_cb, self.model_dd, self.layout_dd, self.roles
                )
        # Another language reaches an opened tab's texts that depend on controls through this.
        self.spoken = gr.State("en")
        self.model_dropdowns = [self.model_dd]

    def _build_four(self, say: Words) -> None:
        with gr.Row(elem_classes="q-tight"):
            self.instruction_box = gr.Textbox(
                EXAMPLE,
                label=say("question.instruction"),
                placeholder=say("roles.instruction.hint"),
                lines=3,
                max_lines=3,
                elem_id="roles-instruction",
                scale=3,
                min_width=300,
            )
            self.input_box = gr.Textbox(
                label=say("question.input"),
                placeholder=say("question.input.hint"),
                lines=3,
                max_lines=3,
                elem_id="roles-context",
                scale=2,
                min_width=260,
            )
            self.target_dd = gr.Dropdown(
                [
                    (say("roles.target.own" if name == "own" else f"target.{name}"), name)
                    for name in ROLE_TARGETS
                ],
                value="answer",
                label=say("side.target"),
                info=say("roles.target.help"),
                elem_id="roles-target",
                min_width=190,
                scale=1,
            )
        with gr.Row(elem_classes="q-actions"):
            self.run_btn = gr.Button(
                say("roles.run"), variant="primary", elem_id="roles-run", min_width=130, scale=2
            )
            self.stop_btn = gr.Button(
                say("action.stop"), variant="stop", elem_id="roles-stop", min_width=90
            )
            self.take_btn = gr.Button(say("roles.take"), elem_id="roles-take", min_width=170)
        self.notice = gr.HTML(notice_html(text("roles.hint", "en")), elem_id="roles-notice")
        self.view = RolesView(self.context, say)
        self.roles: dict[str, gr.Textbox] = {
            role_id: panel.wording_box for role_id, panel in self.view.panels.items()
        }

    def wire(self, tab: gr.Tab, question: QuestionForm) -> None:
        """Connect every control; `tab` is this tab, `question` the Compare tab's."""
        tab.select(self.on_open, None, self.spoken, **QUIET)
        shown = {self.notice, *self.view.outputs()}
        self.run_btn.click(self.on_run, self._inputs(), shown, api_visibility="private", **MANY)
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)
        self.take_btn.click(
            lambda instruction, given: (instruction, given),
            [question.instruction_box, question.input_box],
            [self.instruction_box, self.input_box],
            **QUIET,
        )
        for panel in self.view.panels.values():
            self._wire_panel(panel)
        self.spoken.change(
            self.on_spoken,
            set(self.roles.values()),
            {part for panel in self.view.panels.values() for part in panel.marks()},
            **QUIET,
        )
        self.trial.wire(self.spoken)

    def _wire_panel(self, panel: RolePanel) -> None:
        def stop_one(request: gr.Request) -> None:
            self.on_stop(request, panel.role_id)

        def mark(wording: str | None, request: gr.Request) -> Updates:
            return panel.mark_wording(wording or "", language_of(request))

        panel.side.stop_btn.click(stop_one, queue=False, **QUIET)
        panel.side.copy_btn.click(None, js=panel.copy_js, api_visibility="private")
        panel.side.strip.wire(read_side(self.context, PLACE, panel.role_id), part_name)
        panel.restore_btn.click(
            lambda: ROLES[panel.role_id].text, None, panel.wording_box, queue=False, **QUIET
        )
        # Compare's history fills the wording too, so this listens to every change.
        panel.wording_box.change(
            mark, panel.wording_box, panel.marks(), trigger_mode="always_last", **QUIET
        )

    def _inputs(self) -> set[gr.components.Component]:
        return {
            self.model_dd,
            self.layout_dd,
            self.instruction_box,
            self.input_box,
            self.target_dd,
            self.exact_cb,
            *self.sampling.components(),
            *self.roles.values(),
        }

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {self.notice, self.spoken, *self.view.outputs(), *self.trial.outputs()}

    def read(self, data: Data) -> FourRoles:
        """The form as it stands; raises QeuError for values that cannot be used."""
        return FourRoles(
            model=str(data[self.model_dd] or "").strip(),
            instruction=str(data[self.instruction_box] or ""),
            input=str(data[self.input_box] or ""),
            layout=str(data[self.layout_dd] or ""),
            target=str(data[self.target_dd]),
            sampling=self.sampling.read(data),
            exact=bool(data[self.exact_cb]),
            roles=read_wordings(self.roles, data),
        )

    def on_run(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Run all four roles and stream them; an older run of this tab is stopped first."""
        session, language = self.context.sessions.of(request), language_of(request)
        try:
            round_ = self.read(data)
            self.context.check_model(round_.model)
            run = start_roles(self.context.engines(request), round_)
        except QeuError as error:
            session.stop(PLACE)
            yield {self.notice: notice_html(tell(str(error), language), "error")}
            return
        first = {
            self.notice: notice_html(text("roles.plan", language, model=round_.model)),
            **self.view.show_lives(run.live, language),
        }

        def show(changed: set[str]) -> Updates:
            return self.view.show_lives(run.live, language, whole=False, only=changed)

        yield from stream_run(session, PLACE, run, first, show, {self.notice: gr.skip()})
        if session.is_current(PLACE, run):
            yield self.view.show_lives(run.live, language)

    def on_stop(self, request: gr.Request, role_id: str | None = None) -> None:
        """Stop one role or all four; the texts so far stay."""
        self.context.sessions.of(request).stop(PLACE, role_id)

    def on_open(self, request: gr.Request) -> object:
        """The tab was opened: `spoken` changes where its texts stand in another language."""
        language = language_of(request)
        is_new = self.context.sessions.of(request).open_tab(PLACE, language)
        return language if is_new else gr.skip()

    def on_spoken(self, data: Data, request: gr.Request) -> Updates:
        """The roles' titles and marks in the page's language."""
        self.context.sessions.of(request).open_tab(PLACE, language_of(request))
        updates: Updates = {}
        for panel in self.view.panels.values():
            wording = str(data[panel.wording_box] or "")
            updates |= panel.mark_wording(wording, language_of(request))
        return updates

    def on_language(self, request: gr.Request) -> Updates:
        """Show again, in the language just chosen, what the server had written in another."""
        session, language = self.context.sessions.of(request), language_of(request)
        return {
            self.notice: notice_html(text("roles.hint", language)),
            **({self.spoken: language} if session.has_opened(PLACE) else {}),
            **self.view.show_lives(session.shown.get(PLACE, {}), language),
            **self.view.show_translations(request),
            **self.trial.on_language(request),
        }


def read_wordings(boxes: dict[str, gr.Textbox], data: Data) -> dict[str, str]:
    """The edited wordings by role id; shipped and empty ones are left out."""
    wordings = {role_id: str(data[boxes[role_id]] or "").strip() for role_id in ROLE_IDS}
    return {
        role_id: wording
        for role_id, wording in wordings.items()
        if wording not in ("", ROLES[role_id].text)
    }
