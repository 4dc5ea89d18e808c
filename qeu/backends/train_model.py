"""Load a base for training: in 4 or 8 bits or whole, so that evaluation never spoils training.

A base that is loaded for answers (torch_loading.py) packs its matrices anew for speed; gradients
through those are wrong, so that one is never trained.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qeu.backends.failures import explain_failure, is_out_of_memory
from qeu.backends.folders import ResolvedWeights
from qeu.backends.precision import check_possible
from qeu.core.errors import QeuError
from qeu.core.run_passport import LoraSettings, TrainingSettings

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The trainer's names of our optimisers and schedules.
OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def machine_problems(lora: LoraSettings, training: TrainingSettings, has_gpu: bool) -> list[str]:
    """Settings that this machine cannot train with, each as one sentence."""
    if has_gpu:
        return []
    found = []
    if training.optimizer != "adamw":
        found.append(
            f"optimizer is {training.optimizer}, whose 8-bit states need a GPU, and there is none "
            "here. Choose adamw."
        )
    if training.compute_dtype == "float16":
        found.append(
            "compute_dtype is float16, in which only a GPU trains: its small gradients need a "
            "scaling that a processor does not have. Choose bfloat16 or float32."
        )
    return found


def load_tokenizer(weights: ResolvedWeights) -> "PreTrainedTokenizerBase":
    """The base's tokenizer; raises QeuError where it cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(weights.path, **_LOCAL)
    except (OSError, ValueError, ImportError, KeyError) as e:
        raise QeuError(
            f"The tokenizer in {weights.path} cannot be read ({e}). Fetch or save it again."
        ) from e


def load_base(
    name: str,
    weights: ResolvedWeights,
    lora: LoraSettings,
    training: TrainingSettings,
    device: str = "cpu",
) -> "PreTrainedModel":
    """The base in the numbers that the run wants, frozen.

    `device` is "cpu" or "cuda:N". Raises QeuError for weights that cannot be held so; memory
    errors go through.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from qeu.backends.float32_scores import widen_scores
    from qeu.backends.torch_loading import watched_reading

    check_possible(name, lora.quantization, weights.quantised, is_gguf=bool(weights.gguf_file))
    dtype = getattr(torch, training.compute_dtype)
    try:
        with watched_reading(lambda done, total: None):
            model = AutoModelForCausalLM.from_pretrained(
                weights.path,
                dtype=dtype,
                use_safetensors=True,
                device_map={"": device},
                **_LOCAL,
                **_quantise(lora, weights, dtype),
            )
    except (RuntimeError, OSError, ValueError, ImportError, KeyError, SafetensorError) as e:
        if is_out_of_memory(e):
            raise
        raise QeuError(explain_failure(e, f"{name} could not be loaded for training")) from e
    model.requires_grad_(False)
    widen_scores(model)
    keep_trainable(model, dtype)
    return model


def _quantise(
    lora: LoraSettings, weights: ResolvedWeights, dtype: "torch.dtype"
) -> dict[str, object]:
    if lora.quantization == "none" or weights.quantised:
        return {}
    from transformers import BitsAndBytesConfig

    if lora.quantization == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=lora.double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config}


def keep_trainable(model: "PreTrainedModel", dtype: "torch.dtype") -> None:
    """Let every 4-bit matrix compute in `dtype`, and stay as it is when the model is evaluated.

    On processors with AVX512-BF16 bitsandbytes (0.50.2) lays a matrix out anew at its first use
    in evaluation, for good, and the gradients through it are wrong from then on.
    """
    import bitsandbytes

    for layer in model.modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            # files that hold 4 bits name a dtype of their own
            layer.compute_dtype, layer.compute_type_is_set = dtype, True


def lora_config(lora: LoraSettings) -> "LoraConfig":
    """PEFT's form of the settings."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )


def check_targets(model: "PreTrainedModel", lora: LoraSettings, name: str) -> None:
    """Raises QeuError for target modules that the base does not have."""
    known = {path.rpartition(".")[2] for path, _ in model.named_modules()}
    if missing := [target for target in lora.target_modules if target not in known]:
        raise QeuError(
            f"{name} has no layers called {', '.join(missing)}. Leave the target modules empty to "
            "adapt all its linear layers, or name some of them."
        )
    output = next((p for p, m in model.named_modules() if m is model.get_output_embeddings()), "")
    if output.rpartition(".")[2] in lora.target_modules:
        raise QeuError(
            f"{output} writes out the vocabulary and is not adapted. "
            "Take it out of the target modules."
        )


def widen_adapter(model: "PreTrainedModel") -> None:
    """Hold the trained numbers in float32, where every small step counts.

    TRL makes them bfloat16 on a quantised base: steps below its 8 bits are lost then, and a card
    that scales float16's gradients refuses them.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def base_name(hub_repo: str, id_: str) -> str:
    """How an adapter names its base: the Hub id, else the id, of a folder its own name only."""
    if hub_repo:
        return hub_repo
    path = Path(id_).expanduser()
    return path.resolve().name if path.exists() else id_
