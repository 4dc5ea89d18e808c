"""Work in the background: one piece at a time, ended by a wish, its error kept."""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from qeu.core.errors import QeuError


class BackgroundRun:
    """One piece of work on a thread of its own; `name` is what the log calls it."""

    name = "work"

    def __init__(self) -> None:
        self.stopping, self._ended = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    def stop(self) -> None:
        """Let it end soon; what was written and computed is kept."""
        self.stopping.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether it has ended."""
        return self._ended.wait(seconds)

    def work(self, do: Callable[[], object]) -> None:
        """Do it in the background; an error is kept, and a defect logged in full."""

        def run() -> None:
            try:
                do()
            except QeuError as error:
                # a load that was stopped says so, too
                self.error = None if self.stopping.is_set() else error
            except Exception as error:
                logging.getLogger(__name__).exception(self.name)
                self.error = error
            finally:
                self._ended.set()

        threading.Thread(target=run, daemon=True, name=self.name).start()


_Run = TypeVar("_Run", bound=BackgroundRun)


class OneRun(Generic[_Run]):
    """At most one piece of work under way; `latest` is that one, or the last that was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.latest: _Run | None = None

    @property
    def running(self) -> bool:
        """Whether something is under way now."""
        return self.latest is not None and not self.latest.finished

    def close(self, wait_s: float = 5.0) -> None:
        """The program ends."""
        if self.latest is not None:
            self.latest.stop()
            self.latest.wait(wait_s)
