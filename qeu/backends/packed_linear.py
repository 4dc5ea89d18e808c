"""Keep a small model's matrices a second time, laid out as the processor multiplies them.

Torch lays a bfloat16 matrix out anew at every product. With 1 to 8 rows that costs as much as the
product itself: on one core all products of a step of SmolLM2-135M take 21 ms, and 12 ms when they
are laid out once (`python -m benchmarks.engine packed` compares whole runs). The results are equal
bit for bit, because the same kernel multiplies.
"""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The originals stay (adapters and checks read them), so only models are packed that can be had
# twice.
MOST_BYTES = 1_000_000_000
# The layout is chosen for about as many rows; others are right too.
_ROWS = 2


class PackedForward:
    """What a packed layer does instead of its own `forward`; `nbytes` is what the copy takes."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        self._weight, self._bias = layer.weight, layer.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight, _ROWS)
        self.nbytes = layer.weight.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) to (..., out), equal to torch's own linear layer."""
        if x.dtype != torch.bfloat16:
            return torch.nn.functional.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


def pack_linears(model: "PreTrainedModel") -> None:
    """Pack every plain linear layer of a bfloat16 model on a processor.

    Does nothing on other devices and dtypes, for models over MOST_BYTES and where this build of
    torch has no such kernel. Packed layers compute no gradients.
    """
    if model.device.type != "cpu" or model.dtype != torch.bfloat16 or not _can_pack():
        return
    if model.get_memory_footprint() > MOST_BYTES:
        return
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and layer.weight.dtype == torch.bfloat16:
            layer.forward = PackedForward(layer)  # type: ignore[method-assign]


def packed_bytes(model: "PreTrainedModel") -> int:
    """What the packed copies of a model take."""
    forwards = (vars(layer).get("forward") for layer in model.modules())
    return sum(forward.nbytes for forward in forwards if isinstance(forward, PackedForward))


def _can_pack() -> bool:
    # the operations that torch's own compiler uses for frozen weights
    mkldnn = torch.ops.mkldnn
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(mkldnn, "_linear_pointwise")
        and hasattr(mkldnn, "_reorder_linear_weight")
        and bool(mkldnn._is_mkldnn_bf16_supported())
    )
