"""Read weights and tokenizer into memory, in the dtype and on the device that suit the machine."""

import contextlib
import gc
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.folders import ResolvedWeights
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SAMPLE_BYTES = 1 << 16
_SAMPLES = 256


@dataclass(frozen=True)
class Placement:
    """Where a model computes and in which numbers; `four_bit` squeezes its weights on loading."""

    device: str
    dtype: str
    four_bit: bool = False


def choose_placement(device: str, dtype: str, *, exact: bool, four_bit: bool) -> Placement:
    """Resolve `auto`: the GPU if there is one; bfloat16 where it is fast; exact is float32."""
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise QeuError("QEU_DEVICE is cuda, but torch sees no GPU. Set it to auto or cpu.")
    on_gpu = has_gpu and device != "cpu"
    if exact:
        dtype = "float32"
    elif dtype == "auto":
        dtype = _fast_dtype(on_gpu)
    return Placement("cuda" if on_gpu else "cpu", dtype, four_bit and on_gpu and not exact)


def _fast_dtype(on_gpu: bool) -> str:
    import torch

    if on_gpu:
        return "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float16"
    # Without AMX or AVX512-BF16 every bfloat16 product is unpacked first, which is slower.
    fast = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bfloat16" if fast.get("avx512_bf16") or fast.get("amx_bf16") else "float32"


def load_weights(
    name: str, weights: ResolvedWeights, placement: Placement
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load from a folder on this disk; only safetensors and GGUF, never code of the model's own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from qeu.backends.packed_linear import pack_linears

    common = {"local_files_only": True, "trust_remote_code": False}
    if weights.gguf_file:
        common["gguf_file"] = weights.gguf_file
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(weights.path, **common)
            model = AutoModelForCausalLM.from_pretrained(
                weights.path,
                dtype=getattr(torch, placement.dtype),
                **common,
                **_how(weights, placement),
            )
            if not getattr(model, "hf_device_map", None):
                model.to(placement.device)
    except (MemoryError, RuntimeError, OSError, ValueError, ImportError, KeyError) as e:
        free_memory()
        raise QeuError(explain_failure(e, f"{name} could not be loaded")) from e
    model.eval().requires_grad_(False)
    pack_linears(model)
    return model, tokenizer


def _how(weights: ResolvedWeights, placement: Placement) -> dict[str, object]:
    import torch

    if weights.gguf_file:
        from transformers import GgufConfig

        return {"quantization_config": GgufConfig(dequantize=True)}
    found: dict[str, object] = {"use_safetensors": True}
    if placement.device == "cuda":
        found["device_map"] = {"": 0}
    if placement.four_bit and weights.dtype not in ("U8", "I8"):
        from transformers import BitsAndBytesConfig

        found["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, placement.dtype),
        )
    return found


def read_context(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """The most tokens, prompt and answer together, that the model was made for."""
    config = model.config.get_text_config(decoder=True)
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    limit = tokenizer.model_max_length or 0
    limits = [int(n) for n in (found, limit) if n and n < 10**9]
    return min(limits) if limits else 2_048


def read_end_ids(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", extra: str
) -> frozenset[int]:
    """Tokens that end a text: the model's own, the tokenizer's, and `extra` if it is one token."""
    named = model.generation_config.eos_token_id
    ends = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    if extra in tokenizer.get_vocab():
        ends.add(tokenizer.convert_tokens_to_ids(extra))
    return frozenset(end for end in ends if end is not None)


def fingerprint(weights: ResolvedWeights) -> str:
    """The Hub's commit, or a hash of the local files: sizes, headers and samples of the weights.

    Sampled, since reading 16 GB would take longer than loading them: training changes every block.
    """
    if weights.revision:
        return weights.revision
    folder, digest = Path(weights.path), hashlib.sha256()
    if weights.gguf_file:
        files = [folder / weights.gguf_file]
    else:
        files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
    for file in files:
        size = file.stat().st_size
        digest.update(json.dumps([file.name, size]).encode())
        with file.open("rb") as source:
            for at in range(0, max(size, 1), max(_SAMPLE_BYTES, size // _SAMPLES)):
                source.seek(at)
                digest.update(source.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def memory_of(model: "PreTrainedModel") -> int:
    """Bytes of all weights, quantised ones as they are stored, packed ones twice."""
    from qeu.backends.packed_linear import packed_bytes

    return int(model.get_memory_footprint()) + packed_bytes(model)


def free_memory() -> None:
    """Give back what nothing refers to any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def explain_failure(error: BaseException, what: str) -> str:
    """One sentence for a person about a failure inside torch or transformers."""
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return (
            f"{what}: the memory is full. Ask for fewer rows or a shorter text, "
            "unload another model, or choose a smaller one."
        )
    return f"{what} ({type(error).__name__}: {text[:300]})."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or in the machine."""
    import torch

    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "can't allocate memory" in text or "out of memory" in text or "not enough memory" in text
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars on standard error while weights are read."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
