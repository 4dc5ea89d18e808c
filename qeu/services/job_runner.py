"""Work on one bulk job until it is done, paused, or its process ends; nothing finished is lost.

Every finished text is stored before the next ones are waited for, so that whoever goes on later
makes none of them again. Local models compute one after the other, hosted ones beside them.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from qeu.backends.base import Backend, Row
from qeu.backends.catalog import is_hosted, split_ref
from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.job_prompts import retry_feedback
from qeu.core.record import Record
from qeu.services.adapters import own_layout
from qeu.services.job_requests import Asked, SourceRequests
from qeu.services.job_tally import Tally
from qeu.store.generations import KEPT_ENDS, find_generations
from qeu.store.job_items import Item, Outcome, find_answered, next_items, store_outcomes
from qeu.store.jobs import Job, NotOwner, get_job, release_job
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace

log = logging.getLogger(__name__)

TOGETHER = 256  # items looked at and handed to an engine at once; it makes batches of its own
FLUSH_S = 0.5
FLUSH_COUNT = 64
# How long to wait when an engine is gone, time after time; after the last the job is paused.
PATIENCE_S = (2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 300.0, 300.0)
WATCH_S = 1.0


@dataclass(frozen=True)
class Halt:
    """Why a source cannot go on now: the state the job gets, a sentence, when to try again."""

    state: str
    note: str
    wakes: str = ""


@dataclass
class _Task:
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


class JobWorker:
    """One run at a job that `owner` has claimed. `run` blocks; `stop` may be called from anywhere.

    `patience_s` are the waits when an engine is gone; tests take shorter ones.
    """

    def __init__(
        self,
        workspace: Workspace,
        engines: Engines,
        job: Job,
        owner: str,
        *,
        patience_s: Sequence[float] = PATIENCE_S,
    ) -> None:
        self._workspace, self._engines, self.job, self._owner = workspace, engines, job, owner
        self._patience_s = patience_s
        self._over = threading.Event()
        self._stops = [threading.Event() for _ in job.spec.sources]
        self.tally = Tally()

    def stop(self) -> None:
        """Come to an end soon: rows under way are given up, finished ones are kept."""
        self._over.set()
        for stop in self._stops:
            stop.set()

    def run(self) -> Job:
        """Do all that can be done now; the job as it stands afterwards."""
        halts: list[Halt] = []
        watch = threading.Thread(target=self._watch, name="qeu-job-watch", daemon=True)
        watch.start()
        sources = list(enumerate(self.job.spec.sources))
        beside = [
            threading.Thread(
                target=self._guard, args=(at, source, halts), name="qeu-job-hosted", daemon=True
            )
            for at, source in sources
            if is_hosted(split_ref(source)[0])
        ]
        try:
            for thread in beside:
                thread.start()
            for at, source in sources:
                if not is_hosted(split_ref(source)[0]):
                    self._guard(at, source, halts)
            for thread in beside:
                thread.join()
        finally:
            stopped = self._over.is_set()
            self.stop()
            self._release(halts, stopped)
        return get_job(self._workspace, self.job.id)

    def _release(self, halts: Sequence[Halt], stopped: bool) -> None:
        if halts:
            # what a person must look at comes before what only takes time
            halt = min(halts, key=lambda h: (h.state == "sleeping", h.wakes))
            state, note, wakes = (
                halt.state,
                " ".join(dict.fromkeys(h.note for h in halts)),
                halt.wakes,
            )
        else:
            state, note, wakes = ("queued" if stopped else "done"), "", ""
        try:
            release_job(self._workspace, self.job, self._owner, state, note, wakes)
        except QeuError:
            # a full disk: the owner's end alone frees the job for the next one
            log.warning("job %d could not be released", self.job.id, exc_info=True)

    def _watch(self) -> None:
        """Notice what a person decides in another process."""
        while not self._over.wait(WATCH_S):
            try:
                now = get_job(self._workspace, self.job.id)
            except QeuError:
                continue
            if now.state != "running" or now.owner != self._owner:
                self.stop()

    def _guard(self, at: int, source: str, halts: list[Halt]) -> None:
        """Work on a source; whatever happens becomes a sentence of the job."""
        try:
            halt = self._work(at, source)
        except NotOwner:
            self.stop()
            return
        except QeuError as error:
            halt = Halt("paused", str(error))
        except Exception as error:
            log.exception("job %d failed at %s", self.job.id, source)
            halt = Halt("failed", f"{source}: {type(error).__name__}: {error}")
        if halt:
            halts.append(halt)

    # -- one source ------------------------------------------------------------------------------

    def _work(self, at: int, source: str) -> Halt | None:
        model = split_ref(source)[0]
        waits = iter(self._patience_s)
        engine: Backend | None = None
        while not self._over.is_set():
            items = next_items(self._workspace, self.job, at, TOGETHER)
            if not items:
                return None
            if engine is None:
                engine = self._load(model)
                requests = self._requests(engine, source)
            before = self.tally.finished
            halt = self._run_tasks(at, engine, requests, self._open(items, requests))
            if self.tally.finished > before:
                waits = iter(self._patience_s)
            if halt is None:
                continue
            wait = next(waits, None)
            if halt.state != "gone" or wait is None:
                return Halt("paused" if halt.state == "gone" else halt.state, halt.note, halt.wakes)
            self.tally.waiting = halt.note
            if self._over.wait(wait):
                return None
            self.tally.waiting = ""
            self._stops[at].clear()
        return None

    def _load(self, model: str) -> Backend:
        exact = self.job.spec.exact
        return self._engines.load(model, exact=exact, stop=self._over)

    def _requests(self, engine: Backend, source: str) -> SourceRequests:
        learned = own_layout(self._engines.adapters, source, local_paths=self._engines.local_paths)
        identity = engine.identify(split_ref(source)[1])
        return SourceRequests(self.job.spec, source, identity, learned[0] if learned else "")

    def _open(self, items: Sequence[Item], requests: SourceRequests) -> list[_Task]:
        """The tasks of these items; what cannot be asked or was answered before is stored."""
        records = {
            stored.id: stored
            for stored in load_records(self._workspace, [item.record for item in items])
        }
        tasks, outcomes = [], []
        for item in items:
            stored = records.get(item.record)
            if stored is None:
                outcomes.append(
                    Outcome(
                        item, "skipped", item.version, reason="The record is not there any more."
                    )
                )
                continue
            try:
                asked = requests.ask(stored.record, item.sample)
            except QeuError as error:
                outcomes.append(Outcome(item, "skipped", stored.version, reason=str(error)))
                continue
            fingerprint = requests.fingerprint(asked, stored.record)
            tasks.append(_Task(item, stored.record, stored.version, asked, fingerprint))
        answered = find_answered(self._workspace, [task.fingerprint for task in tasks])
        open_tasks = []
        for task in tasks:
            if known := answered.get(task.fingerprint):
                key, broken = known
                outcomes.append(
                    Outcome(
                        task.item, "done", task.version, asked=task.fingerprint, key=key,
                        broken=tuple(broken.split()), cached=True,
                    )
                )  # fmt: skip
            else:
                open_tasks.append(task)
        if outcomes:
            self._store(outcomes)
        return open_tasks

    def _run_tasks(
        self, at: int, engine: Backend, requests: SourceRequests, tasks: list[_Task]
    ) -> Halt | None:
        """Bring tasks to their end, round by round of attempts."""
        while tasks and not self._stops[at].is_set():
            batch = _Batch(self, at, requests)
            known = find_generations(self._workspace, [task.asked.key for task in tasks])
            fresh = []
            for task in tasks:
                if found := known.get(task.asked.key):
                    batch.take(task, found, fresh=False)
                else:
                    fresh.append(task)
            if fresh:
                self._compute(engine, requests, fresh, batch)
            batch.flush()
            if batch.halt:
                return batch.halt
            tasks = batch.again
        return None

    def _compute(
        self, engine: Backend, requests: SourceRequests, tasks: list[_Task], batch: "_Batch"
    ) -> None:
        rows = [
            Row(task.asked.prompt, task.asked.sampling, requests.adapter, self._stops[batch.at])
            for task in tasks
        ]

        def on_done(index: int, generation: Generation) -> None:
            batch.take(tasks[index], generation, fresh=True)

        started = time.monotonic()
        if is_hosted(requests.model):
            engine.generate(rows, exact=self.job.spec.exact, on_done=on_done)
        else:
            with self._engines.queue.turn(self._stops[batch.at], lambda ahead: None) as mine:
                if mine:
                    started = time.monotonic()
                    exact = self.job.spec.exact
                    engine.generate(rows, exact=exact, on_done=on_done, turn=mine)
        batch.seconds += time.monotonic() - started

    def _store(self, outcomes: Sequence[Outcome], seconds: float = 0.0) -> None:
        state = store_outcomes(self._workspace, self.job, self._owner, outcomes, seconds)
        self.tally.count(outcomes)
        if state != "running":
            self.stop()


class _Batch:
    """What comes back from one call of an engine; stored in portions while it goes on."""

    def __init__(self, worker: JobWorker, at: int, requests: SourceRequests) -> None:
        self._worker, self.at, self._requests = worker, at, requests
        self._spec = worker.job.spec
        self._outcomes: list[Outcome] = []
        self._flushed = time.monotonic()
        self.again: list[_Task] = []
        self.halt: Halt | None = None
        self.seconds = 0.0

    def take(self, task: _Task, generation: Generation, *, fresh: bool) -> None:
        """Decide what becomes of a task whose text is there, or failed."""
        if generation.finish_reason == "cancelled":
            return  # still to do
        if fresh:
            task.fresh = True
            self._worker.tally.tokens += generation.new_tokens
            task.attempts.append(self._attempt(task, generation))
        if generation.finish_reason not in KEPT_ENDS:
            self._fail(task, generation)
        else:
            self._keep(task, generation)
        now = time.monotonic()
        if len(self._outcomes) >= FLUSH_COUNT or now - self._flushed > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Store what is there."""
        outcomes, self._outcomes = self._outcomes, []
        seconds, self.seconds = self.seconds, 0.0
        self._flushed = time.monotonic()
        if outcomes or seconds:
            self._worker._store(outcomes, seconds)

    def _keep(self, task: _Task, generation: Generation) -> None:
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
        self._add(task, "done", tuple(check.name for check in broken), task.asked.key)

    def _fail(self, task: _Task, generation: Generation) -> None:
        sentence = generation.error or "The engine gave no text and no reason."
        trouble = generation.trouble
        if not trouble:
            self._add(task, "failed", reason=sentence)
            return
        self._add(task, "todo")
        state = {"limit": "sleeping", "key": "paused"}.get(trouble, "gone")
        if self.halt is None or self.halt.state == "gone":
            self.halt = Halt(state, sentence, generation.again_at)
        self._worker._stops[self.at].set()  # the other rows would meet the same

    def _add(
        self,
        task: _Task,
        state: str,
        broken: tuple[str, ...] = (),
        key: str = "",
        reason: str = "",
    ) -> None:
        self._outcomes.append(
            Outcome(
                task.item, state, task.version, asked=task.fingerprint if key else "", key=key,
                broken=broken, reason=reason, cached=bool(key) and not task.fresh,
                generations=dict(task.generations), attempts=tuple(task.attempts),
            )
        )  # fmt: skip

    def _attempt(self, task: _Task, generation: Generation) -> dict[str, object]:
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
