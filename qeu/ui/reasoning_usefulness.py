"""How useful the texts of the chosen jobs are to a student: measured meanwhile, then pictured."""

import gradio as gr

from qeu.core.errors import QeuError
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL
from qeu.ui.dataset_work_panel import MANY, QUIET, bar_html
from qeu.ui.models_drawer import model_choices
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_merge import ChosenPanel
from qeu.ui.reasoning_usefulness_view import report_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

# Records of a first look: a few minutes on the embedded model and two cores.
FIRST_LIMIT = 50
TICK_S = 1.0


class UsefulnessPanel(ChosenPanel):
    """Choose the student, start, look; the measurement goes on whoever looks at the page."""

    name = "useful"

    def build(self) -> None:
        """The accordion; on a public page a sentence stands in it, and nothing else."""
        say, public = self.say, self.context.settings.public
        with gr.Accordion(
            say("usefulness.title"), open=False, elem_id="job-useful"
        ) as self.accordion:
            intro = say("usefulness.public") if public else say("usefulness.intro")
            gr.Markdown(intro, elem_classes="q-intro")
            if not public:
                self._build_controls()

    def _build_controls(self) -> None:
        say = self.say
        # what of the measurement this page has shown
        self.state = gr.State({})
        # raised when the review has lines to show
        self.news = gr.Number(0, visible="hidden", elem_id="job-useful-news")
        self.timer = gr.Timer(TICK_S, active=False)
        with gr.Row(elem_classes="q-tight"):
            self.student_dd = gr.Dropdown(
                model_choices(self.context),
                value=DEFAULT_MODEL,
                allow_custom_value=True,
                label=say("usefulness.student"),
                info=say("usefulness.student.help"),
                elem_id="job-useful-student",
                min_width=220,
                scale=2,
            )
            self.limit_num = gr.Number(
                FIRST_LIMIT, precision=0, minimum=0, label=say("job.limit"),
                info=say("job.limit.help"), elem_id="job-useful-limit", min_width=120,
            )  # fmt: skip
        with gr.Row(elem_classes="q-actions"):
            self.start_btn = gr.Button(
                say("job.start"), size="md", variant="primary", elem_id="job-useful-do",
                min_width=130, scale=0,
            )  # fmt: skip
            self.build_stop()
        self.build_line()
        self.build_report()

    def wire(self) -> None:
        """Connect the controls; the clock runs only while something is measured."""
        if self.context.settings.public:
            return
        super().wire()
        inputs, outputs = self.inputs(), self.shown()
        self.start_btn.click(self.on_start, inputs, outputs, **MANY)
        self.timer.tick(self.on_tick, inputs, outputs, concurrency_limit=None, **QUIET)
        gr.on(
            [self.student_dd.change, self.jobs.news.change],
            self.on_look, inputs, outputs, trigger_mode="always_last",
            # one after the other: of two students chosen quickly the later must win
            concurrency_limit=1,
            **QUIET,
        )  # fmt: skip
        self.accordion.expand(self.on_open, inputs, outputs | {self.student_dd}, **MANY)

    def inputs(self) -> set[object]:
        """What every handler reads."""
        return {self.state, self.news, self.student_dd, self.limit_num, self.jobs.chosen}

    def shown(self) -> set[object]:
        """What every handler may update."""
        return {
            self.state, self.news, self.timer, self.line, self.report, self.start_btn,
            self.stop_btn,
        }  # fmt: skip

    def outputs(self) -> set[object]:
        """Nothing: the list of jobs brings this panel to another language through its news."""
        return set()

    def on_language(self, request: gr.Request) -> Updates:
        """See `outputs`."""
        return {}

    def on_start(self, data: Data, request: gr.Request) -> Updates:
        """Begin to measure."""
        language = language_of(request)
        try:
            _, group = self.read_group(data, request)
            student = self._student(data)
            if not student:
                raise QeuError("No student is chosen. Choose the model that is to be helped.")
            limit = int(data[self.limit_num] or 0)  # type: ignore[call-overload]
            if limit < 0:
                raise QeuError(f"The limit is {limit}; choose 0 (all) or more.")
        except QeuError as error:
            return self.refuse(error, request)
        runs = self.context.usefulness
        if not runs.start(self.context.engines(request), group.jobs, student, limit):
            shown = self._show(data, request)
            return shown | {self.line: notice_html(text("data.work.busy", language), "warning")}
        return self._show({**data, self.state: {"running": True}}, request)

    def on_stop(self, request: gr.Request) -> None:
        """Stop it; what was computed is kept."""
        if run := self.context.usefulness.latest:
            run.stop()

    def on_tick(self, data: Data, request: gr.Request) -> Updates:
        """How far it is; a new picture only where there are new rows."""
        return self._show(data, request)

    def on_look(self, data: Data, request: gr.Request) -> Updates:
        """Other jobs, another student or language: all anew."""
        state = {"running": _state(data[self.state]).get("running", False)}
        return self._show({**data, self.state: state}, request)

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The adapters there are now, and what is known."""
        choices = model_choices(self.context, language_of(request))
        return self.on_look(data, request) | {self.student_dd: gr.update(choices=choices)}

    def _show(self, data: Data, request: gr.Request) -> Updates:
        runs, language = self.context.usefulness, language_of(request)
        state, running, revision = _state(data[self.state]), runs.running, runs.revision
        updates: Updates = {
            self.state: {"running": running, "revision": revision},
            self.timer: gr.Timer(TICK_S, active=running),
            self.start_btn: gr.update(interactive=not running),
            self.stop_btn: gr.update(interactive=running),
            self.line: self._line(data, language),
        }
        if state.get("revision") != revision:
            try:
                _, group = self.read_group(data, request)
                shown = report_html(runs, group, self._student(data), language)
            except QeuError:  # said where the jobs are chosen
                shown = ""
            updates[self.report] = shown
        if state.get("running") and not running:
            updates[self.news] = int(data[self.news] or 0) + 1  # type: ignore[call-overload]
        return updates

    def _line(self, data: Data, language: str) -> str:
        """How far the measurement is, or how it ended if these jobs were meant."""
        run = self.context.usefulness.latest
        if run is None:
            return notice_html("")
        if not run.finished:
            return bar_html(run, language)
        if list(run.jobs) != sorted(int(number) for number in data[self.jobs.chosen] or ()):  # type: ignore[attr-defined]
            return notice_html("")
        if run.error:
            return self.error_html(run.error, language)
        if run.stopping.is_set():
            return notice_html(text("usefulness.stopped", language), "warning")
        return notice_html("")

    def _student(self, data: Data) -> str:
        return str(data[self.student_dd] or "").strip()


def _state(value: object) -> dict[str, object]:
    return dict(value or {})  # type: ignore[call-overload]
