"""The one decode loop: prompts in chunks, then a token a step for every row that still runs.

A batch is stepped from outside, so that several can take turns, and ends rows one by one without
disturbing the others. It knows tokens and rows, neither prompts nor adapters' files.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from qeu.backends.cpu_threads import wanted_threads
from qeu.backends.float32_scores import NAME as FLOAT32_SCORES
from qeu.backends.kv_cache import GROW_COLUMNS, SlabCache
from qeu.backends.live_row import LiveRow
from qeu.backends.sampler import RowSettings, next_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Columns of the prompts computed at once. Fixed, since another chunk rounds otherwise; small, so
# that a row is heard within 0.3 s when it is stopped beside another. (Rows that are all stopped
# end within a layer.)
PREFILL_CHUNK = 128
# Tokens that sharing a beginning must save: it costs a pass through the weights of its own.
SHARED_WORTH = 128
# Rows that have ended are dropped when they are this share: each drop copies the cache.
RETIRE_SHARE = 0.2
NOT_FINITE = (
    "The model's scores are not numbers (NaN or infinite), so no token could be chosen. "
    "Use the exact setting (float32), or load the model in another dtype."
)

# Called with the adapters of the rows, in their order, whenever a step is about to be computed.
SetAdapters = Callable[[Sequence[str | None]], None]
OnText = Callable[[LiveRow, str], None]


class _AllStopped(Exception):
    """Nobody wants the step that is being computed any more."""


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
        self._cores, self._not_finite = cores, not_finite
        self._model, self._rows = model, list(rows)
        self._on_text, self._set_adapters = on_text, set_adapters
        # a row that was interrupted goes on behind what it has written
        known = [(*row.prompt_ids, *row.token_ids) for row in rows]
        self._width = max(map(len, known))  # columns whose ids are known
        self._done = 0  # columns that the model has computed
        padding = [self._width - len(ids) for ids in known]
        room = min(max(row.sampling.max_new_tokens for row in rows), GROW_COLUMNS)
        # padding repeats the row's own first token: to the repetition penalty it is nothing new
        ids = [
            [row[0]] * pad + list(row) + [0] * room for row, pad in zip(known, padding, strict=True)
        ]
        self._ids = torch.tensor(ids, device=model.device)  # (rows, columns)
        self._padding = torch.tensor(padding, device=model.device)[:, None]  # (rows, 1)
        self._padded = any(padding)
        self._cache = SlabCache(model.config, self._width + room, self._hear_stops)
        self._settings = RowSettings([row.sampling for row in rows], model.device)
        self._builds_mask = can_build_mask(model)
        self._weight_bytes = int(model.get_memory_footprint())
        self._shared = count_shared(rows)  # tokens that all prompts begin with, computed once
        self._lead = SlabCache(model.config, self._shared, self._hear_stops)

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
        self._retire()
        if not self._rows[0].started_at:
            for row in self._rows:
                row.begin(len(self._rows))
                self._on_text(row, "")
        try:
            if self._lead.get_seq_length() < self._shared:
                self._read_shared()
                return
            end = min(self._done + PREFILL_CHUNK, self._width)
            logits = self._forward(end)
        except _AllStopped:
            self._end_stopped()
            return
        if end == self._width:
            self._choose(logits)

    def _end_stopped(self) -> None:
        for row in self._rows:
            if row.stop_requested:
                row.end("cancelled")

    def _hear_stops(self) -> None:
        if all(row.stop_requested or not row.running for row in self._rows):
            raise _AllStopped

    def _read_shared(self) -> None:
        """Compute a chunk of the common beginning; when it is whole, every row gets a copy."""
        done = self._lead.get_seq_length()
        end = min(done + PREFILL_CHUNK, self._shared)
        columns = torch.arange(done, end, device=self._ids.device)
        row = self._rows[0]
        ids = torch.tensor([row.prompt_ids[done:end]], device=self._ids.device)
        self._compute(ids, columns[None], None, self._lead, [row.adapter])
        if end == self._shared:
            # the longest rest is computed whole; shorter ones compute a bit of the copy again,
            # which gives the same
            self._done = self._shared
            self._cache.fill(self._lead, self._padding[:, 0].tolist(), self._done)

    def _forward(self, end: int) -> torch.Tensor:
        """Compute the columns up to `end`; the scores of the last one, (rows, vocabulary)."""
        columns = torch.arange(self._done, end, device=self._ids.device)
        logits = self._compute(
            self._ids[:, self._done : end],
            (columns - self._padding).clamp(min=0),
            self._mask(columns, end) if self._needs_mask(len(columns)) else None,
            self._cache,
            [row.adapter for row in self._rows],
        )
        self._done = end
        return logits

    def _compute(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        cache: SlabCache,
        adapters: Sequence[str | None],
    ) -> torch.Tensor:
        self._set_adapters(adapters)
        if ids.device.type == "cpu":
            threads = wanted_threads(self._weight_bytes, ids.numel(), self._cores)
            torch.set_num_threads(threads)
        return self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def _needs_mask(self, columns: int) -> bool:
        # On a processor one token without a mask takes torch's way for grouped heads, which is 4
        # to 8 times slower in bfloat16 than the way that transformers takes with one.
        on_cpu = self._ids.device.type == "cpu"
        return self._padded or (on_cpu and columns == 1 and self._builds_mask)

    def _mask(self, columns: torch.Tensor, end: int) -> torch.Tensor:
        before = torch.arange(end, device=columns.device)
        real = before >= self._padding  # (rows, end)
        if not self._builds_mask:
            return real.long()
        if len(columns) == 1:
            return real[:, None, None, :]
        causal = before <= columns[:, None]
        # a padding column attends to itself: a column that attends to nothing becomes NaN, and
        # NaN spreads to those that ignore it
        alone = before == columns[:, None]
        return ((real[:, None, :] & causal) | alone)[:, None]  # (rows, 1, columns, end)

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
        first = min(int(self._padding.min()), self._done)
        self._cache.keep(rows, first)
        self._ids = self._ids[rows, first:]
        self._padding -= first
        self._padded = bool(self._padding.any())
        self._width -= first
        self._done -= first
        self._rows = [self._rows[at] for at in kept]
        self._settings = RowSettings([row.sampling for row in self._rows], self._ids.device)


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


def can_build_mask(model: "PreTrainedModel") -> bool:
    """Whether one mask of our own fits all layers; else transformers makes one for each kind."""
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    slides = getattr(config, "sliding_window", None)
    takes_ours = config._attn_implementation in ("sdpa", FLOAT32_SCORES)
    return takes_ours and kinds == {"full_attention"} and not slides
