"""Decide about all records that the filter shows, looked at first; undo and redo of any change."""

from collections.abc import Callable, Iterator

import gradio as gr

from qeu.services.data_preview import Preview, preview_change
from qeu.services.data_review import set_status
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.records import STATUSES
from qeu.store.undo import Step, redo, undo
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_browser import DatasetBrowser
from qeu.ui.dataset_change_panel import ChangePanel
from qeu.ui.dataset_detail_view import step_text
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_work_panel import MANY, DataPanel, Work
from qeu.ui.panels import notice_html
from qeu.ui.strings import text

_ORDER = ("accepted", "needs_work", "rejected", "")
assert set(_ORDER) == set(STATUSES)


class FilterOnly:
    """The records that the list shows: what a panel beside the list is for."""

    def __init__(self, context: Context, place: DatasetPlace) -> None:
        self.context, self.place = context, place

    def components(self) -> set[object]:
        """Nothing besides the place's."""
        return set()

    def read(self, data: Data, request: gr.Request) -> tuple[Workspace, Dataset, Filter]:
        """Workspace, data set and the records meant; QeuError if no data set is chosen."""
        return self.place.read(self.context, data, request)


class ReviewPanel(ChangePanel):
    """Accept, reject or mark all records of the filter in one step."""

    name = "review"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("dataset.bulk.title"), open=False, elem_id="data-review"):
            gr.Markdown(say("dataset.bulk.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-actions"):
                self.status_radio = gr.Radio(
                    [
                        (say(f"dataset.status.{name}" if name else "dataset.none.status"), name)
                        for name in _ORDER
                    ],
                    value="accepted",
                    show_label=False,
                    container=False,
                    elem_id="data-review-status",
                    min_width=320,
                )
                self.build_buttons()
            self.build_line()
            self.build_report()

    def form(self) -> set[object]:
        """The decision."""
        return {self.status_radio}

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """How many would get another status, and some of them."""
        workspace, dataset, where = self.scope.read(data, request)
        status = str(data[self.status_radio] or "")
        # as set_status does: who accepts a record is sure of its labels
        new = {"status": status} | ({"review": ""} if status == "accepted" else {})
        return lambda work: preview_change(
            workspace, dataset, lambda stored: new, where, work.tell, work.stopping
        )

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Give them all the status."""
        workspace, dataset, where = self.scope.read(data, request)
        status = str(data[self.status_radio] or "")
        return lambda work: set_status(
            workspace, dataset, where, status, progress=work.tell, stop=work.stopping
        )

    def preview_shown(self, result: object, language: str) -> Updates:
        """The preview; nobody concerned is said in the words of a decision."""
        assert isinstance(result, Preview)
        if result.matched and not result.changed:
            told = notice_html(text("dataset.bulk.nothing", language))
            return {self.line: told, self.report: ""}
        return super().preview_shown(result, language)


class StepBar(DataPanel):
    """Undo and redo: buttons that say what they take back, however large it is."""

    name = "steps"

    def __init__(
        self, context: Context, say: Words, place: DatasetPlace, browser: DatasetBrowser
    ) -> None:
        super().__init__(context, say, place, FilterOnly(context, place))  # type: ignore[arg-type]
        self.browser, self.line = browser, place.notice
        self.stop_btn = gr.Button(visible=False)

    def wire(self) -> None:
        """Connect both buttons."""
        inputs = self.shared() | self.browser.inputs()
        shown = self.browser.outputs() | {self.stop_btn, self.place.changed}

        def on_undo(data: Data, request: gr.Request) -> Iterator[Updates]:
            yield from self.on_step("undo", data, request)

        def on_redo(data: Data, request: gr.Request) -> Iterator[Updates]:
            yield from self.on_step("redo", data, request)

        # "once": a second press while the first is under way would take back one change more
        once = {**MANY, "trigger_mode": "once"}
        self.browser.step_btns["undo"].click(on_undo, inputs, shown, **once)
        self.browser.step_btns["redo"].click(on_redo, inputs, shown, **once)

    def on_step(self, name: str, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Take back, or bring back, what the button said."""
        visit = self.browser.open(data, request)
        if visit is None:
            yield {self.line: gr.skip()}
            return
        expected = int(visit.state.get(name) or 0)  # type: ignore[call-overload]
        turn = {"undo": undo, "redo": redo}[name]

        def do(work: Work) -> Step:
            return turn(
                visit.workspace, visit.dataset, expected=expected or None, progress=work.tell
            )

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, Step)
            told = text(
                "dataset.undone" if name == "undo" else "dataset.redone",
                language,
                what=step_text(result, language),
            )
            return {self.line: notice_html(told)}

        done = False

        def after(result: object) -> Updates:
            nonlocal done
            done = True
            fresh = self.browser.open(data, request) or visit
            shown = self.browser.show(self.browser.hold(fresh, data), notice=None)
            return shown | self.place.raise_changed(data)

        yield from self.run(request, do, show, after, writes=True)
        if not done:
            # somebody else's change came first: the buttons say what is last now
            yield self.browser.show(self.browser.hold(visit, data), notice=None)

    def on_language(self, request: gr.Request) -> Updates:
        """The line above the list is the browser's."""
        return {}
