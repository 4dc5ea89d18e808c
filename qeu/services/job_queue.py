"""The jobs of one workspace, worked on one after the other by a thread of this process.

Whatever the page does, a job goes on; after a crash the next start of the program takes it up.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.services.job_runner import JobWorker
from qeu.store.jobs import (
    OPEN_STATES,
    Job,
    claim_job,
    create_job,
    list_jobs,
    retry_failed,
    set_state,
)
from qeu.store.owner import my_owner, owner_lives
from qeu.store.workspace import Workspace

log = logging.getLogger(__name__)
LOOK_S = 2.0  # how often it looks for jobs that another process has ordered, or that wake


class JobQueue:
    """Works on the open jobs of a workspace, the oldest first. Safe from any thread.

    `engines` makes what jobs are asked with where nobody named others: the environment's keys.
    """

    def __init__(self, workspace: Workspace, engines: Callable[[], Engines]) -> None:
        self.workspace, self._engines = workspace, engines
        self._owner = my_owner()
        self._own: dict[int, Engines] = {}  # by job: the keys of whoever ordered it
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.worker: JobWorker | None = None

    def start(self) -> None:
        """Begin to work, if nobody has; harmless to call often."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="qeu-jobs", daemon=True)
                self._thread.start()
        self._news.set()

    def order(self, spec: JobSpec, engines: Engines | None = None) -> Job:
        """Put a job into the queue; `engines` are those of whoever orders it, kept in memory."""
        job = create_job(self.workspace, spec)
        self._keep(job.id, engines)
        self.start()
        return job

    def pause(self, number: int) -> Job:
        """Let a job rest; rows under way are given up, finished ones are kept."""
        return self._set(number, "paused")

    def stop(self, number: int) -> Job:
        """End a job and keep what it brought."""
        return self._set(number, "stopped")

    def resume(self, number: int, engines: Engines | None = None) -> Job:
        """Let a job go on where it was."""
        self._keep(number, engines)
        job = set_state(self.workspace, number, "queued")
        self.start()
        return job

    def retry(self, number: int, engines: Engines | None = None) -> int:
        """Do again what failed or was skipped; how many there are."""
        self._keep(number, engines)
        count = retry_failed(self.workspace, number)
        if count:
            self.start()
        return count

    def close(self, wait_s: float = 5.0) -> None:
        """End the thread; jobs stay queued for the next start."""
        self._closed = True
        self._news.set()
        if worker := self.worker:
            worker.stop()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _keep(self, number: int, engines: Engines | None) -> None:
        if engines is not None:
            self._own[number] = engines

    def _set(self, number: int, state: str) -> Job:
        job = set_state(self.workspace, number, state)
        worker = self.worker
        if worker is not None and worker.job.id == number:
            worker.stop()
        return job

    def _work(self) -> None:
        while not self._closed:
            self._news.clear()
            try:
                job = self._next()
                if job is not None:
                    self._run(job)
                    continue
            except QeuError:
                # another process may hold the database for long; the next look may find it free
                log.warning("looking for jobs failed", exc_info=True)
            self._news.wait(LOOK_S)

    def _next(self) -> Job | None:
        for job in reversed(list_jobs(self.workspace, OPEN_STATES)):
            if job.state == "sleeping" and not is_awake(job):
                continue
            if claim_job(self.workspace, job, self._owner, self._lives):
                return job
        return None

    def _lives(self, owner: str) -> bool:
        # a job that this process has claimed and does not work on was left by a failure
        return owner != self._owner and owner_lives(owner)

    def _run(self, job: Job) -> None:
        engines = self._own.get(job.id) or self._engines()
        self.worker = JobWorker(self.workspace, engines, job, self._owner)
        try:
            if self.worker.run().state in ("done", "stopped"):
                self._own.pop(job.id, None)  # keys are kept no longer than they are needed
        finally:
            self.worker = None


def is_awake(job: Job) -> bool:
    """Whether a sleeping job's hour has come; one whose hour cannot be read goes on."""
    try:
        return datetime.fromisoformat(job.wakes) <= datetime.now(UTC)
    except (ValueError, TypeError):
        return True
