"""The Evaluate tab: did it help? Order an evaluation, watch it, read its verdict."""

import json
import tempfile
from pathlib import Path

import gradio as gr
from gradio.events import Dependency

from qeu.core.errors import QeuError
from qeu.services.evaluate import STEPS
from qeu.services.evaluate_order import EvalOrder, count_records
from qeu.services.evaluate_report import html_report
from qeu.services.evaluate_runs import EvaluateRun
from qeu.services.evaluate_stored import KeptEvaluation, list_shipped
from qeu.store.evaluations import FINISHED, list_evaluations
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_work_panel import MANY, QUIET, bar_html
from qeu.ui.evaluate_form import EvaluateForm
from qeu.ui.evaluate_view import evaluation_html, nothing_html
from qeu.ui.markup import escape
from qeu.ui.panels import failure_html, notice_html
from qeu.ui.reasoning_jobs_view import time_text
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.train_order_panel import ACT_JS

TICK_S = 1.0
PLACE = "evaluate"
STEP_WORDS = {
    "texts": "evaluate.step.texts",
    "answers": "evaluate.step.answers",
    "losses": "evaluate.step.losses",
}
assert set(STEP_WORDS) == set(STEPS)


class EvaluateTab:
    """Builds the tab; `wire` connects it. On a public page it shows what came with adapters."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context, self.public = context, context.settings.public
        self.form: EvaluateForm | None = None
        self._files: dict[int, tuple[str, str]] = {}
        self._has_shipped = True
        # what this page shows: written by every answer. `mark` tells whether the results are new
        self.state = gr.State({})
        with gr.Row(elem_id="evaluate", elem_classes="q-split", equal_height=False):
            if not self.public:
                with gr.Column(scale=4, min_width=320, elem_id="evaluate-order"):
                    self._build_order(say)
            with gr.Column(scale=8, min_width=340, elem_id="evaluate-side"):
                self.report = gr.HTML(
                    elem_id="evaluate-report", elem_classes="q-report", padding=False,
                    js_on_load=ACT_JS,
                )  # fmt: skip

    def _build_order(self, say: Words) -> None:
        gr.Markdown(say("evaluate.title"), elem_classes="q-section")
        self.form = EvaluateForm(self.context, say)
        self.form.build()
        self.about = gr.HTML(elem_id="evaluate-about", padding=False)
        with gr.Row(elem_classes="q-actions"):
            self.start_btn = gr.Button(
                say("job.start"), size="md", variant="primary", elem_id="evaluate-start",
                min_width=130, scale=2,
            )  # fmt: skip
            self.stop_btn = gr.Button(
                say("action.stop"), size="md", variant="stop", interactive=False,
                elem_id="evaluate-stop", min_width=80, scale=0,
            )  # fmt: skip
        self.line = gr.HTML(notice_html(""), elem_id="evaluate-line", padding=False)
        with gr.Row(elem_classes="q-actions"):
            self.html_btn = self._download(say("evaluate.take.report"), "html")
            self.json_btn = self._download(say("evaluate.take.json"), "json")
        self.timer = gr.Timer(TICK_S, active=False)

    def _download(self, label: object, kind: str) -> gr.DownloadButton:
        return gr.DownloadButton(
            label,  # type: ignore[arg-type]
            interactive=False, size="md", elem_id=f"evaluate-{kind}", min_width=110,
        )  # fmt: skip

    def wire(self, tab: gr.Tab, tabs: gr.Tabs) -> None:
        """Connect every control; `tab` is this tab among `tabs`."""
        inputs = self.inputs()
        tab.select(self.on_open, inputs, self.opened(), **MANY)
        self.report.select(self.on_act, inputs, self.shown(), **MANY)
        if self.form is None:
            return
        # the clock stands still while another tab is on the screen
        self.place = tabs.children.index(tab)
        tabs.select(self.on_leave, None, {self.timer}, queue=False, **QUIET)
        self.start_btn.click(self.on_start, inputs, self.shown(), **MANY)
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)
        self.timer.tick(self.on_tick, inputs, self.shown(), concurrency_limit=None, **QUIET)
        gr.on(
            [part.input for part in self.form.components()],  # type: ignore[attr-defined]
            self.on_change, inputs, self.about, trigger_mode="always_last",
            # one after the other: of two changes the later must win
            concurrency_limit=1, **QUIET,
        )  # fmt: skip

    @property
    def model_dropdowns(self) -> list[gr.Dropdown]:
        """The pickers that adapters and hosted models appear in."""
        return [self.form.others_dd] if self.form else []

    def inputs(self) -> set[object]:
        """What every handler reads."""
        return {self.state, *(self.form.components() if self.form else ())}

    def shown(self) -> set[object]:
        """What every handler may update."""
        if self.form is None:
            return {self.state, self.report}
        return {
            self.state, self.report, self.timer, self.line, self.start_btn, self.stop_btn,
            self.html_btn, self.json_btn,
        }  # fmt: skip

    def opened(self) -> set[object]:
        """What `on_open` may update."""
        return self.shown() | ({*self.form.components(), self.about} if self.form else set())

    def follow_language(self, event: Dependency) -> None:
        """Say everything again in the language just chosen.

        Not with the rest of the page: that is done when it opens, too, and this tab fills itself
        when it is looked at.
        """
        event.then(self.on_language, self.inputs(), self.opened(), **QUIET)

    def on_language(self, data: Data, request: gr.Request) -> Updates:
        """Everything again; nothing before the tab was looked at."""
        if not self.context.sessions.of(request).kept.get(PLACE):
            return {self.state: gr.skip()}
        return self.on_open(data, request)

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened: everything as it is now."""
        self.context.sessions.of(request).kept[PLACE] = True
        state = _state(data[self.state])
        updates: Updates = {}
        if self.form is not None:
            names = self.form.names(request)
            chosen = str(data[self.form.dataset_dd] or "")
            if not state.get("filled"):
                updates, chosen = self._first_fill(data)
            updates |= self.form.datasets(names, chosen)
            value = updates[self.form.dataset_dd]["value"]  # type: ignore[index]
            now = {**data, **updates, self.form.dataset_dd: value}
            updates[self.about] = self._about(now, request)
        return updates | self._show({**data, self.state: state}, request, opening=True)

    def _first_fill(self, data: Data) -> tuple[Updates, str]:
        """The form as it was ordered last, else the newest adapter; what was chosen stays."""
        assert self.form is not None
        order = self.context.evaluations.last_order()
        if data[self.form.others_dd]:
            return {}, order.dataset if order else ""
        updates = self.form.fill(order or self.form.first_order())
        del updates[self.form.dataset_dd]
        return updates, order.dataset if order else ""

    def on_leave(self, event: gr.SelectData) -> Updates:
        """Another tab: nobody looks any more."""
        here = event.index == self.place
        return {self.timer: gr.skip() if here else gr.Timer(active=False)}

    def on_change(self, data: Data, request: gr.Request) -> str:
        """How many texts are ordered now, and how long they may take."""
        return self._about(data, request)

    def on_start(self, data: Data, request: gr.Request) -> Updates:
        """Begin, or go on."""
        assert self.form is not None
        language, runs = language_of(request), self.context.evaluations
        try:
            started = runs.start(self.context.engines(request), self.form.read(data))
        except QeuError as error:
            told = notice_html(tell(str(error), language), "error")
            return self._show(data, request) | {self.line: told}
        shown = self._show(data, request)
        if started is None:
            shown[self.line] = notice_html(text("data.work.busy", language), "warning")
        return shown

    def on_stop(self, request: gr.Request) -> None:
        """Stop it; what was written and computed is kept."""
        if run := self.context.evaluations.latest:
            run.stop()

    def on_tick(self, data: Data, request: gr.Request) -> Updates:
        """How far it is; results where there are new ones."""
        return self._show(data, request)

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """An earlier evaluation was asked for."""
        act = event._data if isinstance(event._data, dict) else {}
        number = str(act.get("value") or "")
        if act.get("do") != "show" or not number.isdecimal() or self.public:
            return {self.state: gr.skip()}
        state = _state(data[self.state]) | {"number": int(number), "mark": ""}
        return self._show({**data, self.state: state}, request)

    def follow_adapters(
        self, runs: gr.HTML, menu: gr.HTML | None, tabs: gr.Tabs, parts: gr.Tabs | None = None
    ) -> None:
        """Turn to this tab with an adapter chosen, where its run or its menu asks for that.

        Of the tab's `parts`, if it has any, this is the first one.
        """
        if self.form is None:
            return
        form = self.form
        turned: Updates = {tabs: gr.update(selected="evaluate")}
        if parts is not None:
            turned[parts] = gr.update(selected="verdict")
        changed = {*turned, self.state, form.base_dd, form.others_dd}

        def turn(asked: str, name: str) -> Updates:
            if asked != "evaluate":
                return {self.state: gr.skip()}
            return form.about_adapter(name) | {self.state: {"filled": True}} | turned

        def on_run(event: gr.EventData) -> Updates:
            act = event._data if isinstance(event._data, dict) else {}
            return turn(str(act.get("do")), str(act.get("value") or ""))

        def on_menu(event: gr.EventData) -> Updates:
            asked, _, name = str(event.ask).partition("\n")
            return turn(asked, name)

        runs.select(on_run, None, changed, **MANY)
        if menu is not None:
            menu.submit(on_menu, None, changed, **MANY)

    def _show(self, data: Data, request: gr.Request, opening: bool = False) -> Updates:
        language, state = language_of(request), _state(data[self.state])
        if self.form is None:
            return {self.state: state, self.report: self._public_html(language)}
        runs = self.context.evaluations
        running, revision = runs.running, runs.revision
        number = int(state.get("number", 0))  # type: ignore[call-overload]
        if state.get("revision", revision) != revision:
            number = 0  # a new one has come to its end
        mark = f"{revision} {number} {language}"
        updates: Updates = {
            self.state: {"filled": True, "revision": revision, "number": number, "mark": mark},
            self.timer: gr.Timer(TICK_S, active=running),
            self.start_btn: gr.update(interactive=not running),
            self.stop_btn: gr.update(interactive=running),
            self.line: self._line(language),
        }
        # adapters that come and go bring and take their own: looked at whenever the tab is opened
        if state.get("mark") != mark or (opening and self._has_shipped):
            updates |= self._results(number, language)
        return updates

    def _results(self, number: int, language: str) -> Updates:
        """One evaluation; before there is any, what came with adapters."""
        locked = gr.update(value=None, interactive=False)
        files: Updates = {self.html_btn: locked, self.json_btn: locked}
        try:
            kept = self.context.evaluations.find(number)
        except QeuError as error:
            return files | {self.report: notice_html(tell(str(error), language), "error")}
        self._has_shipped = kept is None
        if kept is None:
            return files | {self.report: self._shipped_html(language)}
        stored = list_evaluations(self.context.workspace)
        asked = next((one.asked for one in stored if one.id == kept.number), None)
        command = EvalOrder.from_json(asked).to_command() if asked else ""
        earlier = [one for one in stored if one.id != kept.number and one.state == FINISHED]
        paths = self._write(kept)
        for button, path in zip((self.html_btn, self.json_btn), paths, strict=True):
            files[button] = gr.update(value=path, interactive=True)
        return files | {self.report: evaluation_html(kept, command, earlier, language)}

    def _write(self, kept: KeptEvaluation) -> tuple[str, str]:
        """(report, JSON) as files to take away, written once."""
        if kept.number not in self._files:
            folder = Path(tempfile.mkdtemp(prefix="qeu-"))
            report = folder / f"evaluation-{kept.number}.html"
            report.write_text(html_report(kept.evaluation), "utf-8", "replace")
            data = folder / f"evaluation-{kept.number}.json"
            whole = kept.evaluation.to_json(with_texts=True)
            data.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
            self._files[kept.number] = (str(report), str(data))
        return self._files[kept.number]

    def _public_html(self, language: str) -> str:
        told = f'<p class="q-hint">{escape(text("evaluate.public", language))}</p>'
        return told + self._shipped_html(language)

    def _shipped_html(self, language: str) -> str:
        found = list_shipped(self.context.settings.adapters)
        shown = "".join(evaluation_html(kept, "", (), language) for kept in found)
        return shown or nothing_html(language, self.public)

    def _about(self, data: Data, request: gr.Request) -> str:
        """How many texts an order makes, and how long that may take."""
        assert self.form is not None
        language = language_of(request)
        try:
            order = self.form.read(data)
            spec = order.spec(self.context.settings.adapters)
            records = count_records(self.context.records(request), order)
        except QeuError as error:
            return notice_html(tell(str(error), language), "warning")
        texts = records * spec.seeds * len(spec.ways)
        told = text(
            "evaluate.about", language, texts=f"{texts:,}", records=f"{records:,}",
            ways=f"{len(spec.ways):,}", seeds=f"{spec.seeds:,}",
        )  # fmt: skip
        seconds = self.context.evaluations.estimate(order, texts)
        if seconds:
            time = time_text(seconds, language)
            told = f"{told} {text('evaluate.about.time', language, time=time)}"
        return notice_html(told)

    def _line(self, language: str) -> str:
        """How far the evaluation is, or how the last one ended."""
        runs = self.context.evaluations
        run = runs.latest
        if run is not None and not run.finished:
            return bar_html(_Bar(run), language) + _left_html(run, language)  # type: ignore[arg-type]
        if run is not None and run.error:
            return failure_html(run.error, language)
        if runs.interrupted():
            key = "evaluate.stopped" if run is not None else "evaluate.interrupted"
            return notice_html(text(key, language), "warning")
        return notice_html("")


class _Bar:
    """A run as the bar shows it, with the key of the words for its step."""

    def __init__(self, run: EvaluateRun) -> None:
        self.stopping, self.done, self.total = run.stopping, run.done, run.total
        self.step = STEP_WORDS.get(run.step, run.step)


def _left_html(run: EvaluateRun, language: str) -> str:
    """How many are there, and how long the rest of this step takes."""
    if not run.total or run.stopping.is_set():
        return ""
    told = text("evaluate.so_far", language, done=f"{run.done:,}", total=f"{run.total:,}")
    if (seconds := run.seconds_left) is not None:
        left = text("evaluate.left", language, time=time_text(seconds, language))
        told = f"{told} · {left}"
    return f'<p class="q-facts">{escape(told)}</p>'


def _state(value: object) -> dict[str, object]:
    return dict(value or {})  # type: ignore[call-overload]
