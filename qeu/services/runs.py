"""Ask one or many models at once: plan, load, queue, stream, stop, check; no page, no storage.

A run computes on a thread of its own. Whoever started it calls `poll` in a loop and reads `live`;
when nobody polls any more (a closed tab), the owner calls `stop` and the computation ends.
"""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qeu.backends.base import Backend, Piece, Prepared, Row
from qeu.backends.catalog import find_model, split_ref
from qeu.backends.shelf import Shelf
from qeu.core.contract import Check, check_answer, check_reasoning
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt, render, split_completion
from qeu.core.record import Record
from qeu.core.roles import ROLES, Role
from qeu.core.sampling import Sampling
from qeu.services.plan import Plan, make_plan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ask:
    """One text wanted from one model.

    `key` names it among its run ("left", "creator", …); `model` is `NAME` or `NAME@ADAPTER`;
    `layout` empty takes the model's own; `expected_language` empty takes what the role implies.
    """

    key: str
    model: str
    record: Record
    role: Role
    target: str
    sampling: Sampling
    layout: str = ""
    use_reasoning: bool = True
    expected_language: str = ""
    logician: Role = ROLES["logician"]

    @property
    def model_name(self) -> str:
        """The base model, without adapter."""
        return split_ref(self.model)[0]

    def chosen_layout(self) -> str:
        """The layout that will be used."""
        return self.layout or find_model(self.model_name).layout

    def prompt(self) -> Prompt:
        """The prompt as `render` makes it; raises QeuError for an empty question."""
        record = self.record if self.use_reasoning else replace(self.record, reasoning="")
        rendered = render(record, self.chosen_layout(), self.role, self.target, self.logician)
        return rendered.prompt


@dataclass
class Live:
    """What is known of one ask so far; times in seconds since its computation began.

    Phases: queued → loading → waiting (others compute) → reading (the prompt) → writing →
    done | failed. `ahead` counts the runs before this one while waiting.
    """

    ask: Ask
    phase: str = "queued"
    text: str = ""
    new_tokens: int = 0
    ttft_s: float = 0.0
    seconds: float = 0.0
    ahead: int = 0
    loading: str = ""
    loaded_share: float = 0.0
    prepared: Prepared | None = None
    generation: Generation | None = None
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ("done", "failed")

    @property
    def tokens_per_s(self) -> float:
        """Speed after the first token; 0 while there is too little to tell."""
        if self.generation:
            return self.generation.tokens_per_s
        span = self.seconds - self.ttft_s
        return (self.new_tokens - 1) / span if self.new_tokens > 1 and span > 0 else 0.0

    def parts(self) -> tuple[str, str]:
        """(reasoning, answer) of the text so far."""
        return split_completion(self.text, self.ask.chosen_layout(), self.ask.target)

    def checks(self) -> dict[str, tuple[Check, ...]]:
        """The checks of each part that the model itself wrote, as they stand now."""
        return check_parts(self.ask, self.text, final=self.finished)


def check_parts(ask: Ask, text: str, final: bool = True) -> dict[str, tuple[Check, ...]]:
    """Checks by part ("reasoning", "answer") of a text that was written for `ask`."""
    reasoning, answer = split_completion(text, ask.chosen_layout(), ask.target)
    found: dict[str, tuple[Check, ...]] = {}
    record = ask.record
    if ask.target != "answer" and (reasoning or final):
        found["reasoning"] = check_reasoning(
            reasoning,
            category=record.category,
            question=record.question,
            reference=record.output,
            expected_language=ask.expected_language or "en",
            final=final,
        )
    if ask.target == "answer" or (ask.target == "both" and (answer or final)):
        # A translator's language is the task's business; the other roles answer in English.
        expected = ask.expected_language or (None if ask.role.id == "translator" else "en")
        found["answer"] = check_answer(answer, expected_language=expected, final=final)
    return found


