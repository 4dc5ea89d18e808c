"""What a running job can say of itself at this moment, beside what the workspace knows."""

import threading
import time
from collections.abc import Sequence

from qeu.store.job_items import Outcome


class Tally:
    """Counts since this run began; written by the worker's threads, read by anybody.

    `waiting` is a sentence while an engine is gone, else "".
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.began = time.monotonic()
        self.tokens = 0
        self.finished = 0
        self.made = 0
        self.waiting = ""
        self.latest: list[Outcome] = []

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what was stored."""
        ended = [outcome for outcome in outcomes if outcome.state != "todo"]
        with self._lock:
            self.finished += len(ended)
            self.made += sum(not outcome.cached for outcome in ended)
            shown = [outcome for outcome in ended if outcome.state == "done"]
            self.latest = (self.latest + shown)[-8:]

    @property
    def tokens_per_s(self) -> float:
        """Speed of this run so far."""
        seconds = time.monotonic() - self.began
        return self.tokens / seconds if seconds > 0 else 0.0

    def seconds_left(self, todo: int) -> float | None:
        """Time that the rest takes at the pace so far; None while nothing was made."""
        if not self.made:
            return None
        return todo * (time.monotonic() - self.began) / self.made
