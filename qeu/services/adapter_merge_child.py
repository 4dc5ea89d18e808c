"""Child process of `merge_adapter`: read base and adapter, merge them, save the model.

`python -m qeu.services.adapter_merge_child BASE GGUF_FILE ADAPTER NAME FOLDER DTYPE`
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qeu.backends.adapter_check import changes_nothing, check_shapes, read_config
from qeu.backends.adapter_files import open_adapter
from qeu.backends.child import leave_with_parent
from qeu.backends.quiet import hush_imports, quiet_libraries
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from torch import Tensor

SHARD_BYTES = 2_000_000_000
PARTS = 4
_TRIED_TOKENS = 16
# Of the adapter's own effect on the scores: 16-bit weights round some of it off.
_MOST_LOST = 0.5
_SAMPLES = ("Hello  world, it's 3:45pm.\n\n1. First", "こんにちは、2024年です。", "<|system|>\ns")


def merge(base: str, gguf_file: str, adapter_path: str, name: str, folder: str, dtype: str) -> None:
    """Save the merged model and the base's tokenizer into an empty folder.

    Raises QeuError where the adapter does not fit, or the merged model computes something else.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = open_adapter(Path(adapter_path), name)
    config = read_config(adapter)
    _report("read", 0)
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=getattr(torch, dtype), local_files_only=True, **_how(gguf_file)
    ).eval()
    check_shapes(adapter, config, model)
    changes_nothing(adapter)  # raises for NaN and infinity
    _report("read", 1)
    alone = _scores(model)
    peft = PeftModel.from_pretrained(model, adapter_path, autocast_adapter_dtype=False).eval()
    adapted = _scores(peft)
    _report("merge", 2)
    merged: Any = peft.merge_and_unload(safe_merge=True)
    _check_same(name, alone, adapted, _scores(merged))
    _report("save", 3)
    merged.save_pretrained(folder, max_shard_size=SHARD_BYTES)
    tokenizer = AutoTokenizer.from_pretrained(
        base, local_files_only=True, **({"gguf_file": gguf_file} if gguf_file else {})
    )
    tokenizer.save_pretrained(folder)
    saved = AutoTokenizer.from_pretrained(folder)
    for text in _SAMPLES:
        assert saved(text).input_ids == tokenizer(text).input_ids, f"tokenizer differs: {text!r}"
    _report("save", PARTS)


def _how(gguf_file: str) -> dict[str, object]:
    if not gguf_file:
        return {"use_safetensors": True}
    from transformers import GgufConfig

    return {"gguf_file": gguf_file, "quantization_config": GgufConfig(dequantize=True)}


def _scores(model: Any) -> "Tensor":
    import torch

    columns = torch.arange(1, _TRIED_TOKENS + 1)[None]
    ids = columns % model.config.get_text_config(decoder=True).vocab_size
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits.float()


def _check_same(name: str, alone: "Tensor", adapted: "Tensor", merged: "Tensor") -> None:
    """Refuse a merge that lost its adapter, as one into matrices that two layers share does."""
    effect = float((adapted - alone).norm())
    lost = float((merged - adapted).norm())
    rounding = 0.02 * float(adapted.norm())
    if not lost <= max(_MOST_LOST * effect, rounding):
        raise QeuError(
            f"Merged into the base, adapter {name!r} does not do what it does beside it "
            "(it adapts a matrix that two layers share). Use it as MODEL@ADAPTER."
        )


def _report(step: str, done: int) -> None:
    print(json.dumps({"step": step, "done": done, "total": PARTS, "unit": "parts"}), flush=True)


def main() -> None:
    """Merge what the arguments name; a sentence for a person goes to standard output."""
    leave_with_parent()
    hush_imports()
    try:
        with quiet_libraries():
            merge(*sys.argv[1:7])
    except QeuError as e:
        print(json.dumps({"error": str(e)}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
