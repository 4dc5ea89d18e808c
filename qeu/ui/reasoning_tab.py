"""The Reasoning tab: order bulk jobs, follow them, review, merge and accept, sum up, export."""

import gradio as gr

from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_work_panel import MANY
from qeu.ui.reasoning_jobs import JobList
from qeu.ui.reasoning_merge import BulkPanel, MergePanel
from qeu.ui.reasoning_order import OrderForm
from qeu.ui.reasoning_results import JobExportPanel, SummaryPanel
from qeu.ui.reasoning_review import ReviewPart
from qeu.ui.reasoning_usefulness import UsefulnessPanel
from qeu.ui.sessions import language_of

PLACE = "reasoning"


class ReasoningTab:
    """Builds the tab; `place` is what the Dataset tab shows. `wire` connects it."""

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        self.context = context
        with gr.Column(elem_id="reasoning"):
            with gr.Row(elem_classes="q-split", equal_height=False):
                with gr.Column(scale=5, min_width=340, elem_id="job-order"):
                    gr.Markdown(say("job.order"), elem_classes="q-section")
                    self.order = OrderForm(context, say, place)
                    self.order.build()
                with gr.Column(scale=6, min_width=340, elem_id="job-side"):
                    gr.Markdown(say("job.list"), elem_classes="q-section")
                    self.jobs = JobList(context, say)
            gr.Markdown(say("job.review"), elem_classes="q-section")
            self.review = ReviewPart(context, say, self.jobs)
            with gr.Column(elem_id="job-panels"):
                self.panels = [
                    make(context, say, self.jobs)
                    for make in (
                        MergePanel, BulkPanel, SummaryPanel, UsefulnessPanel, JobExportPanel,
                    )
                ]  # fmt: skip
                for panel in self.panels:
                    panel.build()
        # Another language reaches an opened tab's texts that depend on controls through this.
        self.spoken = gr.State("en")
        merge, useful = self.panels[0], self.panels[3]
        assert isinstance(merge, MergePanel)
        assert isinstance(useful, UsefulnessPanel)
        self.useful = useful
        self.model_dropdowns = [self.order.models_dd, merge.model_dd]

    def wire(self, tab: gr.Tab) -> None:
        """Connect every control; `tab` is this tab."""
        order, jobs = self.order, self.jobs
        inputs = order.inputs() | jobs.inputs()
        gr.on(
            [tab.select, self.spoken.change],
            self.on_open, inputs, order.opened() | jobs.outputs(), **MANY,
        )  # fmt: skip
        order.start_btn.click(self.on_start, inputs, order.outputs() | jobs.outputs(), **MANY)
        order.wire()
        jobs.wire()
        self.review.wire()
        for panel in self.panels:
            panel.wire()
        if not self.context.settings.public:
            self.review.follow(self.useful.news)

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        parts = {part for panel in (self.order, *self.panels) for part in panel.outputs()}
        return parts | {self.spoken, self.jobs.state}

    def on_language(self, request: gr.Request) -> Updates:
        """The list and the review follow by themselves, through `spoken`, once they were opened."""
        updates: Updates = {}
        if self.context.sessions.of(request).has_opened(PLACE):
            updates |= {self.spoken: language_of(request), self.jobs.state: {}}
        for panel in (self.order, *self.panels):
            updates |= panel.on_language(request)
        return updates

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The tab was opened, or the language changed: everything as the workspace has it."""
        self.context.sessions.of(request).open_tab(PLACE, language_of(request))
        return self.order.on_open(data, request) | self.jobs.show(data, request)

    def on_start(self, data: Data, request: gr.Request) -> Updates:
        """Order the job and look at it."""
        updates, number = self.order.on_start(data, request)
        if number:
            updates |= self.jobs.show(data, request, choose=number)
        return updates
