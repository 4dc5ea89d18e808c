"""The thin strip under the header: where a person stands in the loop, and the next step."""

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.standing import Standing, StandingReader
from qeu.ui.context import Context
from qeu.ui.evaluate_view import verdict_chip
from qeu.ui.markup import escape
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

PLACE = "strip"
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


class Strip:
    """One line of numbers, empty until the page has been painted."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.line = gr.HTML(elem_id="strip", padding=False)
        self._tabs: frozenset[str] = frozenset()
        self._own: StandingReader | None = None

    def wire(self, tabs: gr.Tabs) -> None:
        """Look again whenever a tab is opened; `tabs` are where its link can lead."""
        self._tabs = frozenset(str(tab.id) for tab in tabs.children)  # type: ignore[attr-defined]
        tabs.select(self.on_select, None, self.line, queue=False, **QUIET)

    def on_select(self, request: gr.Request) -> str:
        """The line as it is now."""
        return self.html(request)

    def html(self, request: gr.Request) -> str:
        """The line as it is now, remembered as the one that the page shows."""
        language = language_of(request)
        try:
            line = strip_html(self._read(request), self._tabs, language)
        except QeuError as error:
            line = escape(tell(str(error), language))
        self.context.sessions.of(request).kept[PLACE] = line
        return line

    def news(self, request: gr.Request) -> str:
        """The line where it has changed since this page got it; else nothing is sent."""
        before = self.context.sessions.of(request).kept.get(PLACE)
        line = self.html(request)
        return gr.skip() if line == before else line  # type: ignore[return-value]

    def _read(self, request: gr.Request) -> Standing:
        """A public page tells of the visit alone, and makes no workspace to count nothing in."""
        if not self.context.settings.public:
            if self._own is None:
                folder = self.context.settings.adapters
                self._own = StandingReader(self.context.workspace, folder)
            return self._own.read()
        session = self.context.sessions.of(request)
        if session.workspace is None:
            return Standing()
        reader = session.kept.setdefault(f"{PLACE}.reader", StandingReader(session.workspace, None))
        assert isinstance(reader, StandingReader)
        return reader.read()


def strip_html(standing: Standing, tabs: frozenset[str], language: str) -> str:
    """The numbers in the order of the loop, then a link to the tab of the next step."""
    counts = standing.counts
    numbers = {
        "records": counts.records,
        "waiting": counts.waiting,
        "accepted": counts.accepted,
        "runs": standing.runs,
        "adapters": standing.adapters,
        "votes": counts.votes,
    }
    shown = "".join(
        f'<span class="q-count{"" if number else " q-zero"}">'
        f"{escape(text(f'strip.{name}', language))} <b>{number:,}</b></span>"
        for name, number in numbers.items()
        if number is not None
    )
    if counts.verdict:
        name = escape(text("evaluate.strip", language))
        shown += f'<span class="q-count">{name} {verdict_chip(counts.verdict, language)}</span>'
    step = standing.next_step(tabs)
    told = escape(text(f"strip.step.{step.name}", language, count=f"{step.count:,}"))
    return (
        f'<div class="q-strip"><span class="q-counts">{shown}</span>'
        f'<span class="q-next">{escape(text("strip.next", language))} '
        f'<a href="#{step.tab}" data-go="{step.tab}">{told}</a></span></div>'
    )
