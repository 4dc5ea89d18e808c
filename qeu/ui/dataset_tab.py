"""The Dataset tab: choose a data set, look through it, decide, edit; panels for all other work."""

from collections.abc import Callable, Iterator, Mapping

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.record import CATEGORIES
from qeu.services.shipped_data import find_shipped, import_shipped
from qeu.store.datasets import list_datasets
from qeu.store.queries import get_record
from qeu.ui.compare_form import CompareForm, Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_actions import DatasetActions
from qeu.ui.dataset_browser import DatasetBrowser
from qeu.ui.dataset_detail_view import column_name
from qeu.ui.dataset_panels import build_panels
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_review_panel import FilterOnly, ReviewPanel, StepBar
from qeu.ui.dataset_view import empty_html
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.translation_source import Shown

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
PLACE = "dataset"


class DatasetTab:
    """Builds the tab; `wire` connects it once the Compare tab's form exists."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context = context
        with gr.Column(elem_id="dataset"):
            self._build_bar(say)
            with gr.Column(visible=False) as self.empty:
                self.teach = gr.HTML(elem_id="ds-empty", padding=False)
                self.shipped_btn = gr.Button(
                    say("dataset.load_shipped"),
                    variant="primary",
                    visible=bool(find_shipped()),
                    elem_id="ds-shipped",
                    scale=0,
                )
            with gr.Column(visible=False) as self.full:
                self.browser = DatasetBrowser(
                    context, say, self.place, self.search_box, self.step_btns
                )
                self.do = DatasetActions(self.browser)
                self.steps = StepBar(context, say, self.place, self.browser)
                self.review = ReviewPanel(
                    context,
                    say,
                    self.place,
                    FilterOnly(context, self.place),  # type: ignore[arg-type]
                )
                self.review.build()
            # Import, export, merge, label, rules, check, split, numbers: one accordion each.
            self.panels = build_panels(context, say, self.place)
        # Another language reaches an opened tab's texts that depend on controls through this.
        self.spoken = gr.State("en")
        self.part = gr.State("record")

    def _build_bar(self, say: Words) -> None:
        with gr.Row(elem_classes="q-tight", elem_id="ds-bar"):
            name_dd = gr.Dropdown(
                [], value=None, label=say("dataset.name"), elem_id="ds-name",
                min_width=180, scale=2,
            )  # fmt: skip
            self.search_box = gr.Textbox(
                "", label=say("dataset.search"), placeholder=say("dataset.search.hint"),
                interactive=True, max_lines=1, elem_id="ds-search", min_width=200, scale=3,
            )  # fmt: skip
            self.step_btns = {
                name: gr.Button(
                    label, interactive=False, elem_id=f"ds-{name}",
                    size="md", min_width=130, scale=1,
                )
                for name, label in (("undo", say("dataset.undo")), ("redo", say("dataset.redo")))
            }  # fmt: skip
        notice = gr.HTML(notice_html(""), elem_id="ds-notice")
        # Not `visible=False`: what is not on the page tells nobody that it changed.
        changed = gr.Number(0, visible="hidden", elem_id="ds-changed")
        self.place = DatasetPlace(name_dd, gr.State({}), changed, notice)

    def wire(
        self, tab: gr.Tab, tabs: gr.Tabs, form: CompareForm, roles: Mapping[str, gr.Textbox]
    ) -> None:
        """Connect every control; `tab` is this tab among `tabs`."""
        browser, detail = self.browser, self.browser.detail
        inputs = browser.inputs() | self.place.components()
        shown = self.shown()
        browser.list.select(self.do.on_act, inputs, browser.outputs(), **MANY)
        gr.on(
            [tab.select, self.spoken.change, self.place.changed.change],
            self.on_refresh, inputs, shown, **MANY,
        )  # fmt: skip
        self.place.name_dd.input(self.on_name, inputs, shown, **MANY)
        detail.edit_btn.click(self.do.on_edit, inputs, browser.outputs(), **QUIET)
        detail.discard_btn.click(self.do.on_discard, inputs, browser.outputs(), **QUIET)
        written = shown | {self.place.changed}
        detail.save_btn.click(self.do.on_save, inputs, written, **QUIET)
        detail.over_btn.click(self.do.on_save_over, inputs, written, **QUIET)
        detail.compare_btn.click(
            self.opener(tabs, form), inputs, {tabs, self.place.notice, *form.outputs()}, **QUIET
        )
        self.shipped_btn.click(
            self.on_shipped, inputs, shown | {self.place.changed}, api_visibility="private"
        )
        self._wire_training(roles)
        self._wire_translation()
        self.steps.wire()
        self.review.wire()
        self.panels.wire()

    def _wire_training(self, roles: Mapping[str, gr.Textbox]) -> None:
        browser, detail = self.browser, self.browser.detail
        inputs = browser.inputs() | detail.training_inputs() | {self.part, *roles.values()}
        # One after the other: the first waits for the model, and must not write over the next.
        turns = {**MANY, "concurrency_id": "ds-training", "concurrency_limit": 1}

        def on_training(data: Data, request: gr.Request) -> Iterator[Updates]:
            if data[self.part] == "training":
                yield from self.do.on_training(data, request, roles)
            else:
                yield {detail.training: gr.skip()}

        def on_open(data: Data, request: gr.Request) -> Iterator[Updates]:
            yield {self.part: "training"}
            yield from self.do.on_training(data, request, roles)

        for other in (detail.record_tab, detail.history_tab):
            other.select(lambda: "record", None, self.part, **QUIET)
        detail.training_tab.select(on_open, inputs, {detail.training, self.part}, **turns)
        settings = (detail.layout_dd.input, detail.target_dd.input, detail.role_dd.input)
        gr.on(
            [browser.state.change, detail.tokens_slider.release, *settings],
            on_training, inputs, detail.training, **turns,
        )  # fmt: skip

    def _wire_translation(self) -> None:
        browser, strip = self.browser, self.browser.detail.strip

        def read(data: Data, request: gr.Request) -> Shown:
            visit = browser.visit(data, request)
            return browser.detail.read_texts(visit.workspace, visit.dataset, visit.selected)

        strip.wire(read, column_name, browser.inputs())
        browser.state.change(strip.on_gone, None, strip.outputs(), **QUIET)

    def shown(self) -> set[object]:
        """All that reading anew may update."""
        return {
            *self.browser.outputs(), self.place.name_dd, self.empty, self.full, self.teach,
            self.shipped_btn, self.panels.scope.spoken,
        }  # fmt: skip

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        strip = self.browser.detail.strip
        return {self.spoken, *strip.outputs(), *self.panels.outputs(), *self.review.outputs()}

    def on_language(self, request: gr.Request) -> Updates:
        """The browser and the panels follow by themselves, through `spoken`, once opened."""
        opened = self.context.sessions.of(request).has_opened(PLACE)
        return {
            **({self.spoken: language_of(request)} if opened else {}),
            **self.browser.detail.strip.on_language(request),
            **self.review.on_language(request),
            **self.panels.on_language(request),
        }

    def on_refresh(self, data: Data, request: gr.Request) -> Updates:
        """Read everything anew: the tab was opened, data or language changed."""
        language = language_of(request)
        told: Updates = {}
        if self.context.sessions.of(request).open_tab(PLACE, language):
            told[self.panels.scope.spoken] = language
        try:
            visit = self.browser.open(data, request)
            if visit is None:
                return told | self._show_empty(language)
            updates = told | self.browser.show(self.browser.hold(visit, data), notice=None)
        except QeuError as error:
            return told | {self.place.notice: notice_html(tell(str(error), language), "error")}
        names = [dataset.name for dataset in list_datasets(visit.workspace)]
        if not visit.browse.where.search:
            updates[self.search_box] = gr.update(value="")
        updates[self.place.name_dd] = gr.update(choices=names, value=visit.dataset.name)
        if not dict(data[self.browser.state] or {}).get("dataset"):  # type: ignore[call-overload]
            # not where it is shown already: Gradio would show all that is hidden within it, too
            updates |= {self.empty: gr.update(visible=False), self.full: gr.update(visible=True)}
        return updates

    def _show_empty(self, language: str) -> Updates:
        shipped = bool(find_shipped())
        return {
            self.place.name_dd: gr.update(choices=[], value=None),
            self.place.filter_state: {},
            self.browser.state: {},
            self.teach: empty_html(shipped, language),
            self.shipped_btn: gr.update(visible=shipped),
            self.empty: gr.update(visible=True),
            self.full: gr.update(visible=False),
        }

    def on_name(self, data: Data, request: gr.Request) -> Updates:
        """Another data set: from its beginning, unless an edit of this one is not stored yet."""
        detail = self.browser.detail
        if data[detail.edit_state] and detail.changes(data):
            old = dict(data[self.browser.state] or {}).get("dataset")  # type: ignore[call-overload]
            workspace = self.context.records(request)
            names = {d.id: d.name for d in list_datasets(workspace)}
            told = text("dataset.unsaved", language_of(request))
            return {
                self.place.name_dd: names.get(old),  # type: ignore[call-overload]
                self.place.notice: notice_html(told, "warning"),
            }
        closed = detail.close_form() if data[detail.edit_state] else {}
        return closed | self.on_refresh({**data, detail.edit_state: {}}, request)

    def on_shipped(self, data: Data, request: gr.Request) -> Updates:
        """Bring in the data set that comes with the program."""
        language = language_of(request)
        try:
            dataset, reports = import_shipped(self.context.records(request))
        except QeuError as error:
            return {self.place.notice: notice_html(tell(str(error), language_of(request)), "error")}
        count = sum(report.imported + report.unchanged for report in reports)
        told = text("dataset.shipped_done", language, count=f"{count:,}", name=dataset.name)
        return {
            **self.on_refresh({**data, self.place.name_dd: dataset.name}, request),
            **self.place.raise_changed(data),
            self.place.notice: notice_html(told),
        }

    def opener(self, tabs: gr.Tabs, form: CompareForm) -> Callable[..., Updates]:
        """The handler that fills the Compare form with the record and turns to it."""
        question = form.question

        def on_compare(data: Data, request: gr.Request) -> Updates:
            try:
                visit = self.browser.visit(data, request)
                stored = get_record(visit.workspace, visit.dataset, visit.selected)
            except QeuError as error:
                return {
                    self.place.notice: notice_html(tell(str(error), language_of(request)), "error")
                }
            record = stored.record
            known = record.category in CATEGORIES
            return {
                tabs: gr.update(selected="compare"),
                question.instruction_box: record.instruction,
                question.input_box: record.input,
                question.reasoning_box: record.reasoning,
                question.reference_box: record.output,
                question.category_dd: record.category if known else "open_qa",
            }

        return on_compare
