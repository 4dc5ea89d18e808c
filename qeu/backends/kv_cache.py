"""Keys and values of a batch in buffers that grow in large steps and are written in place.

Rows are padded on the left. Only layers that attend to all or to the latest tokens are covered;
both keep all columns here, the mask does the rest.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

GROW_COLUMNS = 256
_COVERED = {"full_attention", "sliding_attention"}


class SlabLayer(CacheLayerMixin):
    """One layer's keys and values, (rows, heads, capacity, size); `length` columns are in use."""

    is_sliding = False

    def __init__(self, capacity: int, on_layer: Callable[[], None]) -> None:
        super().__init__()
        self._capacity, self._on_layer = capacity, on_layer
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate once the shapes are known."""
        self.keys, self.values = (
            x.new_zeros(*x.shape[:2], self._capacity, x.shape[3])
            for x in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns and return all columns so far, as views."""
        self._on_layer()
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.keys.shape[2]:
            self._grow(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def fill(self, lead: "SlabLayer", starts: Sequence[int], length: int) -> None:
        """Begin with the columns of a one-row layer, put at each row's start; `length` are used."""
        self.keys, self.values = (
            x.new_zeros(len(starts), x.shape[1], self._capacity, x.shape[3])
            for x in (lead.keys, lead.values)
        )
        for row, start in enumerate(starts):
            self.keys[row, :, start : start + lead.length] = lead.keys[0, :, : lead.length]
            self.values[row, :, start : start + lead.length] = lead.values[0, :, : lead.length]
        self.is_initialized, self.length = True, length

    def place(self, other: "SlabLayer", first_row: int, rows: int, columns: int) -> None:
        """Take over a layer's rows as those from `first_row` on of `rows`, ending at `columns`."""
        if not self.is_initialized:
            self.keys, self.values = (
                x.new_zeros(rows, x.shape[1], self._capacity, x.shape[3])
                for x in (other.keys, other.values)
            )
            self.is_initialized = True
        here = slice(first_row, first_row + len(other.keys))
        there = slice(columns - other.length, columns)
        self.keys[here, :, there] = other.keys[:, :, : other.length]
        self.values[here, :, there] = other.values[:, :, : other.length]
        self.length = columns

    def keep(self, rows: torch.Tensor, first_column: int) -> None:
        """Forget all other rows, and the columns before `first_column`."""
        if not self.is_initialized:
            return
        self.keys = self.keys[:, :, first_column:].index_select(0, rows)
        self.values = self.values[:, :, first_column:].index_select(0, rows)
        self.length -= first_column

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next mask must cover, and the first of them."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """No limit: the buffer grows."""
        return -1

    def _grow(self, end: int) -> None:
        capacity = max(end, self.keys.shape[2] + max(GROW_COLUMNS, self.keys.shape[2] // 2))
        self.keys, self.values = (
            _widened(x, capacity, self.length) for x in (self.keys, self.values)
        )


class SlabCache(Cache):
    """The cache of one batch, in the shape that transformers' models take.

    `on_layer` is called before every layer's attention: what it raises ends the computation there.
    """

    def __init__(
        self,
        config: "PreTrainedConfig",
        capacity: int,
        on_layer: Callable[[], None] = lambda: None,
    ) -> None:
        text = config.get_text_config(decoder=True)
        check_layers(text)
        super().__init__(
            layers=[SlabLayer(capacity, on_layer) for _ in range(text.num_hidden_layers)]
        )

    def fill(self, lead: "SlabCache", starts: Sequence[int], length: int) -> None:
        """Begin with the columns of a one-row cache, put at each row's start; `length` are used."""
        for layer, other in zip(self.layers, lead.layers, strict=True):
            layer.fill(other, starts, length)

    def place(self, other: "SlabCache", first_row: int, rows: int, columns: int) -> None:
        """Take over a cache's rows as those from `first_row` on of `rows`, ending at `columns`."""
        for layer, its in zip(self.layers, other.layers, strict=True):
            layer.place(its, first_row, rows, columns)

    def keep(self, rows: torch.Tensor, first_column: int) -> None:
        """Forget all other rows, and the columns before `first_column`."""
        for layer in self.layers:
            layer.keep(rows, first_column)


def check_layers(text_config: "PreTrainedConfig") -> None:
    """Refuse models whose layers keep another kind of memory (state space, linear attention)."""
    kinds = set(getattr(text_config, "layer_types", None) or ["full_attention"])
    if strange := sorted(kinds - _COVERED):
        raise QeuError(
            f"This model has layers of kind {strange[0]!r}, which the engine does not run. "
            "Choose a model with ordinary attention, such as smollm2-135m."
        )


def bytes_per_token(config: "PreTrainedConfig", itemsize: int) -> int:
    """Memory that one token of one row takes in the cache."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * size * itemsize


def _widened(buffer: torch.Tensor, capacity: int, used: int) -> torch.Tensor:
    wide = buffer.new_zeros(*buffer.shape[:2], capacity, buffer.shape[3])
    wide[:, :, :used] = buffer[:, :, :used]
    return wide
