"""The Train tab: order a run, follow it and its like, look at what they write and compare them."""

from collections.abc import Iterator, Sequence

import gradio as gr

from qeu.store.run_folders import RunFolder
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_work_panel import MANY, QUIET
from qeu.ui.sessions import language_of
from qeu.ui.train_order_panel import OrderPanel
from qeu.ui.train_runs_list import RunList, adapters_mark
from qeu.ui.visibility import OFF

PLACE = "train"


class TrainTab:
    """Builds the tab; `place` is what the Dataset tab shows. `wire` connects it.

    A public page orders nothing: it shows the runs that there are, as they went.
    """

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        self.context, self.public = context, context.settings.public
        self.order: OrderPanel | None = None
        with gr.Row(elem_id="train", elem_classes="q-split", equal_height=False):
            if not self.public:
                with gr.Column(scale=6, min_width=340, elem_id="train-order"):
                    gr.Markdown(say("train.order"), elem_classes="q-section")
                    self.order = OrderPanel(context, say, place)
                    self.order.build()
            with gr.Column(scale=6, min_width=340, elem_id="train-side"):
                gr.Markdown(say("train.runs"), elem_classes="q-section")
                if self.public:
                    gr.Markdown(say("train.public"), elem_classes="q-intro")
                self.runs = RunList(context, say)
                self.runs.build_live()
        # Another language reaches an opened tab's texts that depend on controls through this.
        self.spoken = gr.State("en")
        # Says which adapters there are: the models drawer hands new ones to every picker.
        self.adapters = gr.HTML(
            adapters_mark(context.settings.adapters), visible=OFF, elem_id="train-adapters"
        )

    def wire(self, tab: gr.Tab, tabs: gr.Tabs) -> None:
        """Connect every control; `tab` is this tab among `tabs`."""
        runs, order = self.runs, self.order
        inputs, outputs = runs.inputs(), runs.outputs() | {self.adapters}
        if order is not None:
            inputs, outputs = inputs | order.form.inputs(), outputs | order.opened()
        gr.on([tab.select, self.spoken.change], self.on_open, inputs, outputs, **MANY)
        # the clock stands still while another tab is on the screen
        self.place = tabs.children.index(tab)
        tabs.select(self.on_leave, None, {runs.timer}, queue=False, **QUIET)
        runs.wire()
        if order is None:
            return
        order.wire()
        shown = runs.outputs() | {runs.looked_at}
        order.start_btn.click(
            self.on_start,
            order.form.inputs() | runs.inputs(),
            shown | {order.line, order.report, order.stop_btn, order.form.name_box},
            **MANY,
        )
        runs.list.select(
            self.on_refill, order.form.inputs(),
            order.form.outputs() | {order.line, order.report}, **MANY,
        )  # fmt: skip

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        own = {self.spoken, self.runs.seen}
        return own | self.order.outputs() if self.order else own

    def on_language(self, request: gr.Request) -> Updates:
        """The list and the view follow by themselves, through `spoken`, once they were opened."""
        updates = self.order.on_language(request) if self.order else {}
        if self.context.sessions.of(request).has_opened(PLACE):
            updates |= {self.spoken: language_of(request), self.runs.seen: {}}
        return updates

    def adapters_text(self, request: gr.Request) -> str:
        """Which adapters there are, in short; the page's header looks at it all the time."""
        return adapters_mark(self.context.settings.adapters)

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened, or the language changed: everything as the folders have it."""
        self.context.sessions.of(request).open_tab(PLACE, language_of(request))
        updates = self.runs.show(data, request) | {self.adapters: self.adapters_text(request)}
        return updates | self.order.on_open(data, request) if self.order else updates

    def on_leave(self, event: gr.SelectData) -> Updates:
        """Another tab: nobody looks any more."""
        here = event.index == self.place
        return {self.runs.timer: gr.skip() if here else gr.Timer(active=False)}

    def on_start(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Start what was ordered, and look at it."""
        assert self.order is not None

        def look(made: Sequence[RunFolder]) -> Updates:
            return self.runs.look_at(data, [run.name for run in made], request)

        yield from self.order.start(data, request, look)

    def on_refill(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """The form as a run was ordered, where that was clicked."""
        assert self.order is not None
        act = event._data if isinstance(event._data, dict) else {}
        if act.get("do") != "refill":
            return {self.order.line: gr.skip()}
        return self.order.refill(str(act.get("value")), data, language_of(request))
