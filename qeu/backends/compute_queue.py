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

    @contextmanager
    def turn(
        self,
        stop: StopSign | None = None,
        on_place: Callable[[int], None] | None = None,
    ) -> Iterator[bool]:
        """Wait for the turn and hold it for the block; yields True, or False if `stop` came first.

        `on_place` is told the number of runs ahead, at once and whenever it changes (0: now).
        After False the place in the line is given up: the block must not compute.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
        try:
            got_it = self._wait(ticket, stop, on_place)
            if not got_it:
                self._leave(ticket)
            yield got_it
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

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
                self._changed.notify_all()
