"""What a running job can say of itself at this moment, beside what the workspace knows."""

import threading
import time
from collections.abc import Sequence

from qeu.store.job_items import Outcome


class Tally:
    """Counts since this run began; written by the worker's threads, read by anybody.

    `tokens` and `made` are of this run, `finished` are all items that ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.began = time.monotonic()
        self.tokens = 0
        self.finished = 0
        self.made = 0
        self.latest: list[Outcome] = []
        self._waits: dict[str, str] = {}

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what was stored."""
        ended = [outcome for outcome in outcomes if outcome.state != "todo"]
        with self._lock:
            self.finished += len(ended)
            self.made += sum(not outcome.cached for outcome in ended)
            shown = [outcome for outcome in ended if outcome.state == "done"]
            self.latest = (self.latest + shown)[-8:]

    def add_tokens(self, count: int) -> None:
        """Count new tokens, whatever became of their text."""
        with self._lock:
            self.tokens += count

    def wait(self, source: str, sentence: str) -> None:
        """Say why a source waits; "" when it goes on."""
        with self._lock:
            self._waits[source] = sentence

    @property
    def waiting(self) -> str:
        """Sentences while engines are gone or hold requests back, else ""."""
        with self._lock:
            return " ".join(dict.fromkeys(filter(None, self._waits.values())))

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
