"""One call of an engine within a bulk job: what comes back is judged and stored while it goes on.

It also says when a source must halt, and remembers the items at which an engine fell silent.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qeu.backends.base import Piece
from qeu.backends.catalog import is_hosted
from qeu.core.generation import Generation
from qeu.core.job_prompts import retry_feedback
from qeu.core.record import Record
from qeu.services.job_requests import Asked, SourceRequests
from qeu.services.job_tally import Tally
from qeu.store.generations import KEPT_ENDS
from qeu.store.job_items import Item, Outcome

# How long a finished text may be lost with the process; a paid one for a shorter time.
FLUSH_S, PAID_FLUSH_S = 0.5, 0.1
FLUSH_COUNT = 64
# An item at which the engine fell silent so often is given up: it is the text, not the engine.
MOST_STRIKES = 3

Store = Callable[[Sequence[Outcome], float], None]


@dataclass(frozen=True)
class Halt:
    """Why a source cannot go on now: the state the job gets, a sentence, when to try again.

    State "gone" is the runner's own: the engine is away, and is waited for.
    """

    state: str
    note: str
    wakes: str = ""


@dataclass
class Task:
    """One item on its way through its attempts."""

    item: Item
    record: Record
    version: int
    asked: Asked
    fingerprint: str
    tries: int = 1
    generations: dict[str, Generation] = field(default_factory=dict)
    attempts: list[dict[str, object]] = field(default_factory=list)
    fresh: bool = False


class Suspects:
    """Items at which the engine fell silent: asked again after all others, and at last alone.

    So one text that no server bears holds up none of the others.
    """

    def __init__(self) -> None:
        self._strikes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._strikes)

    def strike(self, item: Item) -> int:
        """Count one more silence; how many there were."""
        self._strikes[item.number] = self._strikes.get(item.number, 0) + 1
        return self._strikes[item.number]

    def clear(self, item: Item) -> None:
        """It has ended, well or not."""
        self._strikes.pop(item.number, None)

    def choose(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items that are asked for next."""
        if not self._strikes or not items:
            return list(items)
        least = min(self._strikes.get(item.number, 0) for item in items)
        chosen = [item for item in items if self._strikes.get(item.number, 0) == least]
        # the last try is its own: nothing beside it can be the reason of a silence
        return chosen[:1] if least >= MOST_STRIKES - 1 else chosen


@dataclass
class Source:
    """One model of a job in this run: once `hold` is set no row begins; `done` counts texts."""

    at: int
    name: str
    hold: threading.Event = field(default_factory=threading.Event)
    suspects: Suspects = field(default_factory=Suspects)
    done: int = 0


class Batch:
    """What comes back from one call of an engine; stored in portions while it goes on.

    `take` and `hear` belong to the computing thread. `flush` may be called from any: another one
    does it as soon as `is_late`, so that no engine waits for the disk.
    """

    def __init__(
        self, source: Source, requests: SourceRequests, store: Store, tally: Tally
    ) -> None:
        self._source, self._requests, self._store, self._tally = source, requests, store, tally
        self._spec = requests.spec
        self._flush_s = PAID_FLUSH_S if is_hosted(requests.model) else FLUSH_S
        self._outcomes: list[Outcome] = []
        self._storing = threading.Lock()
        self._flushed = time.monotonic()
        self._under_way: set[int] = set()
        self._waits = False
        self.again: list[Task] = []
        self.halt: Halt | None = None

    def take(self, task: Task, generation: Generation, *, fresh: bool) -> None:
        """Decide what becomes of a task whose text is there, or failed."""
        if generation.finish_reason == "cancelled":
            return  # still to do
        if fresh:
            task.fresh = True
            self._tally.add_tokens(generation.new_tokens)
            task.attempts.append(self._attempt(task, generation))
        if generation.finish_reason not in KEPT_ENDS:
            self._fail(task, generation)
        else:
            self._keep(task, generation)
        if len(self._outcomes) >= FLUSH_COUNT:
            self.flush()

    def hear(self, piece: Piece) -> None:
        """Tell of a hosted engine that lets nothing out for now; quick, it comes for every word."""
        if piece.waits_s > 0:
            self._under_way.discard(piece.row)
            if not self._under_way:
                self._waits = True
                seconds = math.ceil(piece.waits_s)
                self._tally.wait(
                    self._source.name, f"{self._source.name} is asked again in {seconds:,} s."
                )
        elif piece.finish_reason:
            self._under_way.discard(piece.row)
        else:
            self._under_way.add(piece.row)
            if self._waits:
                self._waits = False
                self._tally.wait(self._source.name, "")

    def is_late(self) -> bool:
        """Whether something finished has not been stored for a while."""
        return bool(self._outcomes) and time.monotonic() - self._flushed > self._flush_s

    def flush(self, seconds: float = 0.0) -> None:
        """Store what is there, and that it took so long; what cannot be stored stays here."""
        with self._storing:
            count = len(self._outcomes)
            self._flushed = time.monotonic()
            if count or seconds:
                self._store(self._outcomes[:count], seconds)
                del self._outcomes[:count]  # only now: a full disk must not swallow them

    def _keep(self, task: Task, generation: Generation) -> None:
        task.generations[task.asked.key] = generation
        broken = self._requests.check(task.record, generation.reasoning, generation.answer)
        retries = self._spec.retries if self._spec.writes_reasoning else 0
        if broken and task.tries <= retries:
            # kept before it is asked again: whoever goes on after a crash finds it
            self._add(task, "todo")
            task.generations, task.attempts = {}, []
            task.tries += 1
            feedback = retry_feedback(broken)
            task.asked = self._requests.ask(task.record, task.item.sample, feedback, task.tries)
            self.again.append(task)
            return
        self._source.done += 1
        self._add(task, "done", tuple(check.name for check in broken), task.asked.key)

    def _fail(self, task: Task, generation: Generation) -> None:
        sentence = generation.error or "The engine gave no text and no reason."
        state = {"": "", "limit": "sleeping", "key": "paused"}.get(generation.trouble, "gone")
        if state == "gone" and self._source.suspects.strike(task.item) >= MOST_STRIKES:
            state = ""
        if not state:
            self._add(task, "failed", reason=sentence)
            return
        self._add(task, "todo")
        if self.halt is None or self.halt.state == "gone":
            self.halt = Halt(state, sentence, generation.again_at)
        self._source.hold.set()  # the rows that have not begun would meet the same

    def _add(
        self,
        task: Task,
        state: str,
        broken: tuple[str, ...] = (),
        key: str = "",
        reason: str = "",
    ) -> None:
        if state != "todo":
            self._source.suspects.clear(task.item)
        self._outcomes.append(
            Outcome(
                task.item, state, task.version, asked=task.fingerprint if key else "", key=key,
                broken=broken, reason=reason, cached=bool(key) and not task.fresh,
                generations=dict(task.generations), attempts=tuple(task.attempts),
            )
        )  # fmt: skip

    def _attempt(self, task: Task, generation: Generation) -> dict[str, object]:
        return {
            "key": task.asked.key,
            "attempt": task.tries,
            "model": self._requests.source,
            "target": self._spec.target,
            "finish_reason": generation.finish_reason,
            # a finished text stands under its key; a broken off one stands nowhere else
            "text": "" if generation.finish_reason in KEPT_ENDS else generation.text,
            "error": generation.error,
            "hinted": self._spec.hinted,
            "view": self._spec.view_name,
        }
