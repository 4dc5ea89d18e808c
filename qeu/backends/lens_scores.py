"""The scores of every token at positions of a given text, and the ones kept for the next look.

A text is read in one pass beside the model's lock, by anyone at any time; what was read is kept
under all that it depends on, so that another setting, or another position, computes nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from qeu.backends.base import EngineIdentity
from qeu.backends.cpu_threads import restored_threads, wanted_threads

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Of all texts together; a row of 50,000 tokens takes 100 kB in bfloat16.
CACHE_BYTES = 384 * 1024 * 1024
# Of one text: some hundred positions, so that most texts are kept whole.
TEXT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class TokenText:
    """What a model read and what stands behind it, as token ids; there is at least one of both
    to score something.
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """All of it."""
        return self.prompt + self.completion

    def before(self, position: int) -> tuple[int, ...]:
        """What stood there when the token at `position` of the completion was chosen."""
        return self.prompt + self.completion[:position]


@dataclass(frozen=True)
class TextScores:
    """`bits` is the surprise of each token of the completion; `rows` the scores by position.

    Position 0 is the end of the prompt, the last one is behind the completion. Rows are
    (vocabulary,) in the model's own numbers, on the processor.
    """

    bits: tuple[float, ...]
    rows: "Mapping[int, torch.Tensor]"

    @property
    def memory_bytes(self) -> int:
        """What the rows take."""
        return sum(row.nbytes for row in self.rows.values())


class ScoreCache:
    """What was read, by engine and text; the longest unused goes first. Safe from any thread."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[tuple[EngineIdentity, TokenText], TextScores] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def memory_bytes(self) -> int:
        """What all rows take."""
        with self._lock:
            return self._size()

    def get(self, identity: EngineIdentity, text: TokenText) -> TextScores | None:
        """What is known of a text; it counts as used now."""
        with self._lock:
            found = self._kept.get((identity, text))
            if found is not None:
                self._kept.move_to_end((identity, text))
            return found

    def put(self, identity: EngineIdentity, text: TokenText, scores: TextScores) -> None:
        """Keep what was read, in place of what was known of the same text."""
        with self._lock:
            self._kept[identity, text] = scores
            self._kept.move_to_end((identity, text))
            while self._kept and self._size() > self._limit:
                self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(scores.memory_bytes for scores in self._kept.values())


def read_scores(
    model: "PreTrainedModel",
    text: TokenText,
    keep: range,
    is_stopped: Callable[[], bool] = lambda: False,
) -> TextScores | None:
    """Read a text in chunks, as the engine reads a prompt; None where it was stopped.

    `keep` are the positions whose rows are wanted. The caller holds the model and has switched
    its adapters. Of a failed computation (NaN) surprises and rows are not numbers.
    """
    import torch

    from qeu.backends.decode import PREFILL_CHUNK
    from qeu.backends.lens_steps import surprise_bits

    ids, begin = text.ids, len(text.prompt)
    bits: list[float] = []
    rows: dict[int, torch.Tensor] = {}
    cache = None
    with restored_threads() as cores, torch.inference_mode():
        weight_bytes = int(model.get_memory_footprint())
        for start, end in _chunks(begin, len(ids), PREFILL_CHUNK):
            if is_stopped():
                return None
            if model.device.type == "cpu":
                torch.set_num_threads(wanted_threads(weight_bytes, end - start, cores))
            first = max(start, begin - 1)  # the first column of the chunk that foretells
            out = model(
                input_ids=torch.tensor([ids[start:end]], device=model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=max(1, end - first),
            )
            cache = out.past_key_values
            if end < begin:
                continue
            scores = out.logits[0]  # (end - first, vocabulary)
            told = ids[first + 1 : end + 1]
            bits += surprise_bits(scores[: len(told)], told)
            for position in keep:
                if first <= (column := begin - 1 + position) < end:
                    # a copy: a view would keep the whole chunk in memory
                    rows[position] = scores[column - first].clone().cpu()
    return TextScores(tuple(bits), rows)


def choose_kept(position: int, positions: int, row_bytes: int, budget: int) -> range:
    """Which positions to keep when one is asked: as many around it as the budget has room for."""
    room = max(1, min(positions, budget // max(1, row_bytes)))
    first = max(0, min(position - room // 2, positions - room))
    return range(first, first + room)


def blocks(positions: int, row_bytes: int, budget: int) -> Sequence[range]:
    """All positions in runs that are read at once."""
    room = max(1, budget // max(1, row_bytes))
    return [range(at, min(at + room, positions)) for at in range(0, positions, room)]


def _chunks(begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """The columns of the prompt in chunks, then those behind it.

    A chunk of the prompt ends where the engine's own does, so that its scores round alike.
    """
    edges = [*range(0, begin, size), *range(begin, end, size), end]
    return [(first, last) for first, last in pairwise(edges) if first < last]
