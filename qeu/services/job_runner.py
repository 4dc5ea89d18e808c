"""Work on one bulk job until it is done, paused, or its process ends; nothing finished is lost.

Every finished text is stored before the next ones are waited for, so that whoever goes on later
makes none of them again. Local models compute one after the other, hosted ones beside them.
"""

import logging
import threading
import time
from collections.abc import Sequence

from qeu.backends.base import Backend, EngineGone, Row
from qeu.backends.catalog import is_hosted, split_ref
from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.services.adapters import own_layout
from qeu.services.job_batch import PAID_FLUSH_S, Batch, Halt, Source, Task
from qeu.services.job_requests import SourceRequests
from qeu.services.job_tally import Tally
from qeu.store.generations import find_generations
from qeu.store.job_items import Item, Outcome, find_answered, next_items, store_outcomes
from qeu.store.jobs import Job, NotOwner, get_job, release_job
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace

log = logging.getLogger(__name__)

TOGETHER = 256  # items handed to an engine at once; it makes batches of its own
MOST_LOOKED = 4_096  # items looked at in one go, while all of them are there already
# How long to wait when an engine is gone, time after time; after the last the job is paused.
PATIENCE_S = (2.0, 10.0, 30.0, 60.0, 120.0, 300.0, 300.0, 300.0)
WATCH_S = 1.0


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
        self._sources = [Source(at, name) for at, name in enumerate(job.spec.sources)]
        self._batches: dict[int, Batch] = {}  # by source, the one under way
        self.tally = Tally()

    def stop(self) -> None:
        """Come to an end soon: rows under way are given up, finished ones are kept."""
        self._over.set()
        for source in self._sources:
            source.hold.set()

    def run(self) -> Job:
        """Do all that can be done now; the job as it stands afterwards."""
        halts: list[Halt] = []
        watch = threading.Thread(target=self._watch, name="qeu-job-watch", daemon=True)
        watch.start()
        hosted = [is_hosted(split_ref(source.name)[0]) for source in self._sources]
        beside = [
            threading.Thread(
                target=self._guard, args=(source, halts), name="qeu-job-hosted", daemon=True
            )
            for source, elsewhere in zip(self._sources, hosted, strict=True)
            if elsewhere
        ]
        try:
            for thread in beside:
                thread.start()
            for source, elsewhere in zip(self._sources, hosted, strict=True):
                if not elsewhere:
                    self._guard(source, halts)
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
        """Notice what a person decides in another process; store what has waited for long."""
        looked = time.monotonic()
        while not self._over.wait(PAID_FLUSH_S):
            try:
                for batch in list(self._batches.values()):
                    if batch.is_late():
                        batch.flush()
                if time.monotonic() - looked < WATCH_S:
                    continue
                looked = time.monotonic()
                now = get_job(self._workspace, self.job.id)
            except NotOwner:
                self.stop()
                return
            except QeuError:
                continue  # whoever computes meets it too, and says so
            if now.state != "running" or now.owner != self._owner:
                self.stop()

    def _guard(self, source: Source, halts: list[Halt]) -> None:
        """Work on a source; whatever happens becomes a sentence of the job."""
        try:
            halt = self._work(source)
        except NotOwner:
            self.stop()
            return
        except QeuError as error:
            halt = Halt("paused", str(error))
        except Exception as error:
            log.exception("job %d failed at %s", self.job.id, source.name)
            halt = Halt("failed", f"{source.name}: {type(error).__name__}: {error}")
        finally:
            self.tally.wait(source.name, "")
        if halt:
            halts.append(halt)

    # -- one source ------------------------------------------------------------------------------

    def _work(self, source: Source) -> Halt | None:
        """All that can be done of a source, with waits while its engine is gone."""
        waits = iter(self._patience_s)
        while not self._over.is_set():
            before = source.done
            try:
                halt = self._go_on(source)
            except EngineGone as error:
                halt = Halt("gone", str(error))
            if source.done > before:
                waits = iter(self._patience_s)
            if halt is None or halt.state != "gone":
                return halt
            wait = next(waits, None)
            if wait is None:
                return Halt("paused", halt.note, halt.wakes)
            self.tally.wait(source.name, halt.note)
            if self._over.wait(wait):
                return None
            self.tally.wait(source.name, "")
            source.hold.clear()
        return None

    def _go_on(self, source: Source) -> Halt | None:
        """Load the engine and ask it until nothing is left (None), or it cannot go on."""
        engine: Backend | None = None
        look = TOGETHER
        while not self._over.is_set():
            # suspects are passed over: without them there must be others to see
            count = look + len(source.suspects)
            items = next_items(self._workspace, self.job, source.at, count)
            if not items:
                return None
            if engine is None:
                engine = self._load(split_ref(source.name)[0])
                requests = self._requests(engine, source.name)
            tasks = self._open(source.suspects.choose(items), requests)
            look = TOGETHER if tasks else min(2 * look, MOST_LOOKED)
            for start in range(0, len(tasks), TOGETHER):
                part = tasks[start : start + TOGETHER]
                if halt := self._run_tasks(source, engine, requests, part):
                    return halt
        return None

    def _load(self, model: str) -> Backend:
        exact = self.job.spec.exact
        return self._engines.load(model, exact=exact, stop=self._over)

    def _requests(self, engine: Backend, source: str) -> SourceRequests:
        learned = own_layout(self._engines.adapters, source, local_paths=self._engines.local_paths)
        identity = engine.identify(split_ref(source)[1])
        return SourceRequests(self.job.spec, source, identity, learned[0] if learned else "")

    def _open(self, items: Sequence[Item], requests: SourceRequests) -> list[Task]:
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
            tasks.append(Task(item, stored.record, stored.version, asked, fingerprint))
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
        self, source: Source, engine: Backend, requests: SourceRequests, tasks: list[Task]
    ) -> Halt | None:
        """Bring tasks to their end, round by round of attempts."""
        while tasks and not source.hold.is_set():
            batch = self._batches[source.at] = Batch(source, requests, self._store, self.tally)
            try:
                known = find_generations(self._workspace, [task.asked.key for task in tasks])
                fresh = []
                for task in tasks:
                    if found := known.get(task.asked.key):
                        batch.take(task, found, fresh=False)
                    else:
                        fresh.append(task)
                seconds = self._compute(source, engine, requests, fresh, batch) if fresh else 0.0
                batch.flush(seconds)
            finally:
                del self._batches[source.at]
            if batch.halt:
                return batch.halt
            tasks = batch.again
        return None

    def _compute(
        self,
        source: Source,
        engine: Backend,
        requests: SourceRequests,
        tasks: list[Task],
        batch: Batch,
    ) -> float:
        """Ask for the texts of these tasks; the seconds that it took."""
        hosted, exact = is_hosted(requests.model), self.job.spec.exact
        rows = [
            # a row that a server computes already is paid: only a person's stop gives it up
            Row(
                task.asked.prompt, task.asked.sampling, requests.adapter,
                stop=self._over if hosted else source.hold, hold=source.hold,
            )
            for task in tasks
        ]  # fmt: skip

        def on_done(index: int, generation: Generation) -> None:
            batch.take(tasks[index], generation, fresh=True)

        started = time.monotonic()
        if hosted:
            engine.generate(rows, batch.hear, exact=exact, on_done=on_done)
        else:
            with self._engines.queue.turn(source.hold, lambda ahead: None) as mine:
                if mine:
                    started = time.monotonic()
                    engine.generate(rows, exact=exact, on_done=on_done, turn=mine)
        return time.monotonic() - started

    def _store(self, outcomes: Sequence[Outcome], seconds: float = 0.0) -> None:
        state = store_outcomes(self._workspace, self.job, self._owner, outcomes, seconds)
        self.tally.count(outcomes)
        if state != "running":
            self.stop()
