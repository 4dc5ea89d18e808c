"""Label a data set by rules of thumb or by a model: look, apply, the unsure ones queue."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.labels import LABELS, SURE
from qeu.services.data_labels import LabelOptions, preview_labels, run_labels
from qeu.services.data_model_labels import ModelLabels
from qeu.services.data_preview import Preview
from qeu.store.changes import Applied
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.queries import count_queues, read_facets
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_change_panel import ChangePanel, applied_html
from qeu.ui.dataset_label_model_panel import Asking, asked_html, label_choices, unfit_text
from qeu.ui.dataset_report_panel import hint_html, preview_html
from qeu.ui.dataset_work_panel import QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

SHOW_LIST_JS = '() => document.querySelector("#dataset")?.scrollIntoView()'


@dataclass(frozen=True)
class _Form:
    """What the panel was filled with; `asking` None is by rules of thumb."""

    workspace: Workspace
    dataset: Dataset
    where: Filter
    options: LabelOptions
    asking: Asking | None


@dataclass(frozen=True)
class _Looked:
    """What would change, and what a model said for it."""

    preview: Preview
    options: LabelOptions
    labels: ModelLabels | None


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
                self.model_dd = gr.Dropdown(
                    [(say("data.label.by_rules"), ""), *label_choices(self.context)],
                    value="",
                    label=say("data.label.by"),
                    info=say("data.label.by.help"),
                    allow_custom_value=not self.context.settings.public,
                    elem_id="data-label-model",
                    min_width=420,
                    scale=0,
                )
                self.anyway_cb = gr.Checkbox(
                    False,
                    label=say("data.label.anyway"),
                    info=say("data.label.anyway.help"),
                    visible=OFF,
                    elem_id="data-label-anyway",
                    min_width=200,
                    scale=2,
                )
            self.banner = gr.HTML("", elem_id="data-label-banner", padding=False)
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
        return {
            self.fields_cbs, self.sure_slider, self.keep_cb, self.model_dd, self.anyway_cb,
        }  # fmt: skip

    def wire(self) -> None:
        """Connect the buttons."""
        super().wire()
        outputs = {self.line, self.place.filter_state, self.place.changed}
        self.queue_btn.click(self.on_queue, self.shared(), outputs, **QUIET)
        self.queue_btn.click(None, js=SHOW_LIST_JS, api_visibility="private")

        shown = {self.banner, self.anyway_cb}
        meant = [
            self.model_dd.input,
            self.anyway_cb.change,
            self.scope.spoken.change,
            self.scope.scope_radio.input,
            self.place.name_dd.change,
            self.place.filter_state.change,
            self.place.changed.change,
        ]
        gr.on(
            meant, self.on_warning, self.shared() | self.form(), shown,
            trigger_mode="always_last",
            # one after the other: name, filter and number change together, the later must win
            concurrency_limit=1,
            **QUIET,
        )  # fmt: skip
        # Another model: whoever wants it run anyway says so again. In the browser, since gradio
        # tells of a choice twice and a second answer, come late, would undo a click.
        self.model_dd.input(None, None, self.anyway_cb, js="() => false", api_visibility="private")

    def on_warning(self, data: Data, request: gr.Request) -> Updates:
        """Why the chosen model should not label these records, if so."""
        language, anyway = language_of(request), bool(data[self.anyway_cb])
        hidden = {self.banner: "", self.anyway_cb: gr.update(visible=OFF, value=False)}
        asking = self._asking(data, request)
        try:
            if not asking or not (unfit := asking.warning(*self.scope.read(data, request))):
                return hidden
        except QeuError as error:
            told = notice_html(tell(str(error), language), "error")
            return hidden | ({self.banner: told} if data[self.place.name_dd] else {})
        return {
            self.banner: notice_html(unfit_text(unfit, anyway, language), "warning"),
            self.anyway_cb: gr.update(visible=True),
        }

    def _asking(self, data: Data, request: gr.Request) -> Asking | None:
        model = str(data[self.model_dd] or "").strip()
        session = self._session(request)
        return Asking(self.context, session, model, bool(data[self.anyway_cb])) if model else None

    def _read(self, data: Data, request: gr.Request) -> _Form:
        language = language_of(request)
        fields = tuple(name for name in LABELS if name in (data[self.fields_cbs] or ()))  # type: ignore[operator]
        if not fields:
            raise QeuError(text("data.label.no_fields", language))
        workspace, dataset, where = self.scope.read(data, request)
        asking = self._asking(data, request)
        if asking and asking.warning(workspace, dataset, where) and not asking.run_anyway:
            raise QeuError(text("data.label.unfit.first", language))
        sure = data[self.sure_slider]
        options = LabelOptions(
            fields,
            sure=SURE if sure is None else float(sure),  # type: ignore[arg-type]
            keep_unsure=bool(data[self.keep_cb]),
            model=asking.model if asking else "",
        )
        return _Form(workspace, dataset, where, options, asking)

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """What labelling would change; a model is asked first, as far as nobody stops it."""
        form = self._read(data, request)

        def do(work: Work) -> _Looked:
            if not form.asking:
                return self._look(form, form.options, None, work)
            labels = form.asking.ask(
                form.workspace, form.dataset, form.where, form.options.fields, work
            )
            return self._look(form, replace(form.options, given=labels.given), labels, work)

        return do

    def _look(
        self, form: _Form, options: LabelOptions, labels: ModelLabels | None, work: Work
    ) -> _Looked:
        # what a model said until it was stopped is shown all the same
        stopped = work.stopping.is_set()
        preview = preview_labels(
            form.workspace,
            form.dataset,
            options,
            form.where,
            work.note if stopped else work.tell,
            None if stopped else work.stopping,
        )
        return _Looked(preview, options, labels)

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Set the labels that a preview showed, or find them first; then how many wait."""
        form = self._read(data, request)

        def do(work: Work) -> _Labelled | _Looked:
            options = form.options
            if form.asking:
                labels = form.asking.shown(form.dataset, form.where, options.fields)
                labels = labels or form.asking.ask(
                    form.workspace, form.dataset, form.where, options.fields, work
                )
                options = replace(options, given=labels.given)
                if work.stopping.is_set():
                    return self._look(form, options, labels, work)
            applied = run_labels(
                form.workspace, form.dataset, options, form.where, work.tell, work.stopping
            )
            if form.asking:
                form.asking.forget()
            queue = read_facets(form.workspace, form.dataset)["review"]
            return _Labelled(applied, sum(count for name, count in queue if name))

        return do

    def changed(self, result: object) -> int:
        """How many records got another label or place in the queue."""
        return result.applied.changed if isinstance(result, _Labelled) else 0

    def preview_shown(self, result: object, language: str) -> Updates:
        """The sample under what a model said."""
        assert isinstance(result, _Looked)
        told = asked_html(result.labels, result.options, language) if result.labels else ""
        return {
            self.line: notice_html(""),
            self.report: preview_html(result.preview, language, told),
        }

    def applied_shown(self, result: object, language: str) -> Updates:
        """What was labelled, and what waits; a model that was stopped leaves a preview."""
        if isinstance(result, _Looked):
            told = notice_html(text("data.work.stopped", language), "warning")
            return self.preview_shown(result, language) | {self.line: told}
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
        facet = [(n, count) for n, count in read_facets(workspace, dataset)["review"] if n]
        if not facet:
            told = text("data.label.queue_empty", language_of(request))
            return {self.line: notice_html(told)}
        told = text(
            "data.label.waiting", language_of(request), count=f"{sum(n for _, n in facet):,}"
        )
        return {
            self.line: notice_html(told),
            self.place.filter_state: Filter(
                review=tuple(n for n, _ in count_queues(facet))
            ).to_json(),
            **self.place.raise_changed(data),
        }
