"""A model on a server, asked like a local one: rows in parallel, streamed, stopped at any moment.

Threads wait for the server; the asking thread alone assembles the texts and tells of them.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from qeu.backends.base import EngineIdentity, OnDone, Piece, Prepared, Row
from qeu.backends.compute_queue import Turn
from qeu.backends.hosted_client import HostedClient
from qeu.backends.hosted_errors import Trouble, took_too_long, went_silent
from qeu.backends.hosted_request import prepare_prompt
from qeu.backends.hosted_row import HostedRow
from qeu.backends.hosted_worker import News, Refused, Sending, Worker
from qeu.backends.providers import Provider
from qeu.backends.rate_budget import RateBudget
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt

_POLL_S = 0.05  # a stop is noticed within this time
_QUEUE = 1_000  # pieces that may wait to be told
Emit = Callable[[Piece], None]


class HostedModel:
    """One model of one server, with one key. Safe from any thread; cheap to make.

    `served` are the names that the server lists: an adapter among them is asked for by its name.
    `hold` keeps the client open meanwhile, `doubt` is told of a server that did not answer.
    """

    dtype = ""

    def __init__(
        self,
        name: str,
        model: str,
        client: HostedClient,
        provider: Provider,
        budget: RateBudget,
        refused: Refused | None = None,
        *,
        context: int = 0,
        served: Collection[str] = (),
        hold: Callable[[], AbstractContextManager[None]] = nullcontext,
        doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.model, self.context = name, model, context
        self.provider = provider
        self.revision = ""
        self.address = client.root
        self.device = client.host
        self._client, self._budget = client, budget
        self._refused = refused or Refused()
        self._served, self._hold, self._doubt = frozenset(served), hold, doubt

    def __repr__(self) -> str:
        return f"HostedModel({self.name!r})"

    @property
    def gives_logprobs(self) -> bool:
        """Whether this kind of server can tell how probable its tokens were."""
        return self.provider.logprobs and "logprobs" not in self._refused.of(self.model)

    def prepare(self, prompt: Prompt) -> Prepared:
        """The prompt turn by turn; its tokens are known to the server only."""
        return prepare_prompt(prompt, self.provider, self._refused.of(self.model))

    def identify(self, adapter: str | None) -> EngineIdentity:
        """What a text depends on as far as a server tells; QeuError for an adapter it has not."""
        served = None if adapter is None else self._model_for(adapter)
        return EngineIdentity(self.name, self.revision, self.dtype, served, self.address)

    def generate(
        self,
        rows: Sequence[Row],
        emit: Emit | None = None,
        *,
        exact: bool = False,
        on_done: OnDone | None = None,
        turn: Turn | None = None,
    ) -> list[Generation]:
        """Ask all rows, as many at a time as the provider's budget lets; `turn` is not needed.

        A row that fails says so in its generation, the others go on. What `emit` or `on_done`
        raises ends all. Raises QeuError where the key was taken away before.
        """
        if exact:
            raise QeuError(
                f"{self.name} runs on a server, which promises no text twice. "
                "Switch the exact setting off, or choose a model that runs here."
            )
        jobs = [self._make_job(index, row) for index, row in enumerate(rows)]
        versions, done = self._client.versions, {}

        def end(job: HostedRow) -> None:
            generation = job.generation(self.name, self.provider.kind, self.device, versions)
            done[job.index] = generation
            if generation.trouble == "engine":
                self._doubt()
            if on_done is not None:
                on_done(job.index, generation)

        with self._hold():
            _Round(self._client, jobs, self.provider, emit, end).run(self._worker)
        return [done[job.index] for job in jobs]

    def _worker(self, news: "queue.Queue[News]") -> tuple[Worker, int]:
        worker = Worker(self._client, self.provider, self._budget, self._refused, news)
        return worker, self._budget.concurrency

    def _make_job(self, index: int, row: Row) -> HostedRow:
        job = HostedRow(index, row)
        try:
            sampling = row.sampling.checked()
            job.prepared = self.prepare(row.prompt)
            model = self._model_for(row.adapter)
        except QeuError as e:
            job.finish, job.error = "error", str(e)
            return job
        job.sending = Sending(index, row, sampling, model, self.context)
        return job

    def _model_for(self, adapter: str | None) -> str:
        if adapter is None:
            return self.model
        if adapter in self._served:
            return adapter
        raise QeuError(
            f"{self.name} runs on a server, which cannot load the adapter {adapter[:80]!r}. Choose "
            "a base that runs here, or a server that lists the adapter among its models."
        )


class _Round:
    """All rows of one `generate`, from the first request to the last word."""

    def __init__(
        self,
        client: HostedClient,
        jobs: list[HostedRow],
        provider: Provider,
        emit: Emit | None,
        end: Callable[[HostedRow], None],
    ) -> None:
        self._client, self._jobs, self._emit, self._end = client, jobs, emit, end
        self._bare_end = provider.bare_end
        self._news: queue.Queue[News] = queue.Queue(_QUEUE)
        self._open = {job.index: job for job in jobs if not job.over}
        self._waiting = deque(job.sending for job in self._open.values() if job.sending)
        self._checked_at = 0.0

    def run(self, make_worker: "Callable[[queue.Queue[News]], tuple[Worker, int]]") -> None:
        """Come back when every row is over; whatever happens, no request stays behind."""
        for job in self._jobs:
            if job.over:
                self._say(Piece(job.index, "", 0, 0.0, job.finish))
                self._end(job)
        worker, most = make_worker(self._news)
        now = time.perf_counter()
        for job in self._open.values():
            job.asked_at = now
        try:
            self._check()  # what was stopped before is never sent
            for _ in range(min(most, len(self._open))):
                threading.Thread(
                    target=self._work, args=(worker,), name="qeu-hosted-row", daemon=True
                ).start()
            while self._open:
                self._step()
        finally:
            for job in self._jobs:
                if job.sending:
                    job.sending.cancel()

    def _work(self, worker: Worker) -> None:
        while True:
            try:
                sending = self._waiting.popleft()
            except IndexError:
                return
            if not sending.cancelled.is_set():
                worker.run(sending)

    def _step(self) -> None:
        try:
            news = self._news.get(timeout=_POLL_S)
        except queue.Empty:
            news = None
        if news is not None and (job := self._open.get(news.index)):
            self._take(job, news)
        if time.perf_counter() - self._checked_at > _POLL_S:
            self._check()

    def _take(self, job: HostedRow, news: News) -> None:
        who = self._client.who
        if news.kind == "wait":
            self._say(Piece(job.index, "", 0, 0.0, waits_s=news.seconds))
        elif news.kind == "sent":
            job.begin(bare_end=self._bare_end)
            self._say(Piece(job.index, "", 0, 0.0))
        elif news.kind == "chunk" and news.chunk:
            if piece := job.take(news.chunk, who):
                self._tell(job, piece)
        elif news.kind == "end":
            self._tell(job, job.complete(who))
        elif news.kind == "fail" and news.trouble:
            self._tell(job, job.fail(news.trouble))

    def _check(self) -> None:
        """Look for stops and for servers that have fallen silent."""
        self._checked_at = time.perf_counter()
        for job in list(self._open.values()):
            stopped = job.row.stop is not None and job.row.stop.is_set()
            if stopped or (job.sending is not None and job.sending.cancelled.is_set()):
                self._tell(job, job.end("cancelled"))
            elif trouble := self._overdue(job):
                self._tell(job, job.fail(trouble))

    def _overdue(self, job: HostedRow) -> Trouble | None:
        patience, call = self._client.patience, job.sending.call if job.sending else None
        if call is None or not call.sent_at:
            return None
        silent_s = patience.chunk_s if call.last_byte_at else patience.first_byte_s
        if self._checked_at - max(call.sent_at, call.last_byte_at) > silent_s:
            return went_silent(self._client.who, patience, call)
        if self._checked_at - call.sent_at > patience.total_s:
            return Trouble(took_too_long(self._client.who, patience.total_s))
        return None

    def _tell(self, job: HostedRow, piece: Piece) -> None:
        if job.over:
            del self._open[job.index]
            if job.sending:
                job.sending.cancel()
        self._say(piece)
        if job.over:
            self._end(job)

    def _say(self, piece: Piece) -> None:
        if self._emit is not None:
            self._emit(piece)
