"""Turn a GGUF file into a safetensors folder, in a child process of its own.

`run_conversion` starts the child and passes its progress on; `python -m qeu.backends.convert
FOLDER GGUF_FILE TARGET` is the child. It ends by itself when its parent is gone.
"""

import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from qeu.backends.child import leave_with_parent, run_child
from qeu.backends.wheel import Progress
from qeu.core.errors import QeuError

PARTS = 4
_SAMPLES = (
    "Hello  world, it's 3:45pm.\n\n1. First\n2. Second",
    "こんにちは。世界は広い、2024年です。",
    "请用中文回答:你好吗?",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>",
    "<|system|>s\n<|instruction|>i\n<|context|>c\n<|reasoning|>r\n<|response|>a",
)


def run_conversion(
    gguf: Path,
    target: Path,
    progress: Callable[[Progress], None],
    stop: threading.Event | None = None,
) -> None:
    """Convert in a child process, so that a page stays quick and a stop is clean."""
    log = target.parent / "convert.log"

    def on_line(line: bytes) -> None:
        if line.startswith(b'{"step":'):  # libraries may print lines of their own
            progress(Progress(**json.loads(line)))

    code = run_child(
        "qeu.backends.convert",
        [str(gguf.parent), gguf.name, str(target)],
        log,
        environ={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        stop=stop,
        on_line=on_line,
    )
    if code:
        raise _explain(code, log.read_text("utf-8", "replace"), target)


def _explain(code: int, log: str, target: Path) -> QeuError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    last = (errors or lines or [f"exit code {code}"])[-1][:300]
    if "No space left" in log or "os error 28" in log:
        return QeuError(
            f"The disk of {target.parent.parent} is full: the converted weights need about 300 MB. "
            "Free some space, or set QEU_CACHE to a folder on another disk."
        )
    if "gguf" in last and ("No module named" in last or "ImportError" in last):
        return QeuError("The package `gguf` is missing. Run `pip install gguf` and try again.")
    if code in (-9, 137) or "MemoryError" in log:
        return QeuError(
            "The conversion of the embedded model was killed, probably for lack of memory: "
            "it needs about 1.5 GB. Close other programs and try again."
        )
    return QeuError(f"The embedded model could not be converted ({last}). Try again.")


def convert(folder: str, gguf_file: str, target: str) -> None:
    """Load the GGUF once through transformers and save bfloat16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    _report("convert", 0)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
    _restore_digit_split(tokenizer)
    _report("convert", 1)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf_file,
        dtype=torch.bfloat16,
        # without it save_pretrained refuses, although the weights are dense
        quantization_config=GgufConfig(dequantize=True),
    )
    _report("convert", 2)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.config.rms_norm_eps = round(model.config.rms_norm_eps, 12)  # 9.99…e-06, a float32 1e-5
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    assert None not in ids.values(), ids
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _report("convert", 3)
    saved = AutoTokenizer.from_pretrained(target)
    for text in _SAMPLES:
        assert saved(text).input_ids == tokenizer(text).input_ids, f"tokenizer differs: {text!r}"
    assert saved.chat_template, "the chat template was lost"
    _report("convert", PARTS)


def _restore_digit_split(tokenizer: object) -> None:
    r"""Split digits off before byte-level BPE, as SmolLM2 was trained.

    The GGUF names this ("tokenizer.ggml.pre" = smollm: `\p{N}` first), transformers 5.23 ignores
    it, and "\n\n1." then becomes two line breaks instead of the one token the model knows.
    """
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[attr-defined]
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _report(step: str, done: int) -> None:
    print(json.dumps({"step": step, "done": done, "total": PARTS, "unit": "parts"}), flush=True)


if __name__ == "__main__":
    leave_with_parent()
    convert(*sys.argv[1:4])
