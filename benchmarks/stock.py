"""The embedded model as transformers alone loads it: what the engine is compared with."""

from typing import TYPE_CHECKING

from qeu.backends.local import LocalModel
from qeu.backends.weights import find_embedded
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_stock(engine: LocalModel, settings: Settings) -> "PreTrainedModel":
    """A second copy in the engine's dtype and place, with nothing of ours done to its layers."""
    import torch
    from transformers import AutoModelForCausalLM

    path = find_embedded(settings.cache_dir)
    assert path, "the embedded model is not in the cache; load it once first"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, engine.dtype))
    return model.to(engine.device).eval().requires_grad_(False)
