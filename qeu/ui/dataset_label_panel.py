"""Label a data set by heuristics: what would change, apply, the unsure ones to the review queue."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.labels import LABELS, SURE
from qeu.services.data_labels import LabelOptions, preview_labels, run_labels
from qeu.store.changes import Applied
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.queries import read_facets
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_change_panel import ChangePanel, applied_html
from qeu.ui.dataset_report_panel import hint_html
from qeu.ui.dataset_work_panel import QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

SHOW_LIST_JS = '() => document.querySelector("#dataset")?.scrollIntoView()'


@dataclass(frozen=True)
class _Labelled:
    applied: Applied
    waiting: int


class LabelPanel(ChangePanel):
    """Language, category, uniqueness and field of many records."""

    name = "label"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.label.title"), open=False, elem_id="data-label"):
            gr.Markdown(say("data.label.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.fields_cbs = gr.CheckboxGroup(
                    [(say(f"dataset.column.{name}"), name) for name in LABELS],
                    value=list(LABELS),
                    label=say("data.label.fields"),
                    elem_id="data-label-fields",
                    min_width=260,
                    scale=3,
                )
                self.sure_slider = gr.Slider(
                    0.0,
                    1.0,
                    value=SURE,
                    step=0.05,
                    label=say("data.label.sure"),
                    info=say("data.label.sure.help"),
                    buttons=[],
                    elem_id="data-label-sure",
                    min_width=200,
                    scale=2,
                )
                self.keep_cb = gr.Checkbox(
                    False,
                    label=say("data.label.keep"),
                    info=say("data.label.keep.help"),
                    elem_id="data-label-keep",
                    min_width=200,
                    scale=2,
                )
            with gr.Row(elem_classes="q-actions"):
                self.build_buttons()
                self.queue_btn = gr.Button(
                    say("data.label.queue"),
                    size="md",
                    elem_id="data-label-queue",
                    min_width=160,
                    scale=0,
                )
            self.build_line()
            self.build_report()

    def form(self) -> set[object]:
        """The panel's own controls."""
        return {self.fields_cbs, self.sure_slider, self.keep_cb}

    def wire(self) -> None:
        """Connect the buttons."""
        super().wire()
        outputs = {self.line, self.place.filter_state, self.place.changed}
        self.queue_btn.click(self.on_queue, self.shared(), outputs, **QUIET)
        self.queue_btn.click(None, js=SHOW_LIST_JS, api_visibility="private")

    def _read(
        self, data: Data, request: gr.Request
    ) -> tuple[Workspace, Dataset, Filter, LabelOptions]:
        fields = tuple(name for name in LABELS if name in (data[self.fields_cbs] or ()))  # type: ignore[operator]
        if not fields:
            raise QeuError(text("data.label.no_fields", language_of(request)))
        sure = data[self.sure_slider]
        options = LabelOptions(
            fields,
            sure=SURE if sure is None else float(sure),  # type: ignore[arg-type]
            keep_unsure=bool(data[self.keep_cb]),
        )
        return *self.scope.read(data, request), options

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """What labelling would change."""
        workspace, dataset, where, options = self._read(data, request)
        return lambda work: preview_labels(
            workspace, dataset, options, where, work.tell, work.stopping
        )

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Set the labels; then how many wait for a person."""
        workspace, dataset, where, options = self._read(data, request)

        def do(work: Work) -> _Labelled:
            applied = run_labels(workspace, dataset, options, where, work.tell, work.stopping)
            queue = _queue(workspace, dataset)
            return _Labelled(applied, sum(queue.values()))

        return do

    def changed(self, result: object) -> int:
        """How many records got another label or place in the queue."""
        assert isinstance(result, _Labelled)
        return result.applied.changed

    def applied_shown(self, result: object, language: str) -> Updates:
        """What was labelled, and what waits."""
        assert isinstance(result, _Labelled)
        waiting = text("data.label.waiting", language, count=f"{result.waiting:,}")
        told = applied_html(result.applied.changed, language)
        return {self.line: notice_html(""), self.report: told + hint_html(waiting)}

    def on_queue(self, data: Data, request: gr.Request) -> Updates:
        """Let the browser of records show those that wait for a person."""
        try:
            workspace, dataset, _ = self.place.read(self.context, data, request)
        except QeuError as error:
            return self.refuse(error, request)
        queue = _queue(workspace, dataset)
        if not queue:
            told = text("data.label.queue_empty", language_of(request))
            return {self.line: notice_html(told)}
        told = text("data.label.waiting", language_of(request), count=f"{sum(queue.values()):,}")
        return {
            self.line: notice_html(told),
            self.place.filter_state: Filter(review=tuple(queue)).to_json(),
            **self.place.raise_changed(data),
        }


def _queue(workspace: Workspace, dataset: Dataset) -> dict[str, int]:
    """{what is unsure: records} of all records that wait for a person."""
    return {name: n for name, n in read_facets(workspace, dataset)["review"] if name}
