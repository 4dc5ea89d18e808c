"""What is loaded and how much it holds, in the page's header: always there, always true."""

from collections.abc import Callable, Iterator, Mapping

import gradio as gr

from qeu.ui.context import Context
from qeu.ui.models_view import header_html
from qeu.ui.sessions import language_of

# A run or another page loads and frees models too; this is how late the header may be.
LOOK_S = 4
Show = Callable[[gr.Request], str]
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


class ModelsHeader:
    """The line in the header, watched while the first model loads and looked at ever after."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.status = gr.HTML(elem_id="model-status")

    def wire(self, demo: gr.Blocks, others: Mapping[gr.HTML, Show]) -> None:
        """Begin when the page opens; `others` are kept up to date with it, each by its function."""
        demo.load(self.on_watch, None, self.status, concurrency_limit=None, **QUIET)

        shown = {self.status: self.line, **others}

        def on_tick(request: gr.Request) -> dict[gr.HTML, str]:
            return {part: show(request) for part, show in shown.items()}

        gr.Timer(LOOK_S).tick(on_tick, None, set(shown), queue=False, **QUIET)

    def on_watch(self, request: gr.Request) -> Iterator[str]:
        """Load the first model in the background, and tell how far it is."""
        preload = self.context.preload
        preload.start()
        finished = preload.finished  # asked before: the last line is then whole
        yield (last := self.line(request))
        while not finished:
            preload.wait(0.3)
            finished = preload.finished
            if (html := self.line(request)) != last:
                yield (last := html)

    def line(self, request: gr.Request) -> str:
        """What is loaded; before that how far the first model is, or why it is not there."""
        language = language_of(request)
        loaded = self.context.shelf.loaded()
        return self.context.preload.html(language) if not loaded else header_html(loaded, language)
