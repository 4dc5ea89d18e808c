"""Read weights and tokenizer into memory, in the dtype and on the device that suit the machine."""

import contextlib
import ctypes
import gc
import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.failures import explain_failure, is_out_of_memory
from qeu.backends.folders import ResolvedWeights
from qeu.backends.precision import QUANTISED, Placement
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SAMPLE_BYTES = 1 << 16
_SAMPLES = 256
OnParts = Callable[[int, int], None]


def load_weights(
    name: str,
    weights: ResolvedWeights,
    placement: Placement,
    tell: OnParts = lambda done, total: None,
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load from a folder on this disk; only safetensors and GGUF, never code of the model's own.

    `tell` hears how many of its tensors are read; what it raises ends the load.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from qeu.backends.float32_scores import widen_scores
    from qeu.backends.packed_linear import pack_linears

    common = {"local_files_only": True, "trust_remote_code": False}
    if weights.gguf_file:
        common["gguf_file"] = weights.gguf_file
    try:
        with watched_reading(tell):
            tokenizer = AutoTokenizer.from_pretrained(weights.path, **common)
            model = AutoModelForCausalLM.from_pretrained(
                weights.path,
                dtype=getattr(torch, placement.dtype),
                **common,
                **_how(weights, placement),
            )
            if not getattr(model, "hf_device_map", None) and model.device.type != placement.device:
                model.to(placement.device)
    except (MemoryError, RuntimeError, OSError, ValueError, ImportError, KeyError) as e:
        if is_out_of_memory(e):
            raise  # the caller knows how much was expected
        free_memory()
        raise QeuError(explain_failure(e, f"{name} could not be loaded")) from e
    model.eval().requires_grad_(False)
    widen_scores(model)
    keep_unpackable(model)
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
    if placement.precision not in QUANTISED or weights.quantised:
        return found
    from transformers import BitsAndBytesConfig

    found["device_map"] = {"": 0 if placement.device == "cuda" else "cpu"}
    if placement.precision == "int8":
        found["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    else:
        found["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, placement.dtype),
        )
    return found


def keep_unpackable(model: "PreTrainedModel") -> None:
    """Leave 4-bit matrices whose sizes the processor's own layout does not take as they are.

    On processors with AVX512-BF16 bitsandbytes (0.50.2) lays a matrix out anew at its first use,
    and fails on one whose rows are no multiple of 32 or whose columns are none of 64.
    """
    for layer in model.modules():
        if getattr(layer, "support_avx512bf16_for_cpu", False) and (
            layer.out_features % 32 or layer.in_features % 64
        ):
            layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


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


def free_memory() -> None:
    """Give back what nothing refers to any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # only glibc keeps what was given back
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class _WatchedBar:
    """Stands for transformers' progress bar and tells every step of it."""

    def __init__(self, items: Collection[object], tell: OnParts) -> None:
        self._items, self._tell = items, tell

    def __iter__(self) -> Iterator[object]:
        total = len(self._items)
        for done, item in enumerate(self._items):
            self._tell(done, total)
            yield item
        self._tell(total, total)


@contextlib.contextmanager
def watched_reading(tell: OnParts) -> Iterator[None]:
    """No progress bars on standard error while weights are read; `tell` hears the steps.

    Transformers has one hook for the whole process: the caller lets one load run at a time.
    """
    from transformers.utils import logging as bars

    def make_bar(factory: Callable[..., object], args: tuple, kwargs: dict) -> object:
        if kwargs.get("desc") == "Loading weights" and args:
            return _WatchedBar(args[0], tell)
        return factory(*args, **kwargs)

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    hook = bars.set_tqdm_hook(make_bar)
    try:
        yield
    finally:
        bars.set_tqdm_hook(hook)
        if shown:
            bars.enable_progress_bar()
