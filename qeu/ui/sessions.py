"""What the server remembers of each open page: its runs, stopped when the page goes away."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import gradio as gr

from qeu.backends.engines import Engines
from qeu.backends.keyring import Keyring
from qeu.services.job_queue import JobQueue
from qeu.services.runs import Live, Run
from qeu.store.workspace import Workspace
from qeu.ui.strings import COOKIE, pick_language

MOST_SESSIONS = 500
# What is written into the page where the visitor is not known yet.
BUILT_IN = "en"


@dataclass
class Session:
    """One browser tab. `runs` holds the run in progress by the place it belongs to."""

    runs: dict[str, Run] = field(default_factory=dict)
    shown: dict[str, Mapping[str, Live]] = field(default_factory=dict)
    workspace: Workspace | None = None
    # Bulk jobs of a visit to a public page; they end with it.
    jobs: JobQueue | None = None
    # Keys and addresses as this visitor has them; None: those of the environment.
    keyring: Keyring | None = None
    # What a panel has found out for its next step, by the panel's name.
    kept: dict[str, object] = field(default_factory=dict)
    # The language that each tab stands in, for those that were looked at.
    tabs: dict[str, str] = field(default_factory=dict)
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def own_workspace(self) -> Workspace:
        """Records that live in memory and end with this page; made at first use."""
        with self._opening:
            if self.workspace is None:
                self.workspace = Workspace(None)
            return self.workspace

    def visit_jobs(self, engines: Callable[[], Engines]) -> JobQueue:
        """The bulk jobs over this page's own records; made at first use."""
        workspace = self.own_workspace()
        with self._opening:
            if self.jobs is None:
                self.jobs = JobQueue(workspace, engines)
            return self.jobs

    def begin(self, place: str, run: Run) -> None:
        """Make `run` the one of its place; an older one still computing is stopped."""
        old = self.runs.get(place)
        if old is not None and old is not run:
            old.stop()
        self.runs[place] = run
        self.shown[place] = run.live

    def stop(self, place: str, key: str | None = None) -> None:
        """Stop one text of a place's run, or all of it."""
        if run := self.runs.get(place):
            run.stop(key)

    def end(self) -> None:
        """Stop what it computes, and let go of what it holds."""
        for run in self.runs.values():
            run.stop()
        if self.jobs is not None:
            self.jobs.close()
        if self.workspace is not None:
            self.workspace.close()

    def open_tab(self, tab: str, language: str) -> bool:
        """Note that a tab is filled in this language; whether it stood in another one, as built."""
        before = self.tabs.get(tab, BUILT_IN)
        self.tabs[tab] = language
        return before != language

    def has_opened(self, tab: str) -> bool:
        """Whether the tab was looked at: one that was not is filled when it is, not before."""
        return tab in self.tabs

    def is_current(self, place: str, run: Run) -> bool:
        """Whether the place still belongs to this run, or a newer one has taken it over."""
        return self.runs.get(place) is run


class Sessions:
    """All open pages, by gradio's session hash; of more than `most` the longest unused ends.

    A program can name a new hash with every request, and a page whose browser died says nothing.
    """

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def of(self, request: gr.Request) -> Session:
        """The session of a request, made at its first one."""
        name = request.session_hash or ""
        with self._lock:
            session = self._sessions.setdefault(name, Session())
            self._sessions.move_to_end(name)
            surplus = len(self._sessions) > self._most
            oldest = self._sessions.popitem(last=False)[1] if surplus else None
        if oldest is not None:
            oldest.end()
        return session

    def end(self, request: gr.Request) -> None:
        """The page is gone: stop what it was computing and forget it."""
        with self._lock:
            session = self._sessions.pop(request.session_hash or "", None)
        if session is not None:
            session.end()


def language_of(request: gr.Request | None) -> str:
    """The page's language: the visitor's choice (a cookie), else what the browser asks for."""
    if request is None:
        return "en"
    return pick_language(request.cookies.get(COOKIE), request.headers.get("accept-language"))
