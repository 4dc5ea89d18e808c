"""A loaded model: one base with its tokenizer and adapters, one lock, many rows at a time."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends import local_receipt, torch_loading
from qeu.backends.adapter_base import check_base
from qeu.backends.adapter_files import AdapterFolder
from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.adapter_switch import AdapterSwitch
from qeu.backends.base import EngineIdentity, OnDone, Piece, Prepared, Row
from qeu.backends.batch_run import ConsumerError, group_rows, run_batches
from qeu.backends.compute_queue import StopSign, Turn
from qeu.backends.cpu_threads import restored_threads
from qeu.backends.failures import (
    explain_failure,
    explain_full_row,
    explain_not_finite,
    is_out_of_memory,
)
from qeu.backends.given_texts import GivenTexts
from qeu.backends.live_row import LiveRow
from qeu.backends.memory import free_memory_bytes, memory_of
from qeu.backends.precision import name_numbers
from qeu.backends.tokenize import PromptEncoder, longest_first
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import END_OF_TEXT, Prompt, split_completion

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_ROWS = 64  # more rows a step gain little and take memory
MAX_EXACT_ROWS = 8  # each has a batch of its own
CACHE_SHARE = 0.5  # of the free memory that a batch's keys and values may take
_POLL_S = 0.05
Emit = Callable[[Piece], None]


@dataclass
class _Job:
    """One asked row on its way: it becomes a live row, or an error."""

    row: Row
    prepared: Prepared | None = None
    adapter: AdapterFolder | None = None
    notes: tuple[str, ...] = ()
    live: LiveRow | None = None
    error: str = ""


class LocalModel(GivenTexts):
    """One loaded base model. Safe from any thread: generations go one after the other."""

    def __init__(
        self,
        name: str,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        revision: str = "",
        adapters: Path = Path("adapters"),
        adapter_paths: bool = True,
        aliases: Sequence[str] = (),
        dtype: str = "",
        precision: str = "",
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.context = torch_loading.read_context(model, tokenizer)
        self.device = model.device.type
        self.dtype = dtype or str(model.dtype).rpartition(".")[2]
        self.precision = precision or self.dtype
        self.memory_bytes = memory_of(model)
        self._used_at = time.time()
        self._model: PreTrainedModel | None = model
        self._tokenizer = tokenizer
        self._encoder = PromptEncoder(tokenizer)
        self._end_ids = torch_loading.read_end_ids(model, tokenizer, END_OF_TEXT)
        self._vocabulary = model.config.get_text_config(decoder=True).vocab_size
        self._finder = AdapterFinder(adapters, local_paths=adapter_paths)
        self._aliases = tuple(aliases)
        self._switch = AdapterSwitch(model)
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._resting = False

    @property
    def busy(self) -> bool:
        """Whether it computes now, or will go on when others have computed."""
        return self._resting or self._lock.locked()

    @property
    def numbers(self) -> str:
        """How weights are held, and what they are unpacked to where that is something else."""
        return name_numbers(self.precision, self.dtype)

    @property
    def idle_since(self) -> float | None:
        """When it was used last, in seconds of `time.time`; None while it computes."""
        return None if self.busy else self._used_at

    def touch(self) -> None:
        """Count as used now: somebody is about to ask."""
        self._used_at = time.time()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters in memory."""
        return self._switch.names

    def prepare(self, prompt: Prompt) -> Prepared:
        """Render and tokenize without computing anything; nothing is cut, however long."""
        return self._encoder.prepare(prompt)

    def close(self) -> bool:
        """Let go of the weights, unless it computes; says whether it did."""
        if self._resting or not self._lock.acquire(blocking=False):
            return False
        with_lock = self._lock
        try:
            self._model = None
            del self._switch
            self._switch = _NoAdapters()  # type: ignore[assignment]
            torch_loading.free_memory()
        finally:
            with_lock.release()
        return True

    def identify(self, adapter: str | None) -> EngineIdentity:
        """What a text depends on beside its request; raises QeuError for an unknown adapter."""
        hash_ = self._find_adapter(adapter, None).hash if adapter else None
        return EngineIdentity(self.name, self.revision, self.numbers, hash_)

    def generate(
        self,
        rows: Sequence[Row],
        emit: Emit | None = None,
        *,
        exact: bool = False,
        on_done: OnDone | None = None,
        turn: Turn | None = None,
    ) -> list[Generation]:
        """Run all rows together; a row that fails says so in its generation, the others go on.

        `exact` computes every row on its own, in turns: the same request gives the same text
        whatever runs beside it. It needs a model loaded in float32.
        """
        if exact and self.dtype != "float32":
            raise QeuError(
                f"{self.name} is loaded in {self.numbers}, and the exact setting needs float32. "
                "Load it with the exact setting."
            )
        jobs = [self._make_job(at, row, exact) for at, row in enumerate(rows)]
        ready = [job for job in jobs if job.live is not None]
        found: dict[int, Generation] = {}

        def ended(at: int) -> None:
            if at not in found:
                found[at] = self._finish(jobs[at], exact)
                if on_done:
                    on_done(at, found[at])

        with self._computing([job.live for job in ready]) as may_compute:  # type: ignore[misc]
            if may_compute:
                self._load_adapters(ready)
                self._run([job.live for job in ready if job.live], emit, exact, ended, turn)
        for at in range(len(jobs)):
            ended(at)
        return [found[at] for at in range(len(jobs))]

    def _make_job(self, index: int, row: Row, exact: bool) -> _Job:
        job = _Job(row)
        try:
            asked = row.sampling.checked()
            job.prepared = self.prepare(row.prompt)
            over = job.prepared.tokens + len(row.begun) + 1 - self.context
            if over > 0:
                raise QeuError(
                    f"The prompt has {job.prepared.tokens:,} tokens, {over:,} more than "
                    f"{self.name} can read ({self.context:,} with at least one of the answer). "
                    "Cut the context field, or choose a model with a longer context."
                )
            if row.adapter is not None:
                job.adapter = self._find_adapter(row.adapter, row.stop)
            job.live = LiveRow(
                index,
                job.prepared.token_ids,
                local_receipt.sent_sampling(asked, job.prepared.tokens, self.context),
                self._tokenizer,
                end_ids=self._end_ids,
                stop_texts=(*row.prompt.stop, *job.prepared.stop),
                stop=row.stop,
            )
            job.live.go_on(row.begun)
        except QeuError as e:
            job.error = str(e)
        return job

    @contextmanager
    def _computing(self, rows: Sequence[LiveRow]) -> Iterator[bool]:
        """Hold the lock; False if every row was stopped before it was free."""
        with self._held(lambda: all(row.stop_requested for row in rows)) as held:
            if not held:
                for row in rows:
                    row.end("cancelled")
            yield held

    @contextmanager
    def _held(self, is_stopped: Callable[[], bool]) -> Iterator[bool]:
        """Hold the lock and the weights; False if it was stopped before the lock was free."""
        while not self._lock.acquire(timeout=_POLL_S):
            if is_stopped():
                yield False
                return
        try:
            if self._model is None:
                raise QeuError(f"{self.name} was unloaded meanwhile. Run again to load it.")
            yield True
        finally:
            self._used_at = time.time()
            self._lock.release()

    def _find_adapter(self, name: str, stop: StopSign | None) -> AdapterFolder:
        found = self._finder.find(name, stop)
        check_base(found, self.name, self._aliases)
        return found

    def _load_adapters(self, jobs: Sequence[_Job]) -> None:
        before = self._switch.hashes
        for job in jobs:
            assert job.live is not None
            if job.adapter is None or job.live.stop_requested:
                continue
            try:
                job.live.adapter = self._switch.load(job.adapter)
                job.notes = self._switch.notes(job.live.adapter, self.name, self.revision)
            except QeuError as e:
                job.live.end("error", str(e))
        self._switch.trim([job.live.adapter for job in jobs if job.live])
        if self._model is not None and self._switch.hashes != before:
            self.memory_bytes = memory_of(self._model)

    def _run(
        self,
        rows: Sequence[LiveRow],
        emit: Emit | None,
        exact: bool,
        ended: Callable[[int], None],
        turn: Turn | None,
    ) -> None:
        rows = [row for row in rows if row.running]
        order = longest_first([len(row.prompt_ids) for row in rows])
        for group in self._groups([rows[at] for at in order], exact):
            try:
                with restored_threads() as cores:
                    self._run_group(group, emit, exact, ended, turn, cores)
            except ConsumerError as e:
                raise e.error from None

    def _groups(self, rows: Sequence[LiveRow], exact: bool) -> Iterator[list[LiveRow]]:
        """Rows that are computed at the same time: as many as the memory has room for."""
        from qeu.backends.kv_cache import bytes_per_token

        assert self._model is not None
        return group_rows(
            rows,
            most=MAX_EXACT_ROWS if exact else MAX_ROWS,
            bytes_per_token=bytes_per_token(self._model.config, self._model.dtype.itemsize),
            budget=self._cache_budget(),
            can_mix=(lambda adapters: True) if exact else self._switch.can_mix,
        )

    def _cache_budget(self) -> float:
        return CACHE_SHARE * self._free_bytes() if self._free_bytes else float("inf")

    def _run_group(
        self,
        group: list[LiveRow],
        emit: Emit | None,
        exact: bool,
        ended: Callable[[int], None],
        turn: Turn | None,
        cores: int,
    ) -> None:
        from qeu.backends.decode import DecodeBatch

        told: set[int] = set()  # rows whose end has been said

        def on_text(row: LiveRow, text: str) -> None:
            seconds = (row.last_at or row.started_at) - row.started_at
            try:
                if emit:
                    emit(Piece(row.index, text, len(row.token_ids), seconds, row.finish_reason))
                if row.finish_reason:
                    told.add(row.index)
                    ended(row.index)
            except Exception as e:
                raise ConsumerError(e) from e

        def set_adapters(hashes: Sequence[str | None]) -> None:
            self._switch.activate(hashes, per_row=exact)

        def open_batch(rows: list[LiveRow]) -> DecodeBatch:
            assert self._model is not None
            return DecodeBatch(self._model, rows, on_text, set_adapters, cores, not_finite)

        def tell_ends(rows: list[LiveRow]) -> None:
            for row in rows:
                # at once, if its last token did not say so: its batch may go on for long
                if not row.running and row.index not in told:
                    on_text(row, "")
            if turn is not None and turn.wanted:
                self._give_way(turn)

        not_finite = explain_not_finite(self.name, self.precision)
        batches = [[row] for row in group] if exact else [group]
        run_batches(self.name, batches, open_batch, tell_ends, self._explain, may_resume=not exact)

    def _give_way(self, turn: Turn) -> None:
        """Let others compute with these weights, which nobody may unload meanwhile."""
        self._resting = True
        self._lock.release()
        try:
            turn.give_way()
        finally:
            self._lock.acquire()
            self._resting = False

    def _explain(self, error: Exception, rows: Sequence[LiveRow]) -> str:
        """The sentence for rows that failed together."""
        from qeu.backends.kv_cache import bytes_per_token

        if not is_out_of_memory(error) or self._model is None:
            return explain_failure(error, f"{self.name} failed")
        tokens = max(len(row.prompt_ids) + row.sampling.max_new_tokens for row in rows)
        cache = tokens * bytes_per_token(self._model.config, self._model.dtype.itemsize)
        free = self._free_bytes() if self._free_bytes else free_memory_bytes(self.device)
        return explain_full_row(self.name, tokens, cache, self.memory_bytes, free)

    def _finish(self, job: _Job, exact: bool) -> Generation:
        row, prepared, live = job.row, job.prepared, job.live
        known = {
            "model": self.name,
            "revision": self.revision,
            "adapter": row.adapter,
            "adapter_hash": live.adapter if live else None,
            "layout": row.prompt.layout,
            "target": row.prompt.target,
            "seed": row.sampling.seed,
            "prompt_tokens": prepared.tokens if prepared else 0,
            "prompt_text": prepared.text if prepared else "",
        }
        if live is None or prepared is None:
            return Generation(
                text="", reasoning="", answer="", finish_reason="error", new_tokens=0,
                ttft_s=0.0, tokens_per_s=0.0, receipt=None, error=job.error, **known,
            )  # fmt: skip
        text = live.text
        reasoning, answer = split_completion(text, row.prompt.layout, row.prompt.target)
        receipt = local_receipt.make_receipt(
            local_receipt.list_parameters(row.sampling, live.sampling, self._vocabulary),
            dtype=self.numbers,
            device=self.device,
            batch=live.batch_size,
            exact=exact,
            adapter=row.adapter is not None,
            notes=(*prepared.notes, *job.notes, *local_receipt.note_begun(len(row.begun))),
        )
        return Generation(
            text=text,
            reasoning=reasoning,
            answer=answer,
            finish_reason=live.finish_reason,
            new_tokens=len(live.token_ids),
            ttft_s=live.ttft_s,
            tokens_per_s=live.tokens_per_s,
            receipt=receipt,
            error=live.error,
            token_ids=tuple(live.token_ids),
            **known,
        )


class _NoAdapters:
    names: tuple[str, ...] = ()
