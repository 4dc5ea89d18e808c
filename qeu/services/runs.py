"""Ask one or many models at once: plan, load, queue, stream, stop, check; no page, no storage.

A run computes on a thread of its own. Whoever started it calls `poll` in a loop and reads `live`;
when nobody polls any more (a closed tab), the owner calls `stop` and the computation ends.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from qeu.backends.base import Backend, Piece, Prepared, Row
from qeu.backends.catalog import find_model, split_ref
from qeu.backends.shelf import Shelf
from qeu.core.contract import Check, check_answer, check_reasoning
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import FieldSpan, Prompt, render, split_completion
from qeu.core.record import Record
from qeu.core.roles import ROLES, Role
from qeu.core.sampling import Sampling
from qeu.services.plan import Plan, Stage, make_plan

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
    context: int = 0
    prepared: Prepared | None = None
    generation: Generation | None = None
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ("done", "failed")

    @property
    def tokens_over(self) -> int:
        """By how many tokens the prompt and one new token exceed the model's context; 0 if none."""
        if self.prepared is None or not self.context:
            return 0
        return max(0, self.prepared.tokens + 1 - self.context)

    @property
    def tokens_per_s(self) -> float:
        """Speed after the first token; 0 while there is too little to tell."""
        if self.generation:
            return self.generation.tokens_per_s
        span = self.seconds - self.ttft_s
        return (self.new_tokens - 1) / span if self.new_tokens > 1 and span > 0 else 0.0

    def end(self, generation: Generation) -> None:
        """Take in the last there is."""
        self.generation, self.text = generation, generation.text
        self.new_tokens, self.ttft_s = generation.new_tokens, generation.ttft_s
        self.phase = "failed" if generation.finish_reason == "error" else "done"
        self.error = generation.error

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
    """A set of asks on their way. Not reusable; as a context manager it stops at the end.

    Whoever started it polls it. When nobody has polled for `patience_s`, it stops by itself: its
    reader is gone and did not say so.
    """

    def __init__(
        self, shelf: Shelf, asks: Sequence[Ask], exact: bool = False, patience_s: float = 60.0
    ) -> None:
        if len({ask.key for ask in asks}) != len(asks):
            raise ValueError("two asks of one run have the same key")
        self._shelf = shelf
        self._exact = exact
        self._news: queue.SimpleQueue[tuple[str, str, object]] = queue.SimpleQueue()
        self._stops = {ask.key: threading.Event() for ask in asks}
        self._ended: set[str] = set()
        self._ending = threading.Lock()
        self._patience_s = patience_s
        self._polled = time.monotonic()
        self.live = {ask.key: Live(ask) for ask in asks}
        # what cannot be meant is refused here, before a plan looks at models and memory
        self._rows = {ask.key: self._row(ask) for ask in asks}
        self.plan: Plan = make_plan([ask.model_name for ask in asks], shelf, exact)
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
            live.phase = "writing" if value.new_tokens else "reading"
            if value.new_tokens and not live.new_tokens:
                live.ttft_s = value.seconds
            live.text += value.text
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
        try:
            for stage in self.plan.stages:
                asks = (live.ask for live in self.live.values())
                keys = [ask.key for ask in asks if ask.model_name == stage.model]
                with self._explained(keys, stage.model):
                    self._work_stage(stage, keys)
        finally:
            # whatever happened above, nobody may wait for news that never comes
            self._end(list(self.live), "The computation ended without a result; the log says why.")

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
        for other in stage.unload:
            self._shelf.unload(other)
        self._tell(keys, "loading", ("start", 0.0))
        model: Backend = self._shelf.load(
            stage.model,
            exact=self._exact,
            progress=lambda p: self._tell(
                keys, "loading", (p.step, p.done / p.total if p.total else 0.0)
            ),
            stop=stop,  # type: ignore[arg-type]
        )
        for key in keys:
            with self._explained([key], stage.model):
                self._tell([key], "context", model.context)
                self._tell([key], "prepared", model.prepare(self._rows[key].prompt))
        keys = [key for key in keys if key not in self._ended]
        if not keys or stop.is_set():
            return self._end(keys, "")
        self._tell(keys, "waiting", 0)
        with self._shelf.queue.turn(
            stop=stop, on_place=lambda ahead: self._tell(keys, "waiting", ahead)
        ):
            if stop.is_set():
                return self._end(keys, "")
            done = model.generate(
                [self._rows[key] for key in keys],
                lambda piece: self._tell([keys[piece.row]], "", piece),
                exact=self._exact,
            )
        for key, generation in zip(keys, done, strict=True):
            self._finish(key, "", generation)
        return None

    def _row(self, ask: Ask) -> Row:
        adapter = split_ref(ask.model)[1]
        return Row(ask.prompt(), ask.sampling.checked(), adapter, self._stops[ask.key])


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


def broken_generation(live: Live, finish_reason: str, error: str) -> Generation:
    """What is known of an ask that its engine gave no generation for: stopped early, or failed."""
    ask = live.ask
    model, adapter = split_ref(ask.model)
    reasoning, answer = live.parts()
    return Generation(
        text=live.text,
        reasoning=reasoning,
        answer=answer,
        finish_reason=finish_reason,
        prompt_tokens=live.prepared.tokens if live.prepared else 0,
        new_tokens=live.new_tokens,
        ttft_s=live.ttft_s,
        tokens_per_s=live.tokens_per_s,
        model=model,
        revision="",
        adapter=adapter,
        adapter_hash=None,
        layout=ask.chosen_layout(),
        target=ask.target,
        seed=ask.sampling.seed,
        receipt=None,
        error=error,
        prompt_text=live.prepared.text if live.prepared else "",
    )


def side_json(live: Live) -> dict[str, object]:
    """One side as the command line prints it and the history stores it."""
    nothing = live.phase == "failed" and not live.text
    found = {} if nothing else live.checks()
    checks = {part: [check.to_json() for check in checks] for part, checks in found.items()}
    generation = live.generation or broken_generation(live, "cancelled", "")
    spans = live.prepared.spans if live.prepared else ()
    fields = [[span.field, span.start, span.end] for span in spans]
    return generation.to_json() | {"checks": checks, "prompt_fields": fields}


def restore_live(ask: Ask, stored: Mapping[str, object]) -> Live:
    """A side as it stood at its end, from what `side_json` had made of it."""
    extra = ("checks", "prompt_fields")
    generation = Generation.from_json({k: v for k, v in stored.items() if k not in extra})
    spans = tuple(FieldSpan(*field) for field in stored.get("prompt_fields", ()))  # type: ignore
    failed = generation.finish_reason == "error"
    return Live(
        ask,
        phase="failed" if failed else "done",
        text=generation.text,
        new_tokens=generation.new_tokens,
        ttft_s=generation.ttft_s,
        prepared=Prepared(generation.prompt_text, spans, ()),
        generation=generation,
        error=generation.error,
    )
