"""The sweep on the Evaluate tab: order a grid, watch it, read its heat map and any cell's texts."""

import json
from collections.abc import Callable, Mapping

import gradio as gr
from gradio.events import Dependency

from qeu.core.errors import QeuError
from qeu.core.sweep_spec import SweepSpec
from qeu.services.compare import SIDES
from qeu.services.sweep_result import Sweep, read_cell
from qeu.store.sweeps import list_sweeps
from qeu.ui.compare_form import Data, Updates
from qeu.ui.compare_tab import load_examples
from qeu.ui.context import Context, Words
from qeu.ui.dataset_work_panel import MANY, QUIET
from qeu.ui.panels import notice_html
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.sweep_cell_view import cell_html, cells_html
from qeu.ui.sweep_files import SweepFiles
from qeu.ui.sweep_form import SweepForm
from qeu.ui.sweep_line import about_html, is_large, line_html
from qeu.ui.sweep_look import Look, change_look
from qeu.ui.sweep_reader import SweepReader
from qeu.ui.sweep_use import SweepUse, find_text
from qeu.ui.sweep_view import find_map, nothing_html, others_html, sweep_html
from qeu.ui.train_order_panel import ACT_JS

TICK_S = 1.0
PLACE = "sweep"
_MOST_OTHERS = 50


