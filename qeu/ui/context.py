"""What every tab is built with: settings, loaded models, the workspace, the open pages."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import gradio as gr

from qeu.backends.engines import Engines
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.settings import Settings
from qeu.services.evaluate_runs import EvaluateRuns
from qeu.services.job_queue import JobQueue
from qeu.services.limited_engines import LimitedEngines
from qeu.services.public_limits import PublicLimits
from qeu.services.sweep_runs import SweepRuns
from qeu.services.usefulness_runs import UsefulnessRuns
from qeu.store.history import forget_visitor
from qeu.store.workspace import Workspace
from qeu.ui.preload import Preload
from qeu.ui.sessions import Sessions

if TYPE_CHECKING:
    from qeu.backends.hosted_pool import HostedPool
    from qeu.services.lens import Lens

DEFAULT_MODEL = "smollm2-135m"


@dataclass
class Context:
    """One start of the page; nothing in it is per visitor but `sessions`."""

    settings: Settings
    shelf: Shelf
    keyring: Keyring = field(default_factory=Keyring)
    sessions: Sessions = field(default_factory=Sessions)

    @cached_property
    def pool(self) -> "HostedPool":
        """Hosted models: what every page shares of them are clients, lists and rate limits."""
        from qeu.backends.hosted_pool import HostedPool

        return HostedPool()

    def keyring_of(self, request: gr.Request) -> Keyring:
        """The keys and addresses that this visitor may use."""
        if self.settings.public:
            # the owner's for a share of a day's tokens, or nobody's
            return self.keyring if self.settings.public_budget else Keyring()
        own = self.sessions.of(request).keyring
        return self.keyring if own is None else own

    def engines(self, request: gr.Request) -> Engines:
        """All models that this visitor can ask."""
        keyring = self.keyring_of(request)
        engines = Engines(self.shelf, self.pool, keyring, self.settings.adapters)
        return LimitedEngines(engines, self.limits) if self.settings.public else engines

    @cached_property
    def limits(self) -> PublicLimits:
        """What visitors of a public page may ask for; a private page asks for anything."""
        return PublicLimits(self.settings, self.keyring.providers)

    @cached_property
    def preload(self) -> Preload:
        """The default model's load, begun after the first visit so that the page is up before."""
        return Preload(self.shelf, DEFAULT_MODEL)

    @cached_property
    def workspace(self) -> Workspace:
        """Opened at first use; in memory on a public page, where visits leave nothing behind."""
        return Workspace(None if self.settings.public else self.settings.home / "qeu.db")

    def records(self, request: gr.Request) -> Workspace:
        """The data sets of whoever asks: on a public page those of the visit, gone with it."""
        if not self.settings.public:
            return self.workspace
        return self.sessions.of(request).own_workspace()

    @cached_property
    def own_jobs(self) -> JobQueue:
        """The bulk jobs of a private page's workspace; they go on whoever looks at the page."""
        assert not self.settings.public
        return JobQueue(self.workspace, self._own_engines)

    def jobs(self, request: gr.Request) -> JobQueue:
        """The bulk jobs of whoever asks: on a public page those of the visit, ended with it."""
        if not self.settings.public:
            return self.own_jobs
        engines = self.engines(request)
        return self.sessions.of(request).visit_jobs(lambda: engines)

    @cached_property
    def lens(self) -> "Lens":
        """The next-token view; what it read of a text serves all visitors."""
        from qeu.services.lens import Lens

        return Lens()

    @cached_property
    def usefulness(self) -> UsefulnessRuns:
        """What was measured of a private page's jobs; a public page measures nothing."""
        return UsefulnessRuns(self.workspace)

    @cached_property
    def evaluations(self) -> EvaluateRuns:
        """What was evaluated on a private page; a public page evaluates nothing."""
        assert not self.settings.public
        return EvaluateRuns(self.workspace)

    @cached_property
    def sweeps(self) -> SweepRuns:
        """What is swept on a private page; a public page sweeps nothing."""
        assert not self.settings.public
        return SweepRuns(self.workspace)

    def start_jobs(self) -> None:
        """Go on with the jobs that the last start left; nothing where there is no workspace yet."""
        if not self.settings.public and (self.settings.home / "qeu.db").exists():
            self.own_jobs.start()

    def end_jobs(self) -> None:
        """The program ends: what is finished or measured is stored, the rest stays queued."""
        if "own_jobs" in self.__dict__:
            self.own_jobs.close()
        if "usefulness" in self.__dict__:
            self.usefulness.close()
        if "evaluations" in self.__dict__:
            self.evaluations.close()
        if "sweeps" in self.__dict__:
            self.sweeps.close()

    def _own_engines(self) -> Engines:
        return Engines(self.shelf, self.pool, self.keyring, self.settings.adapters)

    def check_model(self, ref: str) -> None:
        """Refuse on a public page what is not offered: visitors load nothing of their own."""
        if self.settings.public:
            self.limits.check_model(ref)

    def end_visit(self, request: gr.Request) -> None:
        """A page was closed: nothing is computed for it on; a public one leaves nothing behind."""
        self.sessions.end(request)
        if self.settings.public and "workspace" in self.__dict__:
            forget_visitor(self.workspace, self.visitor(request))

    def visitor(self, request: gr.Request) -> str:
        """Whose history is meant: each visit's own on a public page, the one person's otherwise."""
        return (request.session_hash or "anonymous") if self.settings.public else ""


@dataclass(frozen=True)
class Words:
    """Marks texts for translation in the browser; `say("key")` stands where a label goes."""

    i18n: gr.I18n

    def __call__(self, key: str) -> object:
        """The marker that the page replaces by the text of this key."""
        return self.i18n(key)
