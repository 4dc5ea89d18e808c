"""Training on a processor: attention record by record, and dropout that draws few numbers."""

import inspect
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

# Name of the attention in a model's configuration.
BY_RECORD = "qeu_by_record"
# Up to so many tokens plain products beat torch's fused kernel on a processor, twice as fast with
# its gradient; beyond, their squares of scores would fill the memory.
_FEW_TOKENS = 256
# Dropout decides by 16 random bits an element.
_LEVELS = 2**16


def speed_up(model: "PeftModel") -> None:
    """Let a model with its adapter attached train faster on a processor; its results stay.

    A model whose attention is not torch's own, or takes no more than it names, keeps it.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    fast = _fast_dropout()
    for module in model.modules():
        for name, dropout in getattr(module, "lora_dropout", {}).items():
            if rate := getattr(dropout, "p", 0.0):
                module.lora_dropout[name] = fast(rate)
    taken = inspect.signature(model.get_base_model().forward).parameters.values()
    passes_on = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken)
    if passes_on and model.config._attn_implementation == "sdpa":
        AttentionInterface.register(BY_RECORD, attend_by_record)
        # outside of a training step, and for rows that are padded, the usual mask is what counts
        AttentionMaskInterface.register(BY_RECORD, sdpa_mask)
        model.set_attn_implementation(BY_RECORD)


def record_bounds(batch: Mapping[str, "torch.Tensor"]) -> tuple[int, ...]:
    """Where the records of a batch's one row begin, and its end: (0, 200, 512).

    The `position_ids` of a packed row, (1, tokens), count from 0 in every record; a row that is not
    packed is one record. () where there are several rows, or a padded one.
    """
    rows, tokens = batch["input_ids"].shape
    mask = batch.get("attention_mask")
    if rows > 1 or (mask is not None and not mask.all()):
        return ()
    if "position_ids" not in batch:
        return (0, tokens)
    begins = (batch["position_ids"][0, 1:] == 0).nonzero()[:, 0] + 1
    return (0, *begins.tolist(), tokens)


def attend_by_record(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    dropout: float = 0.0,
    scaling: float | None = None,
    record_bounds: tuple[int, ...] | None = None,
    **kwargs: Any,
) -> tuple["torch.Tensor", None]:
    """Causal attention within each record of a packed row, as transformers asks for attention.

    `query` is (1, heads, tokens, width), `key` and `value` may have fewer heads; gives (1, tokens,
    heads, width). Without `record_bounds`, and where the layer has a window or a dropout of its
    own, the usual attention behind `attention_mask`.
    """
    import torch

    if record_bounds is None or dropout or kwargs.get("sliding_window"):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = [
        _attend(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], scale)
        for a, b in itertools.pairwise(record_bounds)
    ]
    return torch.cat(found, dim=2).transpose(1, 2), None


def _attend(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", scale: float
) -> "torch.Tensor":
    import torch

    groups, tokens = query.shape[1] // key.shape[1], query.shape[2]
    if tokens > _FEW_TOKENS:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=groups > 1
        )
    if groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    scores = torch.matmul(query, key.transpose(2, 3)) * scale
    later = torch.full((tokens, tokens), float("-inf"), dtype=scores.dtype).triu(1)
    shares = torch.softmax(scores + later, dim=-1, dtype=torch.float32)
    return torch.matmul(shares.to(value.dtype), value)


def _fast_dropout() -> Any:
    import torch

    class FastDropout(torch.nn.Module):
        """Dropout of rate `p`, rounded to 1/65,536.

        torch draws one number an element, a sixth of a training step; here one of 64 bits serves
        four.
        """

        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training or not x.numel():
                return x
            drawn = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
            levels = drawn.view(torch.int16)[: x.numel()].view(x.shape)
            dropped = round(self.p * _LEVELS)
            keep = levels >= dropped - _LEVELS // 2
            return torch.where(keep, x * (_LEVELS / (_LEVELS - dropped)), 0.0)

        def extra_repr(self) -> str:
            return f"p={self.p}"

    return FastDropout
