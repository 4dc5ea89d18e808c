"""Sweep in the background, one sweep at a time.

Texts and whole cells are stored by the sweep itself: one that was stopped, or cut short by the end
of the program, goes on where it was when it is started again.
"""

import time
from collections.abc import Callable

from qeu.backends.engines import Engines
from qeu.backends.wheel import Progress as LoadProgress
from qeu.core.sweep_spec import SweepSpec
from qeu.services.background import BackgroundRun, OneRun
from qeu.services.sweep import SweepProgress, order_sweep, run_sweep
from qeu.store.sweeps import get_sweep
from qeu.store.workspace import Workspace


class SweepRun(BackgroundRun):
    """One sweep under way: `done` of `total` texts, `cells_done` of `cells`."""

    name = "sweep"

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.number, self._clock = number, clock
        self.progress = SweepProgress(0, 0, 0, 0)
        self.load = ""
        self._first: tuple[float, int] | None = None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far; None while that is unknown."""
        if self._first is None or self.load:
            return None
        began, known = self._first
        made = self.progress.done - known
        rest = self.progress.total - self.progress.done
        return rest * (self._clock() - began) / made if made >= 2 else None

    def note(self, progress: SweepProgress) -> None:
        """So far is the sweep."""
        self.load = ""
        if self._first is None:
            self._first = (self._clock(), progress.done)
        self.progress = progress

    def note_load(self, progress: LoadProgress) -> None:
        """A model is being loaded."""
        self.load = f"load.{progress.step}"


class SweepRuns(OneRun[SweepRun]):
    """One sweep at a time for a workspace; all that were ordered stay in the list of the store."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace

    def start(self, engines: Engines, spec: SweepSpec) -> SweepRun | None:
        """Begin what is ordered; it goes on in the background. None where another still runs.

        Raises UsageError for an order that cannot be meant, QeuError where no record matches.
        """
        with self._lock:
            if self.running:
                return None
            return self._begin(engines, order_sweep(self._workspace, spec))

    def resume(self, engines: Engines, number: int) -> SweepRun | None:
        """Go on with a sweep where it was. None where another still runs.

        Raises QeuError where there is none of this number.
        """
        with self._lock:
            if self.running:
                return None
            return self._begin(engines, get_sweep(self._workspace, number).id)

    def _begin(self, engines: Engines, number: int) -> SweepRun:
        run = self.latest = SweepRun(number)
        run.work(
            lambda: run_sweep(
                engines, self._workspace, number, progress=run.note, stop=run.stopping,
                on_load=run.note_load,
            )
        )  # fmt: skip
        return run
