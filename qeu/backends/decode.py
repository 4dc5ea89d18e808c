"""The one decode loop: prompts in chunks, then a token a step for every row that still runs.

A batch is stepped from outside, so that several can take turns, and ends rows one by one without
disturbing the others. It knows tokens and rows, neither prompts nor adapters' files.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from qeu.backends.forward_pass import ForwardPass, SetAdapters
from qeu.backends.kv_cache import GROW_COLUMNS, SlabCache
from qeu.backends.live_row import LiveRow
from qeu.backends.sampler import RowSettings, next_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Columns of the prompts computed at once. Fixed, since another chunk rounds otherwise; small, so
# that a row is heard within 0.3 s when it is stopped beside another. (Rows that are all stopped
# end within a layer.)
PREFILL_CHUNK = 128
# Tokens of prompts that are read together, padding included: a processor gains nothing by more and
# loses by padding, a card is only busy with many.
PART_TOKENS = {"cpu": 2_048, "cuda": 16_384}
# Tokens that sharing a beginning must save: it costs a pass through the weights of its own.
SHARED_WORTH = 128
# Rows that have ended are dropped when they are this share: each drop copies the cache.
RETIRE_SHARE = 0.2
NOT_FINITE = (
    "The model's scores are not numbers (NaN or infinite), so no token could be chosen. "
    "Use the exact setting (float32), or load the model in another dtype."
)

OnText = Callable[[LiveRow, str], None]


class _AllStopped(Exception):
    """Nobody wants the step that is being computed any more."""


@dataclass
class _Part:
    """Neighbouring rows of like length, whose prompts are read together: their last columns."""

    rows: slice
    width: int
    cache: SlabCache
    done: int = 0


class DecodeBatch:
    """Rows that are computed together. Call `step` until `finished`.

    `on_text` is told each row's new text after every token, on the computing thread. `cores` is
    the most threads to use on a processor; the caller restores torch's setting. `not_finite` is
    the error of a row whose scores are NaN or infinite.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        rows: Sequence[LiveRow],
        on_text: OnText = lambda row, text: None,
        set_adapters: SetAdapters = lambda names: None,
        cores: int = 1,
        not_finite: str = NOT_FINITE,
    ) -> None:
        self._not_finite, self._on_text = not_finite, on_text
        self._pass = ForwardPass(model, set_adapters, cores)
        # a row that was interrupted goes on behind what it has written
        known = {row: (*row.prompt_ids, *row.token_ids) for row in rows}
        self._rows = sorted(rows, key=lambda row: -len(known[row]))  # alike ones are neighbours
        lengths = [len(known[row]) for row in self._rows]
        self._width = lengths[0]  # columns whose ids are known
        padding = [self._width - length for length in lengths]
        room = min(max(row.sampling.max_new_tokens for row in rows), GROW_COLUMNS)
        # padding repeats the row's own first token: to the repetition penalty it is nothing new
        ids = [
            [known[row][0]] * pad + list(known[row]) + [0] * room
            for row, pad in zip(self._rows, padding, strict=True)
        ]
        self._ids = torch.tensor(ids, device=model.device)  # (rows, columns)
        self._padding = torch.tensor(padding, device=model.device)[:, None]  # (rows, 1)
        self._cache = self._new_cache(self._width + room)
        self._settings = RowSettings([row.sampling for row in self._rows], model.device)
        self._shared = count_shared(self._rows)  # tokens that all begin with, computed once
        self._lead = self._new_cache(self._shared)
        slices = split_rows(lengths, PART_TOKENS.get(model.device.type, PART_TOKENS["cuda"]))
        self._unread = deque(_Part(rows, lengths[rows.start], self._cache) for rows in slices)
        if len(slices) > 1:  # one part alone is read where it will stay
            for part in self._unread:
                part.cache = self._new_cache(part.width)
        # of the last columns of the parts that are read, (rows, vocabulary)
        self._scores: torch.Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether every row has ended."""
        return not any(row.running for row in self._rows)

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one chunk of the prompts, or one token of every row."""
        self._end_stopped()
        if self.finished:
            return
        if not self._rows[0].started_at:
            for row in self._rows:
                row.begin(len(self._rows))
                self._on_text(row, "")
        try:
            if self._lead.get_seq_length() < self._shared:
                self._read_shared()
            elif self._unread:
                self._read_part(self._unread[0])
            else:
                self._retire()
                self._choose(self._compute(self._cache, slice(None), self._width))
        except _AllStopped:
            self._end_stopped()

    def _new_cache(self, capacity: int) -> SlabCache:
        return SlabCache(self._pass.model.config, capacity, self._hear_stops)

    def _end_stopped(self) -> None:
        for row in self._rows:
            if row.stop_requested:
                row.end("cancelled")

    def _hear_stops(self) -> None:
        if all(row.stop_requested or not row.running for row in self._rows):
            raise _AllStopped

    def _read_shared(self) -> None:
        """Compute a chunk of the common beginning."""
        done = self._lead.get_seq_length()
        row = self._rows[0]
        ids = row.prompt_ids[done : min(done + PREFILL_CHUNK, self._shared)]
        self._pass.compute(
            torch.tensor([ids], device=self._ids.device),
            torch.zeros(1, 1, dtype=torch.long, device=self._ids.device),
            done,
            self._lead,
            [row.adapter],
        )

    def _read_part(self, part: _Part) -> None:
        """Compute a chunk of a part's prompts; behind the last part every row gets a token."""
        if any(row.running for row in self._rows[part.rows]):
            if self._shared and not part.done:
                # its longest row's rest is computed whole; shorter ones compute a bit of the copy
                # again, which gives the same
                part.done = self._shared
                padding = self._padding[part.rows, 0] - (self._width - part.width)
                part.cache.fill(self._lead, padding.tolist(), part.done)
            end = min(part.done + PREFILL_CHUNK, part.width)
            scores = self._compute(part.cache, part.rows, end, self._width - part.width)
            part.done = end
            if end < part.width:
                return
            self._keep_part(part, scores)
        self._unread.popleft()
        if not self._unread:
            assert self._scores is not None  # some row runs, and its part was read
            self._choose(self._scores)
            self._scores = None

    def _keep_part(self, part: _Part, scores: torch.Tensor) -> None:
        if part.cache is not self._cache:
            self._cache.place(part.cache, part.rows.start, len(self._rows), self._width)
        if self._scores is None:
            self._scores = scores.new_zeros(len(self._rows), scores.shape[1])
        self._scores[part.rows] = scores

    def _compute(self, cache: SlabCache, rows: slice, end: int, first: int = 0) -> torch.Tensor:
        """Compute some rows' columns behind those in the cache, which begins at `first`."""
        done = cache.get_seq_length()
        return self._pass.compute(
            self._ids[rows, first + done : first + end],
            self._padding[rows] - first,
            done,
            cache,
            [row.adapter for row in self._rows[rows]],
        )

    def _choose(self, logits: torch.Tensor) -> None:
        """Draw one token a row and hand it out."""
        tokens, best = next_tokens(
            logits, self._ids[:, : self._width], self._settings, [r.random for r in self._rows]
        )
        if self._width == self._ids.shape[1]:
            self._ids = torch.nn.functional.pad(self._ids, (0, GROW_COLUMNS))
        self._ids[:, self._width] = tokens
        self._width += 1
        fine = best.isfinite().tolist()
        for row, token, is_fine in zip(self._rows, tokens.tolist(), fine, strict=True):
            if not row.running:
                continue
            if is_fine:
                text = row.take(token)
                self._on_text(row, text)
            else:
                row.end("error", self._not_finite)

    def _retire(self) -> None:
        """Drop the rows that have ended, once they are many enough to be worth the copying."""
        kept = [at for at, row in enumerate(self._rows) if row.running]
        if len(self._rows) - len(kept) < RETIRE_SHARE * len(self._rows) or not kept:
            return
        if len(kept) == len(self._rows):
            return
        rows = torch.tensor(kept, device=self._ids.device)
        self._padding = self._padding[rows]
        first = int(self._padding.min())
        self._cache.keep(rows, first)
        self._ids = self._ids[rows, first:]
        self._padding -= first
        self._width -= first
        self._rows = [self._rows[at] for at in kept]
        self._settings = RowSettings([row.sampling for row in self._rows], self._ids.device)


def split_rows(lengths: Sequence[int], most_tokens: int) -> list[slice]:
    """Rows, the longest first, in parts of at most so many tokens with padding, or of one row."""
    starts = [0]
    for at in range(1, len(lengths)):
        if lengths[starts[-1]] * (at + 1 - starts[-1]) > most_tokens:
            starts.append(at)
    return [slice(a, b) for a, b in zip(starts, (*starts[1:], len(lengths)), strict=True)]


def count_shared(rows: Sequence[LiveRow]) -> int:
    """Tokens that all rows' prompts begin with, if computing them once is worth a step."""
    first, *others = (row.prompt_ids for row in rows)
    if not others or len({row.adapter for row in rows}) > 1:
        return 0
    # the last token of every prompt is computed in its own row: its scores are wanted
    shared = min(map(len, (first, *others))) - 1
    for other in others:
        shared = next((at for at in range(shared) if first[at] != other[at]), shared)
    return shared if shared * len(others) >= SHARED_WORTH else 0
