"""Tiny random models, adapters and rows that the engine's tests share."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.base import Piece, Row
from qeu.backends.live_row import LiveRow
from qeu.backends.local import LocalModel
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt, Segment
from qeu.core.sampling import Sampling
from tests.tiny_checkpoints import build_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GREEDY = Sampling(greedy=True, repetition_penalty=1, max_new_tokens=24)
TEXTS = (
    "The capital of a country",
    "First read",
    "Creator should choose a place, a person and a wish, and let them meet in the first line. " * 3,
    "質問をよく読んでから、考え方を順に書きます。",
    "a",
    "12 times 13 is 156. Write the answer after the question, then think.",
    "Only then write the answer.",
    "You are a careful assistant who thinks before the answer is given. 先读问题，再想一想。",
)


@cache
def load_tiny(folder: Path, arch: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """A tiny model in float32 and its tokenizer, built once a test run."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = build_checkpoint(folder / arch, arch)  # type: ignore[arg-type]
    model = AutoModelForCausalLM.from_pretrained(path).eval().requires_grad_(False)
    return model, AutoTokenizer.from_pretrained(path)


def tiny_local(folder: Path, arch: str = "llama", **more: object) -> LocalModel:
    """A fresh loaded model on weights of its own: adapters change the layers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = folder / arch
    if not (path / "config.json").exists():
        build_checkpoint(path, arch)  # type: ignore[arg-type]
    model = AutoModelForCausalLM.from_pretrained(path).eval().requires_grad_(False)
    return LocalModel(f"tiny-{arch}", model, AutoTokenizer.from_pretrained(path), **more)  # type: ignore[arg-type]


def build_adapter(
    base: Path,
    folder: Path,
    seed: int = 0,
    base_name: str = "tiny-llama",
    scale: float = 0.5,
    **config: object,
) -> Path:
    """Save a random LoRA adapter that changes every layer's attention, by `scale`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"], **config}
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for name, weight in peft.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * scale
    peft.peft_config["default"].base_model_name_or_path = base_name
    peft.save_pretrained(folder, save_embedding_layers=False)
    return folder


def tagged(text: str) -> Prompt:
    """A prompt that is nothing but its text."""
    return Prompt("bonsai-v2", "answer", segments=(Segment("instruction", text),))


def live_rows(
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    sampling: Sampling | Sequence[Sampling] = GREEDY,
    **more: object,
) -> list[LiveRow]:
    """Rows for a batch, without loop or end detection unless asked."""
    settings = [sampling] * len(texts) if isinstance(sampling, Sampling) else sampling
    return [
        LiveRow(at, tokenizer(text, add_special_tokens=False).input_ids, s, tokenizer, **more)  # type: ignore[arg-type]
        for at, (text, s) in enumerate(zip(texts, settings, strict=True))
    ]


def generate(
    model: LocalModel,
    texts: Sequence[str],
    sampling: Sampling = GREEDY,
    adapters: Sequence[str | None] | None = None,
    emit: Callable[[Piece], None] | None = None,
    exact: bool = False,
) -> list[Generation]:
    """Run texts as tagged prompts, one adapter a row."""
    names = adapters or [None] * len(texts)
    rows = [Row(tagged(t), sampling, name) for t, name in zip(texts, names, strict=True)]
    return model.generate(rows, emit, exact=exact)
