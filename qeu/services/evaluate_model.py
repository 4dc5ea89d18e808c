"""What an evaluation's texts and losses share: one model after the other, stopped by one event."""

import threading
from collections.abc import Callable, Container, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from qeu.backends.base import Backend
from qeu.backends.compute_queue import Turn
from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.store.workspace import Workspace

_One = TypeVar("_One")


class ModelUser:
    """Loads models and waits for turns, until `stop` is set."""

    def __init__(
        self,
        engines: Engines,
        workspace: Workspace,
        exact: bool,
        stop: threading.Event,
        on_load: OnProgress | None = None,
    ) -> None:
        self._engines, self._workspace, self._exact = engines, workspace, exact
        self._stop, self._on_load = stop, on_load

    def _load(self, model: str) -> Backend:
        return self._engines.load(model, exact=self._exact, progress=self._on_load, stop=self._stop)

    def _turn(self) -> AbstractContextManager[Turn]:
        """A turn on this machine; false where it was stopped before its turn came."""
        return self._engines.queue.turn(self._stop, lambda ahead: None)


def group_missing(
    wanted: Mapping[str, _One], found: Container[str], group_of: Callable[[_One], Hashable]
) -> list[list[_One]]:
    """What is wanted by key and not found yet, those of one group together, in their order."""
    groups: dict[Hashable, list[_One]] = {}
    for key, one in wanted.items():
        if key not in found:
            groups.setdefault(group_of(one), []).append(one)
    return list(groups.values())
