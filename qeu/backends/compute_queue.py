"""A fair queue in front of a device: one run computes at a time, in the order of asking."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

_POLL_S = 0.05


class StopSign(Protocol):
    """Whatever can be asked whether to stop, such as a threading.Event."""

    def is_set(self) -> bool:
        """Whether to stop."""
        ...


class ComputeQueue:
    """Hands out turns first come, first served; safe from any number of threads."""

    def __init__(self) -> None:
        self._line: list[object] = []  # the first one has the turn
        self._changed = threading.Condition()

    @property
    def length(self) -> int:
        """Runs that compute or wait."""
        with self._changed:
            return len(self._line)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for the turn."""
        return len(self._line) > 1

    @contextmanager
    def turn(
        self,
        stop: StopSign | None = None,
        on_place: Callable[[int], None] | None = None,
    ) -> "Iterator[Turn]":
        """Wait for the turn and hold it for the block; it is false if `stop` came first.

        `on_place` is told the number of runs ahead, at once and whenever it changes (0: now).
        After a false one the place in the line is given up: the block must not compute.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
        try:
            got_it = self._wait(ticket, stop, on_place)
            if not got_it:
                self._leave(ticket)
            yield Turn(self, ticket if got_it else None)
        finally:
            self._leave(ticket)

    def _wait(
        self, ticket: object, stop: StopSign | None, on_place: Callable[[int], None] | None
    ) -> bool:
        told = None
        while True:
            with self._changed:
                ahead = self._line.index(ticket)
                if ahead == told:
                    self._changed.wait(_POLL_S)
                    ahead = self._line.index(ticket)
            # outside the lock: a callback that is slow or fails must not hold up the others
            if ahead != told and on_place is not None:
                on_place(ahead)
            told = ahead
            if stop is not None and stop.is_set():
                return False
            if ahead == 0:
                return True

    def give_way(self, ticket: object) -> None:
        """Stand behind all who wait now, until the turn comes back; see `Turn`."""
        with self._changed:
            self._line.remove(ticket)
            self._line.append(ticket)
            self._changed.notify_all()
        self._wait(ticket, None, None)

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
                self._changed.notify_all()


class Turn:
    """A turn that one has, or false. Long work that nobody looks at gives way to others between
    its steps: a person must not wait for a job of thousands.
    """

    def __init__(self, queue: ComputeQueue, ticket: object | None) -> None:
        self._queue, self._ticket = queue, ticket

    def __bool__(self) -> bool:
        return self._ticket is not None

    @property
    def wanted(self) -> bool:
        """Whether others wait for it."""
        return self._ticket is not None and self._queue.wanted

    def give_way(self) -> None:
        """Let all who wait now go first; comes back when the turn is here again."""
        if self._ticket is not None:
            self._queue.give_way(self._ticket)
