"""Work of the Reasoning tab that a person waits for: a bar, a stop button, a last line."""

from collections.abc import Iterator

import gradio as gr

from qeu.ui.compare_form import Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_work_panel import QUIET, DataPanel
from qeu.ui.panels import notice_html


class ReasoningPanel(DataPanel):
    """A part of the tab that works as the panels of the Dataset tab do, without their scope."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context, self.say = context, say

    def build_line(self) -> None:
        """The line of news."""
        self.line = gr.HTML(notice_html(""), elem_id=f"job-{self.name}-line", padding=False)

    def build_stop(self) -> gr.Button:
        """The stop button, alive only while something runs."""
        self.stop_btn = gr.Button(
            self.say("action.stop"), size="md", variant="stop", interactive=False,
            elem_id=f"job-{self.name}-stop", min_width=80, scale=0,
        )  # fmt: skip
        return self.stop_btn

    def build_report(self) -> None:
        """Where results are shown."""
        self.report = gr.HTML(
            elem_id=f"job-{self.name}-report", elem_classes="q-report", padding=False
        )

    def wire(self) -> None:
        """Connect the stop button; parts add their own."""
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)

    def place_first(self, updates: Updates) -> Iterator[Updates]:
        """Nothing here waits for the list of records."""
        yield updates
