"""A loaded model: one base with its tokenizer and adapters, one lock, many rows at a time."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends import local_receipt, torch_loading
from qeu.backends.adapter_files import AdapterFolder, check_base, find_adapter
from qeu.backends.adapter_switch import AdapterSwitch
from qeu.backends.base import Piece, Prepared, Row
from qeu.backends.compute_queue import StopSign
from qeu.backends.cpu_threads import restored_threads
from qeu.backends.live_row import LiveRow
from qeu.backends.scoring import ScoreRow, TextScore, encode_row, score_rows
from qeu.backends.tokenize import PromptEncoder, longest_first
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import END_OF_TEXT, Prompt, split_completion
from qeu.core.record import Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


log = logging.getLogger(__name__)

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
    live: LiveRow | None = None
    error: str = ""


class _ConsumerError(Exception):
    """Carries what `emit` raised: the caller's affair, not a fault of the model."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class LocalModel:
    """One loaded base model. Safe from any thread: generations go one after the other."""

    def __init__(
        self,
        name: str,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        revision: str = "",
        adapters: Path = Path("adapters"),
        aliases: Sequence[str] = (),
        dtype: str = "",
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.context = torch_loading.read_context(model, tokenizer)
        self.device = model.device.type
        self.dtype = dtype or str(model.dtype).rpartition(".")[2]
        self.memory_bytes = torch_loading.memory_of(model)
        self._model: PreTrainedModel | None = model
        self._tokenizer = tokenizer
        self._encoder = PromptEncoder(tokenizer)
        self._end_ids = torch_loading.read_end_ids(model, tokenizer, END_OF_TEXT)
        self._vocabulary = model.config.get_text_config(decoder=True).vocab_size
        self._adapter_folder, self._aliases = adapters, tuple(aliases)
        self._switch = AdapterSwitch(model)
        self._free_bytes = free_bytes
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether it computes now."""
        return self._lock.locked()

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters in memory."""
        return self._switch.names

    def prepare(self, prompt: Prompt) -> Prepared:
        """Render and tokenize without computing anything; nothing is cut, however long."""
        return self._encoder.prepare(prompt)

    def close(self) -> bool:
        """Let go of the weights, unless it computes; says whether it did."""
        if not self._lock.acquire(blocking=False):
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

    def generate(
        self, rows: Sequence[Row], emit: Emit | None = None, *, exact: bool = False
    ) -> list[Generation]:
        """Run all rows together; a row that fails says so in its generation, the others go on.

        `exact` computes every row on its own, in turns: the same request gives the same text
        whatever runs beside it. It needs a model loaded in float32.
        """
        if exact and self.dtype != "float32":
            raise QeuError(
                f"{self.name} is loaded in {self.dtype}, and the exact setting needs float32. "
                "Load it with the exact setting."
            )
        jobs = [self._make_job(at, row, exact) for at, row in enumerate(rows)]
        ready = [job for job in jobs if job.live is not None]
        with self._computing([job.live for job in ready]) as may_compute:  # type: ignore[misc]
            if may_compute:
                self._load_adapters(ready)
                self._run([job.live for job in ready if job.live], emit, exact)
        return [self._finish(job, exact) for job in jobs]

    def score(
        self, rows: Sequence[ScoreRow], adapter: str | None = None, stop: StopSign | None = None
    ) -> list[tuple[TextScore, ...]]:
        """How probable each choice of each row is behind its prompt; [] where `stop` was set.

        Raises QeuError for a prompt that is too long, an adapter that does not fit, a full memory.
        """
        tokens = [encode_row(row, self._encoder, self.name, self.context) for row in rows]
        folder = find_adapter(self._adapter_folder, adapter) if adapter else None
        if folder:
            check_base(folder, self.name, self._aliases)

        def is_stopped() -> bool:
            return stop is not None and stop.is_set()

        with self._held(is_stopped) as held:
            if not held or self._model is None:
                return []
            hash_ = self._switch.load(folder) if folder else None
            self._switch.trim([hash_])
            self._switch.activate([hash_])
            try:
                return score_rows(self._model, tokens, self._cache_budget(), is_stopped)
            except Exception as e:
                torch_loading.free_memory()
                sentence = torch_loading.explain_failure(e, f"{self.name} failed")
                raise QeuError(sentence) from e

    def cut_to_fit(
        self,
        record: Record,
        render: Callable[[Record], Prompt],
        max_new_tokens: int = 1,
    ) -> tuple[Record, int]:
        """Shorten the record's input until its prompt and the answer fit; never the instruction.

        Returns the record and the number of tokens its input lost. Raises QeuError where the rest
        of the prompt alone is too long.
        """
        room = self.context - max_new_tokens
        length = len(self._encoder.encode(record.input))
        kept = length
        shorter = record
        while (over := self.prepare(render(shorter)).tokens - room) > 0:
            if kept == 0:
                raise QeuError(
                    f"The prompt is {over:,} tokens too long for {self.name} even without its "
                    f"context field. Shorten the instruction, or ask for fewer than "
                    f"{max_new_tokens:,} new tokens."
                )
            kept = max(0, kept - over)
            shorter = replace(record, input=self._encoder.cut(record.input, kept))
        return shorter, length - kept

    def _make_job(self, index: int, row: Row, exact: bool) -> _Job:
        job = _Job(row)
        try:
            asked = row.sampling.checked()
            job.prepared = self.prepare(row.prompt)
            over = job.prepared.tokens + 1 - self.context
            if over > 0:
                raise QeuError(
                    f"The prompt has {job.prepared.tokens:,} tokens, {over:,} more than "
                    f"{self.name} can read ({self.context:,} with at least one of the answer). "
                    "Cut the context field, or choose a model with a longer context."
                )
            if row.adapter is not None:
                job.adapter = find_adapter(self._adapter_folder, row.adapter)
                check_base(job.adapter, self.name, self._aliases)
            job.live = LiveRow(
                index,
                job.prepared.token_ids,
                local_receipt.sent_sampling(asked, job.prepared.tokens, self.context),
                self._tokenizer,
                end_ids=self._end_ids,
                stop_texts=(*row.prompt.stop, *job.prepared.stop),
                stop=row.stop,
            )
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
            self._lock.release()

    def _load_adapters(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            assert job.live is not None
            if job.adapter is None or job.live.stop_requested:
                continue
            try:
                job.live.adapter = self._switch.load(job.adapter)
            except QeuError as e:
                job.live.end("error", str(e))
        self._switch.trim([job.live.adapter for job in jobs if job.live])

    def _run(self, rows: Sequence[LiveRow], emit: Emit | None, exact: bool) -> None:
        rows = [row for row in rows if row.running]
        order = longest_first([len(row.prompt_ids) for row in rows])
        for group in self._groups([rows[at] for at in order], exact):
            try:
                with restored_threads() as cores:
                    self._run_group(group, emit, exact, cores)
            except _ConsumerError as e:
                raise e.error from None

    def _groups(self, rows: Sequence[LiveRow], exact: bool) -> Iterator[list[LiveRow]]:
        """Rows that are computed at the same time: as many as the memory has room for."""
        from qeu.backends.kv_cache import bytes_per_token

        assert self._model is not None
        a_token = bytes_per_token(self._model.config, self._model.dtype.itemsize)
        budget = self._cache_budget()
        group: list[LiveRow] = []
        columns = 0
        for row in rows:
            needed = max(columns, len(row.prompt_ids) + row.sampling.max_new_tokens)
            adapters = [r.adapter for r in (*group, row)]
            full = len(group) >= (MAX_EXACT_ROWS if exact else MAX_ROWS)
            if group and (
                full
                or needed * a_token * (len(group) + 1) > budget
                or not (exact or self._switch.can_mix(adapters))
            ):
                yield group
                group, needed = [], len(row.prompt_ids) + row.sampling.max_new_tokens
            group.append(row)
            columns = needed
        if group:
            yield group

    def _cache_budget(self) -> float:
        return CACHE_SHARE * self._free_bytes() if self._free_bytes else float("inf")

    def _run_group(self, group: list[LiveRow], emit: Emit | None, exact: bool, cores: int) -> None:
        from qeu.backends.decode import DecodeBatch

        told: set[int] = set()  # rows whose end has been said

        def on_text(row: LiveRow, text: str) -> None:
            if emit is None:
                return
            if row.finish_reason:
                told.add(row.index)
            seconds = (row.last_at or row.started_at) - row.started_at
            try:
                emit(Piece(row.index, text, len(row.token_ids), seconds, row.finish_reason))
            except Exception as e:
                raise _ConsumerError(e) from e

        def set_adapters(hashes: Sequence[str | None]) -> None:
            self._switch.activate(hashes, per_row=exact)

        live: list[tuple[list[LiveRow], DecodeBatch | None]]
        live = [([row], None) for row in group] if exact else [(group, None)]
        while live:
            going: list[tuple[list[LiveRow], DecodeBatch | None]] = []
            for rows, batch in live:
                try:
                    assert self._model is not None
                    batch = batch or DecodeBatch(self._model, rows, on_text, set_adapters, cores)
                    batch.step()
                    if not batch.finished:
                        going.append((rows, batch))
                except _ConsumerError:
                    raise
                except Exception as e:
                    log.warning("a batch of %s failed", self.name, exc_info=True)
                    sentence = torch_loading.explain_failure(e, f"{self.name} failed")
                    for row in rows:
                        row.end("error", sentence)
                    batch = None
                    torch_loading.free_memory()
                for row in rows:
                    # at once, if its last token did not say so: its batch may go on for long
                    if not row.running and row.index not in told:
                        on_text(row, "")
            live = going

    def _finish(self, job: _Job, exact: bool) -> Generation:
        row, prepared, live = job.row, job.prepared, job.live
        known = {
            "model": self.name,
            "revision": self.revision,
            "adapter": row.adapter,
            "adapter_hash": job.adapter.hash if job.adapter else None,
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
            dtype=self.dtype,
            device=self.device,
            batch=live.batch_size,
            exact=exact,
            adapter=row.adapter is not None,
            notes=prepared.notes,
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
