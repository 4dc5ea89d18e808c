"""Attention whose scores are computed in float32, for models that overflow in float16.

Phi-2's queries and keys are so large that their products leave float16's range (65,504): scores
become infinite and every probability NaN. Its authors' code computed both in float32 for this.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NAME = "sdpa_float32_scores"
OVERFLOWING = ("phi",)


def attend(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    **kwargs: Any,
) -> "tuple[torch.Tensor, None]":
    """Transformers' own attention on (rows, heads, columns, size) widened to float32."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    out, _ = sdpa_attention_forward(
        module, query.float(), key.float(), value.float(), attention_mask, **kwargs
    )
    return out.to(query.dtype), None


def widen_scores(model: "PreTrainedModel") -> None:
    """Give a model that overflows in float16 this attention, if it computes in float16."""
    import torch

    kind = model.config.get_text_config(decoder=True).model_type
    if model.dtype != torch.float16 or kind not in OVERFLOWING:
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