class SweepTab:
    """Builds the part; `wire` connects it. On a public page there is none, and it says so."""

    def __init__(
        self,
        context: Context,
        say: Words,
        sampling: SamplingForm,
        exact_cb: gr.Checkbox,
        roles: Mapping[str, gr.Textbox],
    ) -> None:
        self.context, self.public = context, context.settings.public
        self.form: SweepForm | None = None
        self.reader = SweepReader()
        self.files = SweepFiles()
        # what this page shows, as plain values; `mark` tells whether the map is new
        self.state = gr.State({})
        if self.public:
            gr.Markdown(say("sweep.public"), elem_id="sweep", elem_classes="q-intro")
            return
        self.form = SweepForm(context, say, sampling, exact_cb, roles)
        with gr.Row(elem_id="sweep", elem_classes="q-split", equal_height=False):
            with gr.Column(scale=4, min_width=320, elem_id="sweep-order"):
                self._build_order(say)
            with gr.Column(scale=8, min_width=340, elem_id="sweep-side"):
                self.report = gr.HTML(
                    elem_id="sweep-report", elem_classes="q-report", padding=False,
                    js_on_load=ACT_JS,
                )  # fmt: skip
                self.texts = gr.HTML(
                    elem_id="sweep-texts", elem_classes="q-report", padding=False,
                    js_on_load=ACT_JS,
                )  # fmt: skip

    def _build_order(self, say: Words) -> None:
        assert self.form is not None
        self.form.build()
        self.about = gr.HTML(elem_id="sweep-about", padding=False)
        with gr.Row(elem_classes="q-actions"):
            self.start_btn = gr.Button(
                say("job.start"), size="md", variant="primary", elem_id="sweep-start",
                min_width=130, scale=2,
            )  # fmt: skip
            self.stop_btn = gr.Button(
                say("action.stop"), size="md", variant="stop", interactive=False,
                elem_id="sweep-stop", min_width=80, scale=0,
            )  # fmt: skip
        self.line = gr.HTML(notice_html(""), elem_id="sweep-line", padding=False, js_on_load=ACT_JS)
        with gr.Row(elem_classes="q-actions"):
            self.csv_btn, self.json_btn = (
                gr.DownloadButton(
                    say(key), interactive=False, size="md", elem_id=f"sweep-{kind}", min_width=110
                )
                for kind, key in (("csv", "sweep.take.csv"), ("json", "sweep.take.json"))
            )
        self.timer = gr.Timer(TICK_S, active=False)

    def wire(
        self, place: gr.Tab, parts: gr.Tabs, tab: gr.Tab, tabs: gr.Tabs, use: SweepUse
    ) -> None:
        """Connect every control; `place` is this part among `parts`, on `tab` among `tabs`."""
        if self.form is None:
            return
        self.use = use
        inputs = self.inputs()
        place.select(self.on_open, inputs, self.opened(), **MANY)
        # back on the tab, its parts are as they were left
        tab.select(self.on_return, {self.state}, self.shown(), **MANY)
        for where, here in ((tabs, tab), (parts, place)):
            where.select(_leaver(self.timer, where.children.index(here)), None, {self.timer},
                         queue=False, **QUIET)  # fmt: skip
        for part in (self.report, self.line):
            part.select(self.on_act, {self.state}, self.shown(), **MANY)
        self.texts.select(self.on_text, self.state, {*self.read(), *use.outputs()}, **MANY)
        self.start_btn.click(self.on_start, inputs, self.shown(), **MANY)
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)
        self.timer.tick(self.on_tick, {self.state}, self.shown(), concurrency_limit=None, **QUIET)
        form = self.form
        form.source_dd.change(
            self.on_source, form.source_dd, {form.typed_group, form.records_group}, **QUIET
        )
        gr.on(
            # not `input`: in gradio 6.31 a textbox tells of only every second one
            [part.change for part in form.components()],  # type: ignore[attr-defined]
            self.on_change, inputs, self.about, trigger_mode="always_last",
            # one after the other: of two changes the later must win
            concurrency_limit=1, **QUIET,
        )  # fmt: skip

    @property
    def model_dropdowns(self) -> list[gr.Dropdown]:
        """The pickers that adapters and hosted models appear in."""
        return [self.form.models_dd] if self.form else []

    def inputs(self) -> set[object]:
        """What is read where the order matters; elsewhere the state is enough."""
        return {self.state, *(self.form.inputs() if self.form else ())}

    def read(self) -> set[object]:
        """What changes when a cell is read."""
        return {self.state, self.report, self.texts}

    def shown(self) -> set[object]:
        """What every handler may update."""
        return {
            *self.read(), self.timer, self.line, self.start_btn, self.stop_btn, self.csv_btn,
            self.json_btn,
        }  # fmt: skip

    def opened(self) -> set[object]:
        """What `on_open` may update."""
        assert self.form is not None
        groups = {self.form.typed_group, self.form.records_group}
        return {*self.shown(), *self.form.components(), *groups, self.about}

    def follow_language(self, event: Dependency) -> None:
        """Say everything again in the language just chosen, once this part was looked at."""
        if self.form is not None:
            event.then(self.on_language, self.inputs(), self.opened(), **QUIET)

    def on_language(self, data: Data, request: gr.Request) -> Updates:
        """Everything again; nothing before the part was looked at."""
        if not self.context.sessions.of(request).has_opened(PLACE):
            return {self.state: gr.skip()}
        return self.on_open(data, request)

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The part was opened: everything as it is now."""
        assert self.form is not None
        self.context.sessions.of(request).open_tab(PLACE, language_of(request))
        state = _state(data[self.state])
        updates: Updates = {} if state.get("filled") else self._first_fill()
        now = {**data, **updates}
        updates |= self.form.sources(self.form.names(request), str(now[self.form.source_dd] or ""))
        chosen = updates[self.form.source_dd]["value"]  # type: ignore[index]
        now = {**now, self.form.source_dd: chosen}
        updates[self.about] = self.on_change(now, request)
        return updates | self._show({**now, self.state: state | {"filled": True}}, request)

    def on_return(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened again: how far it is, if this part was looked at before."""
        if not self.context.sessions.of(request).has_opened(PLACE):
            return {self.state: gr.skip()}
        return self._show(data, request)

    def _first_fill(self) -> Updates:
        """The form as it was ordered last; before that the first example's question."""
        assert self.form is not None
        for one in list_sweeps(self.context.workspace, 1):
            try:
                return self.form.fill(SweepSpec.from_json(one.asked))
            except QeuError:  # ordered by another version: begin afresh
                break
        comparison = load_examples()[0]["comparison"]
        asked = str(comparison["instruction"])  # type: ignore[index]
        return {self.form.instruction_box: asked}

    def on_source(self, source: str) -> Updates:
        """Prompts of another kind have other controls."""
        assert self.form is not None
        return self.form.groups(source)

    def on_change(self, data: Data, request: gr.Request) -> str:
        """How many cells and texts are ordered now, and how long they may take."""
        assert self.form is not None
        if not self.context.sessions.of(request).has_opened(PLACE):
            return ""  # the part fills itself when it is looked at
        try:
            spec = self.form.read(data)
            return about_html(self.context, request, spec, language_of(request))
        except QeuError as error:
            return notice_html(tell(str(error), language_of(request)), "warning")

    def on_start(self, data: Data, request: gr.Request) -> Updates:
        """Begin, or go on; a very large one is asked about first."""
        assert self.form is not None
        language, state = language_of(request), _state(data[self.state])
        try:
            spec = self.form.read(data)
            asked = json.dumps(spec.to_json(), sort_keys=True)
            if is_large(self.context, request, spec) and state.get("sure") != asked:
                told = notice_html(text("sweep.sure", language), "warning")
                about = about_html(self.context, request, spec, language)
                return {self.state: state | {"sure": asked}, self.line: about + told}
            run = self.context.sweeps.start(self.context.engines(request), spec)
        except QeuError as error:
            told = notice_html(tell(str(error), language), "error")
            return self._show(data, request) | {self.line: told}
        return self._begun(run.number if run else 0, data, request)

    def _begun(self, number: int, data: Data, request: gr.Request) -> Updates:
        """A sweep has begun, 0: another still runs."""
        if not number:
            told = text("data.work.busy", language_of(request))
            return self._show(data, request) | {self.line: notice_html(told, "warning")}
        state = {"filled": True, "number": number}
        return self._show({**data, self.state: state}, request) | {self.texts: ""}

    def on_stop(self, request: gr.Request) -> None:
        """Stop it; what was written is kept."""
        if run := self.context.sweeps.latest:
            run.stop()

    def on_tick(self, data: Data, request: gr.Request) -> Updates:
        """How far it is; the map where there is more of it."""
        return self._show(data, request)

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """Another measure, axis or sweep was asked for, or a cell was clicked."""
        act = event._data if isinstance(event._data, dict) else {}
        do, value = str(act.get("do") or ""), str(act.get("value") or "")
        state = _state(data[self.state])
        if do in ("show", "resume"):
            number = int(value) if value.isdecimal() else 0
            return self._go_to(number, do == "resume", data, request)
        try:
            sweep = self._sweep(state)
            if sweep is None:
                return {self.state: gr.skip()}
            if do == "field":
                return self._open_field(sweep, value, state, request)
            if do == "cell":
                return self._open_cell(sweep, int(value), state, request)
            state["look"] = change_look(sweep, _look(state), do, value).to_json()
        except QeuError as error:
            told = notice_html(tell(str(error), language_of(request)), "error")
            return {self.line: told}
        except ValueError:  # no number: our own buttons send none such
            return {self.state: gr.skip()}
        return self._show({**data, self.state: state}, request)

    def _go_to(self, number: int, resumes: bool, data: Data, request: gr.Request) -> Updates:
        if not resumes:
            state = {"filled": True, "number": number}
            return self._show({**data, self.state: state}, request) | {self.texts: ""}
        try:
            run = self.context.sweeps.resume(self.context.engines(request), number)
        except QeuError as error:
            return {self.line: notice_html(tell(str(error), language_of(request)), "error")}
        return self._begun(run.number if run else 0, data, request)

    def _open_field(
        self, sweep: Sweep, value: str, state: dict[str, object], request: gr.Request
    ) -> Updates:
        """A field of the map: its cell, or those that it stands for."""
        look = _look(state).settled(sweep)
        row, _, column = value.partition(",")
        fields = find_map(sweep, look).fields
        at, place = int(row), int(column)
        known = 0 <= at < len(fields) and 0 <= place < len(fields[at])
        one = fields[at][place] if known else None
        if one is None:
            return {self.state: gr.skip()}
        if len(one.cells) == 1:
            return self._open_cell(sweep, one.cells[0], state, request)
        return {self.texts: cells_html(sweep, one.cells, look.measure, language_of(request))}

    def _open_cell(
        self, sweep: Sweep, number: int, state: dict[str, object], request: gr.Request
    ) -> Updates:
        language = language_of(request)
        result, texts = read_cell(self.context.workspace, sweep.number, number)
        state = state | {"look": _look(state).reading(number).to_json()}
        return {
            **self._report(sweep, state, language),
            self.texts: cell_html(sweep, result, texts, language),
        }

    def on_text(self, state: object, event: gr.EventData, request: gr.Request) -> Updates:
        """A cell of several was chosen, or settings are to be used in Compare."""
        act = event._data if isinstance(event._data, dict) else {}
        do, value, now = act.get("do"), str(act.get("value") or ""), _state(state)
        language = language_of(request)
        try:
            sweep = self._sweep(now)
            if sweep is not None and do == "cell":
                return self._open_cell(sweep, int(value), now, request)
            if sweep is not None and do == "use":
                cell, prompt, seed, side = value.split(":")
                if side not in SIDES:
                    raise ValueError(side)
                result, texts = read_cell(self.context.workspace, sweep.number, int(cell))
                one = find_text(texts, int(prompt), int(seed))
                return self.use.fill(sweep, result, one, side, language)
        except QeuError as error:
            return {self.texts: notice_html(tell(str(error), language), "error")}
        except ValueError:  # as above
            pass
        return {self.state: gr.skip()}

    def _sweep(self, state: Mapping[str, object]) -> Sweep | None:
        """The sweep that this page shows: the one chosen, else the latest; None of none."""
        workspace = self.context.workspace
        number = int(state.get("number") or 0)  # type: ignore[call-overload]
        if not number:
            latest = list_sweeps(workspace, 1)
            if not latest:
                return None
            number = latest[0].id
        return self.reader.read(workspace, number)

    def _show(self, data: Data, request: gr.Request) -> Updates:
        language, state = language_of(request), _state(data[self.state])
        sweeps = self.context.sweeps
        running = sweeps.running
        updates: Updates = {
            self.timer: gr.Timer(TICK_S, active=running),
            self.start_btn: gr.update(interactive=not running),
            self.stop_btn: gr.update(interactive=running),
            self.line: line_html(self.context, language),
        }
        try:
            sweep = self._sweep(state)
        except QeuError as error:
            told = notice_html(tell(str(error), language), "error")
            others = others_html(list_sweeps(self.context.workspace, _MOST_OTHERS), language)
            return updates | {self.state: state, self.report: told + others}
        if sweep is None:
            return updates | {self.state: state, self.report: nothing_html(language)}
        return updates | self._report(sweep, state, language)

    def _report(self, sweep: Sweep, state: dict[str, object], language: str) -> Updates:
        """The map with all around it, and the files; nothing where the page has it already."""
        latest = self.context.sweeps.latest
        runs = latest is not None and not latest.finished
        mark = json.dumps(
            [sweep.number, sweep.state, len(sweep.cells), sweep.total, language, runs,
             state.get("look")]
        )  # fmt: skip
        if state.get("mark") == mark:
            return {self.state: state}
        stored = list_sweeps(self.context.workspace, _MOST_OTHERS)
        others = [one for one in stored if one.id != sweep.number]
        shown = sweep_html(sweep, _look(state), others, language)
        updates: Updates = {self.state: state | {"mark": mark}, self.report: shown}
        is_kept = bool(sweep.cells) and not (runs and latest and latest.number == sweep.number)
        paths = self.files.of(sweep) if is_kept else (None, None)
        for button, path in zip((self.csv_btn, self.json_btn), paths, strict=True):
            updates[button] = gr.update(value=path, interactive=path is not None)
        return updates


def _leaver(timer: gr.Timer, place: int) -> Callable[[gr.SelectData], Updates]:
    """The handler of a row of tabs: nobody looks any more where another than `place` is chosen."""

    def on_leave(event: gr.SelectData) -> Updates:
        return {timer: gr.skip() if event.index == place else gr.Timer(active=False)}

    return on_leave


def _look(state: Mapping[str, object]) -> Look:
    return Look.from_json(state.get("look"))


def _state(value: object) -> dict[str, object]:
    return dict(value or {})  # type: ignore[call-overload]
