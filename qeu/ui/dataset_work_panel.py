"""Long work of a panel on the Dataset tab: a thread of its own, a bar, a stop button, a last line.

What came out is kept with the page's session, so that another language shows it again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.runs import Live
from qeu.store.datasets import Stopped
from qeu.ui.compare_form import Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_scope_panel import Scope
from qeu.ui.markup import escape
from qeu.ui.panels import failure_html, notice_html
from qeu.ui.sessions import Session, language_of
from qeu.ui.strings import text, words

# How often the bar moves, and the page notices that it was closed.
TICK_S = 0.15
# Work of less than this shows no bar: nothing flickers.
PATIENCE_S = 0.4
# The page needs this long to take over the name of another data set.
SETTLE_S = 0.15
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}


class Work:
    """One operation under way; stands among the session's runs, so that a closed page stops it."""

    live: ClassVar[Mapping[str, Live]] = {}

    def __init__(self, do: Callable[["Work"], object], writes: bool) -> None:
        self.stopping, self.writes = threading.Event(), writes
        self.done, self.total = 0, 0
        # The key of the words for what it is at, where that takes long; "" says nothing.
        self.step = ""
        self.result: object = None
        self.error: BaseException | None = None
        # Renders the result in a language; None until it is there.
        self.shown: Callable[[str], Updates] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(do,), daemon=True)
        self._thread.start()

    def _run(self, do: Callable[["Work"], object]) -> None:
        try:
            self.result = do(self)
        except QeuError as error:
            self.error = error
        except Exception as error:
            # a defect of ours: told on the page in one sentence, in full in the log
            logging.getLogger(__name__).exception("work on a data set")
            self.error = error
        finally:
            self._ended.set()

    def tell(self, done: int, total: int = 0) -> None:
        """The `progress` of services; a stop that they do not look for is heard here."""
        if self.stopping.is_set():
            raise Stopped("The work")
        self.note(done, total)

    def note(self, done: int, total: int = 0, step: str = "") -> None:
        """The same for services that keep what they have when they are stopped."""
        self.done, self.total, self.step = done, total, step

    def stop(self, key: str | None = None) -> None:
        """Let it end soon; what a transaction has changed so far is taken back."""
        self.stopping.set()

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether it has ended."""
        return self._ended.wait(seconds)


class DataPanel:
    """One accordion of the tab: its line of news, its stop button, and the work it starts."""

    name = ""

    def __init__(self, context: Context, say: Words, place: DatasetPlace, scope: Scope) -> None:
        self.context, self.say, self.place, self.scope = context, say, place, scope

    def build(self) -> None:
        """The panel's accordion."""
        raise NotImplementedError

    def build_line(self) -> None:
        """The line of news, where the panel wants it."""
        self.line = gr.HTML(notice_html(""), elem_id=f"data-{self.name}-line")

    def build_stop(self) -> gr.Button:
        """The stop button, in the row of the others; alive only while something runs."""
        self.stop_btn = gr.Button(
            self.say("action.stop"),
            size="md",
            variant="stop",
            interactive=False,
            elem_id=f"data-{self.name}-stop",
            min_width=80,
            scale=0,
        )
        return self.stop_btn

    def build_report(self) -> None:
        """Where results are shown."""
        self.report = gr.HTML(elem_id=f"data-{self.name}-report", elem_classes="q-report")

    def wire(self) -> None:
        """Connect the controls; panels add their own."""
        self.stop_btn.click(self.on_stop, queue=False, **QUIET)

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {self.line, self.report}

    def shared(self) -> set[object]:
        """Inputs of every handler: which data set, filter and scope."""
        return self.place.components() | self.scope.components()

    def on_stop(self, request: gr.Request) -> None:
        """Stop what this panel does."""
        self._session(request).stop(f"data-{self.name}")

    def on_language(self, request: gr.Request) -> Updates:
        """Show the last result again in the language just chosen."""
        work = self._session(request).runs.get(f"data-{self.name}")
        if isinstance(work, Work) and work.finished and work.shown:
            return work.shown(language_of(request))
        return {self.line: notice_html("")}

    def run(
        self,
        request: gr.Request,
        do: Callable[[Work], object],
        show: Callable[[object, str], Updates],
        after: Callable[[object], Updates] = lambda result: {},
        writes: bool = False,
    ) -> Iterator[Updates]:
        """Do it in the background and yield the bar; then `show(result, language)` and `after`.

        A panel does one thing at a time, and only one panel writes at a time.
        """
        session, language = self._session(request), language_of(request)
        name = f"data-{self.name}"
        if busy_key := _busy(session, name, writes):
            yield {self.line: notice_html(text(busy_key, language), "warning")}
            return
        work = Work(do, writes)
        session.begin(name, work)  # type: ignore[arg-type]
        try:
            if not work.wait(PATIENCE_S):
                yield {
                    self.stop_btn: gr.update(interactive=True),
                    self.line: bar_html(work, language),
                }
            while not work.wait(TICK_S):
                yield {self.line: bar_html(work, language)}
        finally:
            # Reached by a closed page too; a work that has ended does not hear it.
            work.stop()
        idle = {self.stop_btn: gr.update(interactive=False)}
        if work.error:
            yield idle | {self.line: self.error_html(work.error, language, writes)}
            return
        work.shown = lambda spoken: show(work.result, spoken)
        yield from self.place_first(idle | work.shown(language) | after(work.result))

    def place_first(self, updates: Updates) -> Iterator[Updates]:
        """The updates; the news that data changed comes last.

        In one message the browser of records would be told before the page has the new name of
        the data set, and would show the old one again.
        """
        news = updates.pop(self.place.changed, None)
        yield updates
        if news is not None:
            time.sleep(SETTLE_S if self.place.name_dd in updates else 0)
            yield {self.place.changed: news}

    def error_html(self, error: BaseException, language: str, writes: bool = False) -> str:
        """What went wrong as a line; a stop is no error."""
        if isinstance(error, Stopped):
            key = "data.work.stopped" if writes else "data.work.stopped_look"
            return notice_html(text(key, language), "warning")
        return failure_html(error, language)

    def refuse(self, error: QeuError, request: gr.Request) -> Updates:
        """The update for a form that cannot be used as it stands."""
        return {self.line: self.error_html(error, language_of(request))}

    def _session(self, request: gr.Request) -> Session:
        return self.context.sessions.of(request)


def _busy(session: Session, name: str, writes: bool) -> str:
    """The key of why this cannot begin now, or ""."""
    for other, work in list(session.runs.items()):
        if isinstance(work, Work) and not work.finished:
            if other == name:
                return "data.work.busy"
            if writes and work.writes:
                return "data.work.busy_other"
    return ""


def bar_html(work: Work, language: str) -> str:
    """How far the work is: a bar where the end is known, a moving one where it is not."""
    if work.stopping.is_set():
        told, share = text("data.work.stopping", language), None
    elif work.total:
        share = min(work.done / work.total, 1.0)
        told = f"{share:.0%}"
    else:
        share = None
        key = "data.work.rows" if work.done else "data.work.busy_short"
        told = text(key, language, count=f"{work.done:,}") if work.done else text(key, language)
    if work.step and not work.stopping.is_set():
        step = words(language).get(work.step, "")
        told = f"{step} {told}" if share is not None else step or told
    css = "q-progress" if share is not None else "q-progress q-unknown"
    return (
        f'<div class="q-notice q-work" role="status"><span class="{css}" '
        f'style="--v:{share or 0:.3f}"><i></i></span>{escape(told)}</div>'
    )
