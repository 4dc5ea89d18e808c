"""The sweep that is looked at, kept in memory and read again when there is more of it."""

import threading
import time

from qeu.services.sweep_result import Sweep, read_sweep
from qeu.store.sweeps import OPEN, get_sweep
from qeu.store.workspace import Workspace

# Of the time while a sweep goes on, reading it takes at most this share.
_SHARE = 0.1


class SweepReader:
    """Reads one sweep at a time; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[tuple[object, ...], Sweep] | None = None
        self._again = 0.0

    def read(self, workspace: Workspace, number: int) -> Sweep:
        """A sweep as far as it is; one of very many cells may be a little behind while it goes on.

        Raises QeuError where there is none, or another version kept it.
        """
        stored = get_sweep(workspace, number)
        mark = (workspace, number, stored.state, stored.cells, stored.done)
        with self._lock:
            if self._kept is not None:
                before, sweep = self._kept
                is_same = before[:2] == mark[:2]
                if before == mark:
                    return sweep
                if is_same and stored.state == OPEN and time.monotonic() < self._again:
                    return sweep
            begun = time.monotonic()
            sweep = read_sweep(workspace, number)
            ended = time.monotonic()
            self._again = ended + (ended - begun) / _SHARE
            self._kept = mark, sweep
            return sweep
