"""Columns of some rows through the model: positions, masks, threads, adapters."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from qeu.backends.cpu_threads import wanted_threads
from qeu.backends.float32_scores import NAME as FLOAT32_SCORES
from qeu.backends.kv_cache import SlabCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Called with the adapters of the rows, in their order, whenever a step is about to be computed.
SetAdapters = Callable[[Sequence[str | None]], None]


class ForwardPass:
    """A model with what its steps need; `cores` is the most threads to use on a processor."""

    def __init__(self, model: "PreTrainedModel", set_adapters: SetAdapters, cores: int = 1) -> None:
        self.model = model
        self._set_adapters, self._cores = set_adapters, cores
        self._builds_mask = can_build_mask(model)
        self._weight_bytes = int(model.get_memory_footprint())

    def compute(
        self,
        ids: torch.Tensor,
        padding: torch.Tensor,
        done: int,
        cache: SlabCache,
        adapters: Sequence[str | None],
    ) -> torch.Tensor:
        """Scores of the last column, (rows, vocabulary).

        `ids` are the next columns, (rows, columns), behind `done` columns in the cache; `padding`
        counts each row's columns without a token at its left, (rows, 1).
        """
        self._set_adapters(adapters)
        if ids.device.type == "cpu":
            threads = wanted_threads(self._weight_bytes, ids.numel(), self._cores)
            torch.set_num_threads(threads)
        end = done + ids.shape[1]
        columns = torch.arange(done, end, device=ids.device)
        return self.model(
            input_ids=ids,
            attention_mask=self.mask(columns, end, padding),
            position_ids=(columns - padding).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def mask(self, columns: torch.Tensor, end: int, padding: torch.Tensor) -> torch.Tensor | None:
        """What `columns`, the last ones before `end`, may look at; None where nothing is hidden.

        (rows, 1, columns, end); where ours does not fit all layers (rows, end), of which
        transformers makes one for each kind.
        """
        # On a processor one token without a mask takes torch's way for grouped heads, which is 4
        # to 8 times slower in bfloat16 than the way that transformers takes with one.
        alone = len(columns) == 1 and padding.device.type == "cpu" and self._builds_mask
        if not alone and not padding.any():
            return None
        before = torch.arange(end, device=columns.device)
        real = before >= padding  # (rows, end)
        if not self._builds_mask:
            return real.long()
        if len(columns) == 1:
            return real[:, None, None, :]
        causal = before <= columns[:, None]
        # a padding column attends to itself: a column that attends to nothing becomes NaN, and
        # NaN spreads to those that ignore it
        own = before == columns[:, None]
        return ((real[:, None, :] & causal) | own)[:, None]


def can_build_mask(model: "PreTrainedModel") -> bool:
    """Whether one mask of our own fits all layers; else transformers makes one for each kind."""
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    slides = getattr(config, "sliding_window", None)
    takes_ours = config._attn_implementation in ("sdpa", FLOAT32_SCORES)
    return takes_ours and kinds == {"full_attention"} and not slides
