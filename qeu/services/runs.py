"""Ask one or many models at once: plan, load, queue, stream, stop, check; no page, no storage.

A run computes on a thread of its own. Whoever started it calls `poll` in a loop and reads `live`;
when nobody polls any more (a closed tab), the owner calls `stop` and the computation ends.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from qeu.backends.base import Backend, Piece, Prepared, Row
from qeu.backends.catalog import split_ref
from qeu.backends.engines import Engines
from qeu.backends.weights import Progress
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.services.adapters import layout_warning, own_layout
from qeu.services.asks import (
    Ask,
    Live,
    broken_generation,
    check_parts,
    restore_live,
    side_json,
)
from qeu.services.plan import Plan, Stage, make_plan

__all__ = [
    "Ask",
    "Live",
    "Run",
    "broken_generation",
    "check_parts",
    "restore_live",
    "side_json",
]

log = logging.getLogger(__name__)


class Run:
    """A set of asks on their way. Not reusable; as a context manager it stops at the end.

    Whoever started it polls it. When nobody has polled for `patience_s`, it stops by itself: its
    reader is gone and did not say so.
    """

    def __init__(
        self, engines: Engines, asks: Sequence[Ask], exact: bool = False, patience_s: float = 60.0
    ) -> None:
        if len({ask.key for ask in asks}) != len(asks):
            raise ValueError("two asks of one run have the same key")
        self._engines = engines
        self._exact = exact
        self._news: queue.SimpleQueue[tuple[str, str, object]] = queue.SimpleQueue()
        self._stops = {ask.key: threading.Event() for ask in asks}
        self._ended: set[str] = set()
        self._ending = threading.Lock()
        self._waited = False
        self._patience_s = patience_s
        self._polled = time.monotonic()
        asks = [settle_layout(ask, engines) for ask in asks]
        self.warnings = {ask.key: w for ask in asks if (w := warn_of_layout(ask, engines))}
        self.live = {ask.key: Live(ask) for ask in asks}
        # what cannot be meant is refused here, before a plan looks at models and memory
        self._rows = {ask.key: self._row(ask) for ask in asks}
        self.plan: Plan = make_plan([ask.model_name for ask in asks], engines, exact)
        self._thread = threading.Thread(target=self._work, name="qeu-run", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def finished(self) -> bool:
        """Whether every ask has ended and all news of it has been polled."""
        return all(live.finished for live in self.live.values())

    def stop(self, key: str | None = None) -> None:
        """End one ask, or all; what was written is kept. Safe from any thread."""
        for name, event in self._stops.items():
            if key in (None, name):
                event.set()
                # what only waits is over at once: a load may go on for others, without its reader
                if self.live[name].phase in ("queued", "loading", "waiting"):
                    self._end([name], "")

    def poll(self, timeout_s: float = 0.1) -> set[str]:
        """Wait up to `timeout_s` for news, take in all there is; the keys that changed."""
        self._polled = time.monotonic()
        changed: set[str] = set()
        try:
            item = self._news.get(timeout=timeout_s)
            while True:
                changed.add(item[0])
                self._take(*item)
                item = self._news.get_nowait()
        except queue.Empty:
            return changed

    def wait(self, timeout_s: float | None = None) -> bool:
        """Poll until all is finished; False if `timeout_s` passed first."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.finished:
            self.poll(0.05)
            if end is not None and time.monotonic() > end:
                return self.finished
        return True

    def join(self, timeout_s: float) -> bool:
        """Wait for the computing thread itself, after a stop; True if it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- consumer side -----------------------------------------------------------------------

    def _take(self, key: str, kind: str, value: object) -> None:
        live = self.live[key]
        if live.finished:
            return
        if isinstance(value, Piece):
            live.waits_s = value.waits_s
            live.phase = "writing" if value.new_tokens else "reading"
            if value.waits_s:
                live.phase = "waiting"
            if value.new_tokens and not live.new_tokens:
                live.ttft_s = value.seconds
            live.text += value.text
            live.ended = value.finish_reason
            live.new_tokens, live.seconds = value.new_tokens, value.seconds
        elif isinstance(value, Prepared):
            live.prepared = value
        elif isinstance(value, Generation):
            live.end(value)
        elif kind in ("cancelled", "error"):
            live.end(broken_generation(live, kind, str(value)))
        elif kind == "waiting":
            live.phase, live.ahead = "waiting", int(str(value))
        elif kind == "context":
            live.context = int(str(value))
        elif kind == "loading":
            live.phase = "loading"
            live.loading, live.loaded_share = value  # type: ignore[misc]

    # -- computing side ----------------------------------------------------------------------

    def _work(self) -> None:
        beside = [
            threading.Thread(target=self._work_hosted, args=(name,), name="qeu-hosted", daemon=True)
            for name in self.plan.hosted
        ]
        try:
            for thread in beside:
                thread.start()
            for stage in self.plan.stages:
                keys = self._keys_of(stage.model)
                with self._explained(keys, stage.model):
                    self._work_stage(stage, keys)
            for thread in beside:
                thread.join()
        finally:
            # whatever happened above, nobody may wait for news that never comes
            self._end(list(self.live), "The computation ended without a result; the log says why.")

    def _keys_of(self, model_name: str) -> list[str]:
        return [key for key, live in self.live.items() if live.ask.model_name == model_name]

    def _work_hosted(self, name: str) -> None:
        """A hosted model computes elsewhere: no turn, no memory, nobody to wait for."""
        keys = self._keys_of(name)
        with self._explained(keys, name):
            stop = _AllOf([self._stops[key] for key in keys])
            self._tell(keys, "loading", ("connect", 0.0))
            model = self._load(name, keys, stop)
            if keys := self._prepare(model, name, keys):
                self._generate(model, keys)

    @contextmanager
    def _explained(self, keys: Sequence[str], model_name: str) -> Iterator[None]:
        """Turn any failure within into the end of these asks, so that the others go on."""
        try:
            yield
        except QeuError as error:
            self._end(keys, str(error))
        except Exception as error:
            log.exception("a run of %s failed", model_name)
            self._end(keys, f"{model_name} failed: {type(error).__name__}: {error}")

    def _end(self, keys: Sequence[str], sentence: str) -> None:
        """End what has not ended: as cancelled where somebody asked for that, else as failed."""
        for key in keys:
            stopped = self._stops[key].is_set()
            self._finish(key, "cancelled" if stopped else "error", "" if stopped else sentence)

    def _finish(self, key: str, kind: str, value: object) -> None:
        """Give the last news of an ask; only the first of several counts."""
        with self._ending:
            if key in self._ended:
                return
            self._ended.add(key)
            self._news.put((key, kind, value))

    def _tell(self, keys: Sequence[str], kind: str, value: object) -> None:
        if time.monotonic() - self._polled > self._patience_s:
            self.stop()
        for key in keys:
            self._news.put((key, kind, value))

    def _work_stage(self, stage: Stage, keys: list[str]) -> None:
        stop = _AllOf([self._stops[key] for key in keys])
        if stop.is_set():
            return self._end(keys, "")
        if stage.unload:
            # with the turn in hand, nobody computes on what must go
            with self._turn(keys, stop):
                for other in () if stop.is_set() else stage.unload:
                    self._engines.unload(other)
        self._tell(keys, "loading", ("start", 0.0))
        model = self._load(stage.model, keys, stop)
        keys = self._prepare(model, stage.model, keys)
        if not keys or stop.is_set():
            return self._end(keys, "")
        self._tell(keys, "waiting", 0)
        with self._turn(keys, stop):
            if stop.is_set():  # then the turn may be somebody else's
                return self._end(keys, "")
            if self._waited:  # meanwhile another run may have unloaded it
                model = self._load(stage.model, keys, stop)
            self._generate(model, keys)
        return None

    def _prepare(self, model: Backend, name: str, keys: Sequence[str]) -> list[str]:
        """Tell of every prompt as the model will read it; the keys that are not over already."""
        for key in keys:
            with self._explained([key], name):
                self._tell([key], "context", model.context)
                self._tell([key], "prepared", model.prepare(self._rows[key].prompt))
        return [key for key in keys if key not in self._ended]

    def _generate(self, model: Backend, keys: Sequence[str]) -> None:
        done = model.generate(
            [self._rows[key] for key in keys],
            lambda piece: self._tell([keys[piece.row]], "", piece),
            exact=self._exact,
        )
        for key, generation in zip(keys, done, strict=True):
            self._finish(key, "", _noted(generation, self.warnings.get(key, "")))

    def _load(self, name: str, keys: Sequence[str], stop: "_AllOf") -> Backend:
        def tell(progress: Progress) -> None:
            share = progress.done / progress.total if progress.total else 0.0
            self._tell(keys, "loading", (progress.step, share))

        return self._engines.load(name, exact=self._exact, progress=tell, stop=stop)

    def _turn(self, keys: Sequence[str], stop: "_AllOf") -> AbstractContextManager[bool]:
        def tell(ahead: int) -> None:
            self._waited = self._waited or ahead > 0
            self._tell(keys, "waiting", ahead)

        return self._engines.queue.turn(stop, tell)

    def _row(self, ask: Ask) -> Row:
        adapter = split_ref(ask.model)[1]
        stop = self._stops[ask.key]
        return Row(ask.prompt(), ask.sampling.checked(), adapter, stop, begun=ask.begun)


def settle_layout(ask: Ask, engines: Engines) -> Ask:
    """The ask with the layout that its adapter learned, where none is chosen."""
    if ask.layout or "@" not in ask.model:
        return ask
    learned = own_layout(engines.adapters, ask.model, local_paths=engines.local_paths)
    return replace(ask, own_layout=learned[0]) if learned else ask


def warn_of_layout(ask: Ask, engines: Engines) -> str:
    """Where an adapter is asked otherwise than it learned, a sentence that says so; else ""."""
    if "@" not in ask.model:
        return ""
    return layout_warning(
        ask.layout, ask.target, ask.model, engines.adapters, local_paths=engines.local_paths
    )


def _noted(generation: Generation, warning: str) -> Generation:
    receipt = generation.receipt
    if not warning or receipt is None:
        return generation
    return replace(generation, receipt=replace(receipt, notes=(warning, *receipt.notes)))


class _AllOf:
    """A stop sign that is set once all of several events are: nobody waits any more."""

    def __init__(self, events: Sequence[threading.Event]) -> None:
        self._events = events

    def is_set(self) -> bool:
        return all(event.is_set() for event in self._events)
