"""Recorded runs under the Compare tab: what larger models did, for who cannot run them."""

import logging
from collections.abc import Callable, Sequence

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.text import one_line
from qeu.services.exhibits import Exhibit, read_exhibits
from qeu.store.history import StoredComparison
from qeu.ui.compare_form import Updates
from qeu.ui.context import DEFAULT_MODEL, Words
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

log = logging.getLogger(__name__)
# What a row needs to bring a run onto the page: the run, and the sentence that says so.
Show = Callable[[StoredComparison, str, gr.Request], Updates]


class ExhibitsPanel:
    """A list of recorded runs; choosing one shows it as if it had just ended here."""

    def __init__(self, say: Words) -> None:
        with gr.Accordion(say("exhibits.title"), open=False, elem_id="exhibits"):
            self.about = gr.HTML()
            self.list_radio = gr.Radio(
                [], show_label=False, container=False, elem_id="exhibit-list", elem_classes="q-list"
            )

    def wire(self, show: Show, outputs: set[object]) -> None:
        """Show the chosen run through `show`, whose updates concern `outputs`."""

        def on_choose(exhibit_id: str, request: gr.Request) -> Updates:
            found = next((e for e in load_exhibits()[0] if e.id == exhibit_id), None)
            if found is None:
                return gr.skip()
            line = text("exhibits.shown", language_of(request), when=found.at[:10])
            return show(found.as_stored(), f"{line} {found.note}".strip(), request)

        self.list_radio.input(
            on_choose,
            self.list_radio,
            outputs,
            trigger_mode="always_last",
            show_progress="hidden",
            api_visibility="private",
        )

    def outputs(self) -> set[object]:
        """What a change of language concerns."""
        return {self.about, self.list_radio}

    def on_language(self, request: gr.Request) -> Updates:
        """The list, and one sentence on where its runs come from."""
        language = language_of(request)
        exhibits, problem = load_exhibits()
        if problem:
            return {self.about: notice_html(problem, "error"), self.list_radio: gr.update()}
        models = sorted({model for exhibit in exhibits for model in exhibit.models})
        key = "exhibits.about" if models else "exhibits.empty"
        if models == [DEFAULT_MODEL]:
            key = "exhibits.embedded"
        about = text(key, language, models=text("list.comma", language).join(models))
        choices = [(_line(exhibit), exhibit.id) for exhibit in exhibits]
        return {
            self.about: notice_html(about),
            self.list_radio: gr.update(choices=choices, value=None),
        }


def load_exhibits() -> tuple[Sequence[Exhibit], str]:
    """The shipped runs, or the sentence that says why they cannot be shown."""
    try:
        return read_exhibits(), ""
    except QeuError as error:
        log.warning("%s", error)
        return (), str(error)


def _line(exhibit: Exhibit) -> str:
    return f"{' | '.join(exhibit.models)} · {one_line(exhibit.question, 60)} · {exhibit.note}"
