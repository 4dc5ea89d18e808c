"""Close what nobody has used for a while, on a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0


class Closable(Protocol):
    """A loaded model, as far as this must know it."""

    name: str

    @property
    def idle_since(self) -> float | None:
        """Seconds of `time.time`; None while it computes."""
        ...


class IdleWatch:
    """Looks at what is loaded from time to time and closes what is idle for `idle_s` seconds.

    The thread begins with the first `start` and is a daemon: it never keeps the program alive.
    """

    def __init__(
        self,
        idle_s: float,
        list_open: Callable[[], Sequence[Closable]],
        close: Callable[[Closable], None],
    ) -> None:
        self._idle_s, self._list_open, self._close = idle_s, list_open, close
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch, once; does nothing where nothing is ever idle for too long."""
        with self._guard:
            if self._idle_s > 0 and self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="qeu-idle", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def sweep(self) -> None:
        """Close what is idle for long enough now."""
        for model in self._list_open():
            since = model.idle_since
            if since is not None and time.time() - since >= self._idle_s:
                log.info("%s is unloaded: nobody has used it for a while", model.name)
                self._close(model)

    def _watch(self) -> None:
        while not self._stopped.wait(min(_LONGEST_WAIT_S, self._idle_s / 4)):
            self.sweep()
