"""What panels that change many records at once share: look first, then apply, as one undo step."""

from collections.abc import Callable, Iterator

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.data_preview import Preview
from qeu.store.changes import Applied
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_report_panel import preview_html, told_html
from qeu.ui.dataset_work_panel import MANY, DataPanel, Work
from qeu.ui.panels import notice_html
from qeu.ui.strings import text


class ChangePanel(DataPanel):
    """Preview and apply; a subclass reads its form into the work of each."""

    def build_buttons(self) -> None:
        """Preview, Apply, Stop in one row; to be called inside it."""
        self.preview_btn = gr.Button(
            self.say("data.preview"),
            size="md",
            elem_id=f"data-{self.name}-preview",
            min_width=110,
            scale=0,
        )
        self.apply_btn = gr.Button(
            self.say("data.apply"),
            size="md",
            variant="primary",
            elem_id=f"data-{self.name}-apply",
            min_width=110,
            scale=0,
        )
        self.build_stop()

    def form(self) -> set[object]:
        """The panel's own controls."""
        raise NotImplementedError

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """The work that finds out what would change; QeuError for a form that cannot be used."""
        raise NotImplementedError

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """The work that changes the records."""
        raise NotImplementedError

    def preview_shown(self, result: object, language: str) -> Updates:
        """The preview as updates."""
        assert isinstance(result, Preview)
        return {self.line: notice_html(""), self.report: preview_html(result, language)}

    def applied_shown(self, result: object, language: str) -> Updates:
        """What was done as updates."""
        assert isinstance(result, Applied)
        return {self.line: notice_html(""), self.report: applied_html(result.changed, language)}

    def changed(self, result: object) -> int:
        """How many records a result changed."""
        assert isinstance(result, Applied)
        return result.changed

    def wire(self) -> None:
        """Connect the buttons."""
        super().wire()
        inputs = self.shared() | self.form()
        shown = self.outputs() | {self.stop_btn}
        self.preview_btn.click(self.on_preview, inputs, shown, **MANY)
        self.apply_btn.click(self.on_apply, inputs, shown | {self.place.changed}, **MANY)

    def on_preview(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Say what would change, and show some of it."""
        try:
            do = self.make_preview(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        yield from self.run(request, do, self.preview_shown)

    def on_apply(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Change the records; the browser of records reads them again."""
        try:
            do = self.make_apply(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return

        def after(result: object) -> Updates:
            return self.place.raise_changed(data) if self.changed(result) else {}

        yield from self.run(request, do, self.applied_shown, after, writes=True)


def applied_html(changed: int, language: str) -> str:
    """One sentence after a change, or that there was nothing to change."""
    if not changed:
        return told_html(text("data.applied.nothing", language))
    return told_html(text("data.applied", language, changed=f"{changed:,}"))
