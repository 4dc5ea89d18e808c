"""Order a run on the Train tab: look at the plan, try one step, start; its command and YAML."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.train_command import to_command, to_twins_command
from qeu.services.train_examples import ShownExample, show_examples
from qeu.services.train_order import TrainOrder
from qeu.services.train_plan import TrainPlan, plan_order
from qeu.services.train_probe_run import ProbeResult
from qeu.services.train_runs import order_of_run
from qeu.services.train_start import plan_twins, start_run, start_twins
from qeu.services.train_try import try_step
from qeu.services.train_yaml import order_from_yaml, order_to_yaml
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_work_panel import MANY, QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_work import ReasoningPanel
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.train_form import TrainForm
from qeu.ui.train_plan_view import plan_html, probe_html, problems_html, twins_html
from qeu.ui.train_tokens_view import examples_html

# Clicks and choices within our own HTML become events of the part.
ACT_JS = (
    "element.addEventListener('click', (event) => {"
    " const one = event.target.closest('button[data-do]');"
    " if (one && !one.disabled)"
    " trigger('select', { do: one.dataset.do, value: one.dataset.value ?? '' }); });"
    "element.addEventListener('change', (event) => {"
    " const one = event.target.closest('select[data-do]');"
    " if (one) trigger('select', { do: one.dataset.do, value: one.value }); });"
)
# The text is in the page already: the browser makes a file of it.
SAVE_JS = """(text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  link.download = "training.yaml";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""
YAML_ENDINGS = [".yaml", ".yml", ".txt"]
_MOST_YAML_BYTES = 4_000_000


@dataclass(frozen=True)
class Looked:
    """What was found out about an order: a plan, or one a twin, and a few of its examples."""

    plans: tuple[TrainPlan, ...]
    examples: tuple[ShownExample, ...] = ()
    probe: ProbeResult | None = None


class OrderPanel(ReasoningPanel):
    """The form with its buttons; what it starts goes on whoever looks at the page."""

    name = "train"

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        super().__init__(context, say)
        self.form = TrainForm(context, say, place)

    def build(self) -> None:
        """The form, its buttons, and what they find out."""
        say = self.say
        self.form.build()
        with gr.Row(elem_classes="q-actions"):
            self.look_btn = gr.Button(
                say("train.look"), size="md", elem_id="train-look", min_width=110, scale=1
            )
            self.try_btn = gr.Button(
                say("train.try"), size="md", elem_id="train-try", min_width=110, scale=1
            )
            self.start_btn = gr.Button(
                say("train.start"), size="md", variant="primary", elem_id="train-start",
                min_width=110, scale=2,
            )  # fmt: skip
            self.build_stop()
        self.build_line()
        with gr.Accordion(say("train.text"), open=False, elem_id="train-text"):
            self.command_box = gr.Textbox(
                "", label=say("train.command"), buttons=["copy"], interactive=False, lines=2,
                max_lines=6, elem_id="train-command",
            )  # fmt: skip
            self.yaml_box = gr.Textbox(
                "", label=say("train.yaml"), info=say("train.yaml.help"), buttons=["copy"],
                lines=6, max_lines=16, elem_id="train-yaml",
            )  # fmt: skip
            with gr.Row(elem_classes="q-actions"):
                self.apply_btn = gr.Button(
                    say("train.yaml.apply"), size="md", elem_id="train-yaml-apply", min_width=100
                )
                self.load_btn = gr.UploadButton(
                    say("train.yaml.load"), size="md", file_types=YAML_ENDINGS,
                    elem_id="train-yaml-load", min_width=100,
                )  # fmt: skip
                self.save_btn = gr.Button(
                    say("train.yaml.save"), size="md", elem_id="train-yaml-save", min_width=100
                )
        self.report = gr.HTML(
            elem_id="train-report", elem_classes="q-report", padding=False, js_on_load=ACT_JS
        )

    def wire(self) -> None:
        """Connect the controls but Start, which the tab connects to the list of runs."""
        super().wire()
        form = self.form
        inputs, work = form.inputs(), {self.line, self.report, self.stop_btn}
        self.look_btn.click(self.on_look, inputs, work, **MANY)
        self.try_btn.click(self.on_try, inputs, work, **MANY)
        last = {"trigger_mode": "always_last", **QUIET}
        form.preset_dd.input(self.on_preset, inputs, form.outputs(), **last)
        form.dataset_dd.input(self.on_dataset, inputs, {form.scope_dd}, **last)
        gr.on(
            [part.change for part in form.components()],  # type: ignore[attr-defined]
            self.on_change, inputs, {self.command_box, self.yaml_box},
            # one after the other: of two changes the later must win
            concurrency_limit=1, **last,
        )  # fmt: skip
        self.report.select(self.on_report, None, {form.settings.parts["training"]["max_length"]},
                           **MANY)  # fmt: skip
        filled = form.outputs() | {self.line, self.report}
        self.apply_btn.click(self.on_apply, inputs | {self.yaml_box}, filled, **MANY)
        self.load_btn.upload(self.on_load, inputs | {self.load_btn}, filled, **MANY)
        self.save_btn.click(None, self.yaml_box, None, js=SAVE_JS, api_visibility="private")

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {self.line, self.report}

    def opened(self) -> set[object]:
        """All that `on_open` may update."""
        buttons = {self.start_btn, self.look_btn, self.try_btn}
        return self.form.outputs() | buttons | {self.line, self.command_box, self.yaml_box}

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened: data sets, a free name, the command as it would be now."""
        language = language_of(request)
        updates = self.form.on_open(data, request, language)
        chosen = updates[self.form.dataset_dd]["value"]  # type: ignore[index]
        for button in (self.start_btn, self.look_btn, self.try_btn):
            updates[button] = gr.update(interactive=bool(chosen))
        work = self._session(request).runs.get(f"data-{self.name}")
        if not chosen:
            updates[self.line] = notice_html(text("job.no_data", language), "warning")
        elif work is None:
            updates[self.line] = notice_html("")
        return updates

    def on_dataset(self, data: Data, request: gr.Request) -> Updates:
        """How many records are meant."""
        return self.form.on_dataset(data, request, language_of(request))

    def on_preset(self, data: Data, request: gr.Request) -> Updates:
        """The settings of a preset."""
        return self.form.fill_preset(data, language_of(request))

    def on_change(self, data: Data) -> Updates:
        """The command and the settings as they stand; both are what Start would do."""
        try:
            order = self.form.read(data)
            kinds, seeds = self.form.read_twins(data)
        except QeuError:  # said when a button is pressed
            return {self.command_box: "", self.yaml_box: gr.skip()}
        command = to_twins_command(order, kinds, seeds) if kinds else to_command(order)
        return {self.command_box: command, self.yaml_box: order_to_yaml(order)}

    def on_report(self, event: gr.EventData) -> Updates:
        """The length that keeps most examples whole."""
        act = event._data if isinstance(event._data, dict) else {}
        number = str(act.get("value") or "")
        box = self.form.settings.parts["training"]["max_length"]
        if act.get("do") != "length" or not number.isdecimal():
            return {box: gr.skip()}
        return {box: int(number)}

    def on_look(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """What the run would learn from, without starting it."""
        yield from self._find_out(data, request, probe=False)

    def on_try(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """The same, and a real step on the longest batch."""
        yield from self._find_out(data, request, probe=True)

    def _find_out(self, data: Data, request: gr.Request, probe: bool) -> Iterator[Updates]:
        try:
            workspace, order, kinds, seeds = self._read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        settings = self.context.settings

        def do(work: Work) -> Looked:
            tell, stop = work.tell, work.stopping
            if kinds:
                plans = plan_twins(workspace, order, kinds, seeds, settings, tell, stop)
            else:
                plans = [plan_order(workspace, order, settings, tell, stop)]
            first, result = plans[0], None
            shown = show_examples(workspace, first, settings, stop)
            if probe and not first.problems:
                work.note(0, 0, "train.trying")
                first, result = try_step(workspace, first, settings, stop)
            return Looked((first, *plans[1:]), tuple(shown), result)

        yield from self.run(request, do, self._show_looked)

    def _show_looked(self, result: object, language: str) -> Updates:
        assert isinstance(result, Looked)
        first, *others = result.plans
        shown = probe_html(result.probe, language) + plan_html(first, language)
        shown += examples_html(result.examples, language)
        if others:
            told = dict.fromkeys(problem for plan in others for problem in plan.problems)
            more = [problem for problem in told if problem not in first.problems]
            shown = problems_html(more, language) + twins_html(result.plans, language) + shown
        return {self.line: notice_html(""), self.report: shown}

    def start(
        self,
        data: Data,
        request: gr.Request,
        look: Callable[[Sequence[RunFolder]], Updates],
    ) -> Iterator[Updates]:
        """Start what was ordered; `look` brings the list of runs to those that were made."""
        try:
            workspace, order, kinds, seeds = self._read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        settings = self.context.settings

        def do(work: Work) -> list[RunFolder]:
            tell, stop = work.tell, work.stopping
            if kinds:
                return start_twins(
                    workspace, order, kinds, seeds, settings, on_progress=tell, stop=stop
                )
            return [start_run(workspace, order, settings, on_progress=tell, stop=stop)]

        def show(result: object, language: str) -> Updates:
            names = ", ".join(run.name for run in _runs(result))
            return {self.line: notice_html(text("train.started", language, names=names))}

        def after(result: object) -> Updates:
            name = self.form.propose_name(order.base, order.dataset)
            return {self.form.name_box: name} | look(_runs(result))

        yield from self.run(request, do, show, after)

    def refill(self, name: str, data: Data, language: str) -> Updates:
        """The form as a run was ordered, under a free name."""
        order = order_of_run(self.context.settings.adapters, name)
        told = text("train.refilled", language, name=name)
        updates = self._fill(order, "")
        return updates | {self.line: notice_html(told), self.report: ""}

    def on_apply(self, data: Data, request: gr.Request) -> Updates:
        """The form as the YAML beside it says."""
        return self._take_yaml(str(data[self.yaml_box] or ""), request)

    def on_load(self, data: Data, request: gr.Request) -> Updates:
        """The form as a YAML file says."""
        path = Path(str(data[self.load_btn]))
        if path.stat().st_size > _MOST_YAML_BYTES:
            error = QeuError("The file is too large for settings. Choose one that was saved here.")
            return self.refuse(error, request)
        return self._take_yaml(path.read_bytes(), request)

    def _take_yaml(self, written: str | bytes, request: gr.Request) -> Updates:
        language = language_of(request)
        try:
            order = order_from_yaml(written)
        except QeuError as error:
            return self.refuse(error, request)
        told = text("train.yaml.taken", language)
        return self._fill(order, order.name) | {self.line: notice_html(told)}

    def _fill(self, order: TrainOrder, name: str) -> Updates:
        name = name or self.form.propose_name(order.base, order.dataset)
        return self.form.fill(order, name)

    def _read(
        self, data: Data, request: gr.Request
    ) -> tuple[Workspace, TrainOrder, tuple[str, ...], tuple[int, ...]]:
        workspace = self.context.records(request)
        return workspace, self.form.read(data), *self.form.read_twins(data)


def _runs(result: object) -> list[RunFolder]:
    assert isinstance(result, list)
    return result
