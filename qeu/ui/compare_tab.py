"""The Compare tab: two sides answer one question, streamed, checked, tuned live."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import gradio as gr

from qeu.services.compare import SIDES, Comparison
from qeu.services.defaults import Defaults
from qeu.ui.checks_panel import build_checks_panel
from qeu.ui.compare_actions import CompareActions
from qeu.ui.compare_form import CompareForm, Data, QuestionForm, SideForm, Updates
from qeu.ui.compare_view import CompareView, build_side_view
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.exhibits_panel import ExhibitsPanel
from qeu.ui.lens_actions import LensActions
from qeu.ui.lens_panel import LensPanel
from qeu.ui.models_defaults import DefaultPair
from qeu.ui.models_hosted import HostedModels
from qeu.ui.panels import notice_html
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.send_panel import SendPanel
from qeu.ui.strings import text
from qeu.ui.translation_source import part_name
from qeu.ui.visibility import OFF
from qeu.ui.votes_actions import VotesActions
from qeu.ui.votes_panel import VotesPanel

EXAMPLES_FILE = Path(__file__).parent / "examples.json"
# Each run has a queue of its own on the device; the page's queue must not hold anybody back.
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", "show_progress": "hidden"}
PRIVATE = {"api_visibility": "private"}
# The part of the address that the server cannot know.
HERE = "(...args) => { args[args.length - 1] = location.href; return args; }"


def load_examples() -> list[dict[str, object]]:
    """The example questions, each with an id and the settings of its comparison."""
    return json.loads(EXAMPLES_FILE.read_text(encoding="utf-8"))


def example_comparison(
    example: Mapping[str, object], model: str, pair: Defaults | None = None
) -> Comparison:
    """An example as a comparison of one model with itself, or of the pair to begin with.

    What an example says of a side stands; else an adapter is asked for what it learned to write.
    """
    settings = dict(example["comparison"])  # type: ignore[call-overload]
    for name in SIDES:
        usual: dict[str, object] = {"model": model}
        if pair:
            side = {"left": pair.left, "right": pair.right}[name]
            usual = {"model": side.model} | ({"target": side.target} if side.target else {})
        settings[name] = {**usual, **settings.get(name, {})}
    return Comparison.from_json(settings)


class CompareTab:
    """Builds the tab; `wire` connects it once the controls of other places exist."""

    def __init__(
        self,
        context: Context,
        say: Words,
        sampling: SamplingForm,
        switches: Mapping[str, gr.Checkbox],
        models: Sequence[tuple[str, str]],
        pair: DefaultPair | None = None,
    ) -> None:
        self.context, self.say, self.sampling, self.switches = context, say, sampling, switches
        self.pair = pair or DefaultPair(context, HostedModels(context))
        with gr.Row(elem_classes="q-tight"):
            self.example_dd = gr.Dropdown(
                [(say(f"example.{e['id']}"), i) for i, e in enumerate(load_examples())],
                value=0,
                label=say("examples.title"),
                elem_id="examples",
                scale=4,
                min_width=200,
            )
        self.question = QuestionForm(say)
        self.votes = VotesPanel(context, say)
        with gr.Row(elem_id="actions", elem_classes="q-actions"):
            self.run_btn = gr.Button(
                say("action.run"),
                variant="primary",
                elem_id="run-btn",
                size="md",
                min_width=110,
                scale=2,
            )
            self.stop_btn = gr.Button(
                say("action.stop"), variant="stop", elem_id="stop-btn", size="md", min_width=90
            )
            self.again_btn = gr.Button(
                say("action.again"), elem_id="again-btn", size="md", min_width=110
            )
            self.swap_btn = gr.Button(
                say("action.swap"), elem_id="swap-btn", size="md", min_width=90
            )
            self.cut_btn = gr.Button(
                say("action.cut"), visible=OFF, elem_id="cut-btn", size="md", min_width=150
            )
            self.votes.build_switch()
        notice = gr.HTML(notice_html(text("page.hint", "en")), elem_id="notice")
        self.pair_line = gr.HTML(elem_id="pair")
        self.side_forms, side_views = {}, {}
        with gr.Row(elem_id="sides", equal_height=False):
            for name in SIDES:
                with gr.Column(min_width=320, elem_id=f"{name}-side", elem_classes="q-side"):
                    self.side_forms[name] = SideForm(say, name, models)
                    side_views[name] = build_side_view(context, say, name, keep=True)
        self.votes.build_bar()
        self.lens = LensPanel(context)
        self.lens.build()
        with gr.Accordion(say("diff.title"), open=False, elem_id="diff"):
            diff = gr.HTML()
        with gr.Accordion(say("history.title"), open=False, elem_id="history") as self.history:
            self.search_box = gr.Textbox(
                "", show_label=False, placeholder=say("history.search"), elem_id="history-search"
            )
            history_list = gr.Radio(
                [], show_label=False, container=False, elem_id="history-list", elem_classes="q-list"
            )
        self.votes.build_standings()
        self.exhibits = ExhibitsPanel(say)
        with gr.Accordion(say("take.title"), open=False, elem_id="take") as self.take:
            with gr.Row(elem_classes="q-tight"):
                link_box = gr.Textbox(
                    "",
                    label=say("take.link"),
                    buttons=["copy"],
                    interactive=False,
                    elem_id="link",
                    scale=4,
                )
                self.link_btn = gr.Button(say("take.make_link"), elem_id="link-btn", min_width=120)
            command_box = gr.Textbox(
                "",
                label=say("take.command"),
                buttons=["copy"],
                interactive=False,
                elem_id="command",
            )
            snippet = gr.Code(
                language="python", label=say("take.snippet"), interactive=False, elem_id="snippet"
            )
            json_btn = gr.DownloadButton(say("take.json"), interactive=False, elem_id="json-btn")
            self.send = SendPanel(context, say)
        build_checks_panel(say)
        self.view = CompareView(
            notice,
            side_views,
            diff,
            self.cut_btn,
            snippet,
            command_box,
            link_box,
            json_btn,
            history_list,
            self.votes,
            self.lens,
        )

    def wire(self, roles: Mapping[str, gr.Textbox]) -> CompareActions:
        """Connect every control; `roles` are the wordings on the Roles tab."""
        form = CompareForm(
            self.question, self.side_forms, self.sampling, self.switches["exact"], roles
        )
        do = CompareActions(self.context, form, self.view)
        inputs, shown = form.components() | self.votes.inputs(), self.view.outputs()
        self.run_btn.click(do.on_run, inputs, shown, api_name="run", **PRIVATE, **MANY)
        seeds = {form.sampling.controls["seed"]} | {
            s.sampling.controls["seed"] for s in form.sides.values()
        }
        self.again_btn.click(do.on_regenerate, inputs, shown | seeds, **PRIVATE, **MANY)
        self.stop_btn.click(do.on_stop, queue=False, **PRIVATE)
        for name in SIDES:
            self.view.sides[name].stop_btn.click(_stopper(do, name), queue=False, **PRIVATE)
            self.view.sides[name].copy_btn.click(
                None, js=f"() => qeuCopy('{name}-text')", **PRIVATE
            )
            strip = self.view.sides[name].strip
            strip.wire(self.votes.reader(name), part_name)
        self._wire_live(do, inputs, shown)
        everything = form.outputs() | shown
        quiet = {"show_progress": "hidden", **PRIVATE}
        self.swap_btn.click(do.on_swap, inputs, everything, **quiet)
        self.cut_btn.click(do.on_cut, inputs, everything, **quiet)
        self._wire_link(do, inputs)
        self.send.wire(self.take)
        for name, side in self.view.sides.items():
            self.send.wire_side(name, side.keep_btn, side.keep_line)
        self._wire_history(do, everything)
        self.exhibits.wire(do.show_stored, everything)
        votes = VotesActions(self.context, self.votes, do, load_examples, self.send)
        votes.wire(inputs, everything)
        LensActions(self.lens, do).wire(shown)
        self.example_dd.input(
            _example_filler(form, self.pair),
            self.example_dd,
            form.outputs(),
            trigger_mode="always_last",
            **quiet,
        )
        self.pair.wire(self.side_forms, self.pair_line)
        for side in form.sides.values():
            side.wire()
        return do

    def _wire_live(self, do: CompareActions, inputs: set, shown: set) -> None:
        live_cb = self.switches["live"]

        def on_live(data: Data, request: gr.Request) -> Iterator[Updates]:
            yield from do.on_live(data, bool(data[live_cb]), request)

        for sampling in (self.sampling, *(s.sampling for s in self.side_forms.values())):
            for control in sampling.components():
                event = control.release if isinstance(control, gr.Slider) else control.input
                event(on_live, inputs | {live_cb}, shown, **PRIVATE, **MANY)

    def _wire_link(self, do: CompareActions, inputs: set) -> None:
        # made last, so it comes last among the values that the page's script is handed
        address = gr.Textbox("", visible=False)

        def on_link(data: Data, request: gr.Request) -> Updates:
            return do.on_link(data, str(data[address]), request)

        self.link_btn.click(
            on_link,
            inputs | {address},
            {self.view.link_box, self.view.notice},
            js=HERE,
            **PRIVATE,
        )

    def _wire_history(self, do: CompareActions, everything: set) -> None:
        found = {self.view.history_list}
        quiet = {"show_progress": "hidden", **PRIVATE}
        # not `input`: in gradio 6.31 a textbox tells of only every second one
        self.search_box.change(
            do.list_history, self.search_box, found, trigger_mode="always_last", **quiet
        )
        chosen = self.view.history_list
        chosen.input(do.on_restore, chosen, everything, trigger_mode="always_last", **quiet)


def _stopper(do: CompareActions, name: str) -> Callable[[gr.Request], None]:
    """The handler of one side's stop button; gradio hands the request only to plain functions."""

    def on_stop_side(request: gr.Request) -> None:
        do.on_stop(request, name)

    return on_stop_side


def _example_filler(form: CompareForm, pair: DefaultPair) -> Callable[[int, gr.Request], Updates]:
    """The handler of the examples' list; gradio hands the request only to plain functions."""

    def on_example(index: int, request: gr.Request) -> Updates:
        example = load_examples()[index]
        return form.fill(example_comparison(example, DEFAULT_MODEL, pair.of(request)))

    return on_example