class Run:
    """A set of asks on their way. Not reusable; `close` it when nobody will poll any more."""

    def __init__(self, shelf: Shelf, asks: Sequence[Ask], exact: bool = False) -> None:
        if len({ask.key for ask in asks}) != len(asks):
            raise ValueError("two asks of one run have the same key")
        self._shelf = shelf
        self._exact = exact
        self._news: queue.SimpleQueue[tuple[str, str, object]] = queue.SimpleQueue()
        self._stops = {ask.key: threading.Event() for ask in asks}
        self._stop_all = threading.Event()
        self.live = {ask.key: Live(ask) for ask in asks}
        self.plan: Plan = make_plan([ask.model_name for ask in asks], shelf, exact)
        self._prompts = {ask.key: ask.prompt() for ask in asks}
        for ask in asks:
            ask.sampling.checked()
        self._thread = threading.Thread(target=self._work, name="qeu-run", daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether every ask has ended and all news of it has been polled."""
        return all(live.finished for live in self.live.values())

    def stop(self, key: str | None = None) -> None:
        """End one ask, or all; what was written is kept. Safe from any thread."""
        for name, event in self._stops.items():
            if key in (None, name):
                event.set()
        if all(event.is_set() for event in self._stops.values()):
            self._stop_all.set()

    def poll(self, timeout_s: float = 0.1) -> set[str]:
        """Wait up to `timeout_s` for news, take in all there is; the keys that changed."""
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
                return False
        return True

    def join(self, timeout_s: float) -> bool:
        """Wait for the computing thread itself, after a stop; True if it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- consumer side -----------------------------------------------------------------------

    def _take(self, key: str, kind: str, value: object) -> None:
        live = self.live[key]
        if isinstance(value, Piece):
            live.phase = "writing" if value.new_tokens else "reading"
            if value.new_tokens and not live.new_tokens:
                live.ttft_s = value.seconds
            live.text += value.text
            live.new_tokens, live.seconds = value.new_tokens, value.seconds
        elif isinstance(value, Prepared):
            live.prepared = value
        elif isinstance(value, Generation):
            live.generation, live.text = value, value.text
            live.new_tokens, live.ttft_s = value.new_tokens, value.ttft_s
            live.phase = "failed" if value.finish_reason == "error" else "done"
            live.error = value.error
        elif kind == "failed":
            live.phase, live.error = "failed", str(value)
        elif kind == "waiting":
            live.phase, live.ahead = "waiting", int(str(value))
        elif kind == "loading":
            live.phase = "loading"
            live.loading, live.loaded_share = value  # type: ignore[misc]

    # -- computing side ----------------------------------------------------------------------

    def _work(self) -> None:
        for stage in self.plan.stages:
            keys = [key for key, live in self.live.items() if live.ask.model_name == stage.model]
            try:
                self._work_stage(stage.model, keys, stage.unload)
            except QeuError as error:
                self._fail(keys, str(error))
            except Exception as error:
                log.exception("a run of %s failed", stage.model)
                self._fail(keys, f"{stage.model} failed: {type(error).__name__}: {error}")

    def _fail(self, keys: Sequence[str], sentence: str) -> None:
        for key in keys:
            self._news.put((key, "failed", sentence))

    def _work_stage(self, model_name: str, keys: Sequence[str], unload: Sequence[str]) -> None:
        def tell(kind: str, value: object) -> None:
            for key in keys:
                self._news.put((key, kind, value))

        stop = _AllOf([self._stops[key] for key in keys])
        for other in unload:
            self._shelf.unload(other)
        tell("loading", ("start", 0.0))
        model: Backend = self._shelf.load(
            model_name,
            exact=self._exact,
            progress=lambda p: tell("loading", (p.step, p.done / p.total if p.total else 0.0)),
            stop=stop,  # type: ignore[arg-type]
        )
        for key in keys:
            self._news.put((key, "prepared", model.prepare(self._prompts[key])))
        tell("waiting", 0)
        with self._shelf.queue.turn(stop=stop, on_place=lambda ahead: tell("waiting", ahead)):
            rows = [self._row(key) for key in keys]
            done = model.generate(
                rows, lambda piece: self._news.put((keys[piece.row], "", piece)), exact=self._exact
            )
        for key, generation in zip(keys, done, strict=True):
            self._news.put((key, "", generation))

    def _row(self, key: str) -> Row:
        ask = self.live[key].ask
        adapter = split_ref(ask.model)[1]
        return Row(self._prompts[key], ask.sampling.checked(), adapter, self._stops[key])


class _AllOf:
    """Reads like a threading.Event that is set once all of several are: nobody waits any more."""

    def __init__(self, events: Sequence[threading.Event]) -> None:
        self._events = events

    def is_set(self) -> bool:
        return all(event.is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True


def side_json(live: Live) -> dict[str, object]:
    """One side as the command line prints it and the history stores it."""
    checks = {part: [c.to_json() for c in found] for part, found in live.checks().items()}
    if live.generation is None:
        return {"error": live.error, "text": live.text, "model": live.ask.model, "checks": checks}
    return live.generation.to_json() | {"checks": checks}
