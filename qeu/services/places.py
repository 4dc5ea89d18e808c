"""A limited number of places for visitors; who finds none is told so at once, and not kept."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qeu.backends.compute_queue import ComputeQueue, StopSign
from qeu.core.errors import QeuError


class Places:
    """`most` at a time; safe from any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0
        self._visitors: set[str] = set()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Places in use."""
        with self._lock:
            return self._taken

    @contextmanager
    def take(self, visitor: str = "") -> Iterator[None]:
        """Hold a place for the block; raises QeuError at once where there is none.

        Whoever gives a name holds one place at a time.
        """
        with self._lock:
            if visitor in self._visitors:
                raise QeuError("Your run before is not over yet. Wait for its result.")
            if self._taken >= self.most:
                raise QeuError(
                    f"Others are ahead of you ({self._taken}), and no more can wait here. "
                    "Come again in a minute."
                )
            self._taken += 1
            if visitor:
                self._visitors.add(visitor)
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1
                self._visitors.discard(visitor)


class PublicQueue(ComputeQueue):
    """The queue of a public page: beside the one that computes, `most_waiting` may wait.

    Whoever computes does so on a thread of its own, and who was let in once is let in for all
    later turns of that thread: a run of several models is not refused half way.
    """

    def __init__(self, most_waiting: int) -> None:
        super().__init__()
        self._places = Places(most_waiting + 1)
        self._known = threading.local()

    @contextmanager
    def turn(
        self,
        stop: StopSign | None = None,
        on_place: Callable[[int], None] | None = None,
    ) -> Iterator[bool]:
        """As a plain queue's turn; raises QeuError where too many wait already."""
        if getattr(self._known, "let_in", False):
            with super().turn(stop, on_place) as got_it:
                yield got_it
            return
        with self._places.take(), super().turn(stop, on_place) as got_it:
            self._known.let_in = True
            yield got_it
