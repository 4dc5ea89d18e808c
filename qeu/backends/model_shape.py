"""How many numbers a model has of which kind, from its configuration or its files' headers.

Counts only; what they take in memory is for memory_estimate.py to say.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What stays in 16 bits when a model is quantised: the embedding and the output matrix.
_KEPT = re.compile(r"(embed|wte|wpe|lm_head|output\.weight)")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_EMBEDDING = re.compile(r"(embed_tokens|embed_in|wte)\.weight$")


@dataclass(frozen=True)
class ModelShape:
    """What a model's memory depends on; all are counts of numbers, not bytes.

    `matrices` are the (out, in) of its layers' linear weights, which 4 and 8 bits squeeze; `other`
    is everything else; `head` the output matrix, also where it is the embedding itself; `cached`
    what one token of one row leaves in the cache. A count of 0 is not known.
    """

    matrices: tuple[tuple[int, int], ...]
    other: int
    head: int = 0
    cached: int = 0
    context: int = 0
    layers: int = 0
    hidden: int = 0
    vocabulary: int = 0

    @property
    def in_matrices(self) -> int:
        """Numbers in the layers' linear weights."""
        return sum(rows * columns for rows, columns in self.matrices)

    @property
    def parameters(self) -> int:
        """All numbers."""
        return self.in_matrices + self.other


# Public facts from each repository's config.json, so that a need is known before any download.
_LLAMA_3_8B = {
    "model_type": "llama", "hidden_size": 4_096, "intermediate_size": 14_336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "vocab_size": 128_256, "max_position_embeddings": 8_192,
}  # fmt: skip
KNOWN_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "microsoft/phi-2": {
        "model_type": "phi", "hidden_size": 2_560, "intermediate_size": 10_240,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "vocab_size": 51_200, "max_position_embeddings": 2_048,
    },
    "unsloth/llama-3-8b-instruct": _LLAMA_3_8B,
    "unsloth/llama-3-8b-instruct-bnb-4bit": _LLAMA_3_8B,
    "meta-llama/meta-llama-3-8b-instruct": _LLAMA_3_8B,
    "huggingfacetb/smollm2-135m-instruct": {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1_536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49_152, "max_position_embeddings": 8_192, "tie_word_embeddings": True,
    },
    "qwen/qwen2.5-7b-instruct": {
        "model_type": "qwen2", "hidden_size": 3_584, "intermediate_size": 18_944,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152_064, "max_position_embeddings": 32_768,
    },
    "qwen/qwen2.5-1.5b-instruct": {
        "model_type": "qwen2", "hidden_size": 1_536, "intermediate_size": 8_960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "vocab_size": 151_936, "max_position_embeddings": 32_768, "tie_word_embeddings": True,
    },
}  # fmt: skip


def known_shape(repo: str) -> ModelShape | None:
    """The shape of a Hub repository of the table, before anything of it is here."""
    config = KNOWN_CONFIGS.get(repo.lower())
    return shape_of_config(config) if config else None


def shape_of_config(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape of a Phi, Llama or Qwen2 model from its configuration; None for other kinds."""
    kind, hidden = config.get("model_type"), config.get("hidden_size", 0)
    inner, layers = config.get("intermediate_size", 0), config.get("num_hidden_layers", 0)
    vocabulary = config.get("vocab_size", 0)
    if kind not in ("phi", "llama", "qwen2") or not (hidden and inner and layers and vocabulary):
        return None
    heads, keys, size = _heads(config)
    queries, values = heads * size, keys * size
    attention = [(queries, hidden), (values, hidden), (values, hidden), (hidden, queries)]
    tied = bool(config.get("tie_word_embeddings"))
    head = vocabulary * hidden
    other = head if tied else 2 * head
    if kind == "phi":
        layer = [*attention, (inner, hidden), (hidden, inner)]
        biases = sum(rows for rows, _ in layer)
        # one norm a layer with weight and bias, a last one, and the output's own bias
        other += layers * (biases + 2 * hidden) + 2 * hidden + vocabulary
    else:
        layer = [*attention, (inner, hidden), (inner, hidden), (hidden, inner)]
        biases = queries + 2 * values if kind == "qwen2" else 0
        other += layers * (biases + 2 * hidden) + hidden
    return _complete(config, tuple(layer * layers), other, head)


def shape_of_tensors(
    tensors: Iterable[tuple[str, tuple[int, ...]]], config: Mapping[str, Any]
) -> ModelShape:
    """The shape of a model whose tensors' names and shapes are known, as in safetensors headers."""
    from math import prod

    matrices, other, head, embedding = [], 0, 0, 0
    for name, shape in tensors:
        if len(shape) == 2 and name.endswith(".weight") and not _KEPT.search(name):
            matrices.append((shape[0], shape[1]))
            continue
        other += prod(shape)
        if _HEAD.search(name):
            head = prod(shape)
        elif _EMBEDDING.search(name):
            embedding = prod(shape)
    return _complete(config, tuple(matrices), other, head or embedding)


def _complete(
    config: Mapping[str, Any], matrices: tuple[tuple[int, int], ...], other: int, head: int
) -> ModelShape:
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    layers = _first(text, "num_hidden_layers", "n_layer")
    _, keys, size = _heads(text)
    return ModelShape(
        matrices=matrices,
        other=other,
        head=head,
        cached=2 * layers * keys * size,
        context=_first(text, "max_position_embeddings", "n_positions"),
        layers=layers,
        hidden=_first(text, "hidden_size", "n_embd"),
        vocabulary=_first(text, "vocab_size"),
    )


def _heads(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(heads, heads of keys and values, numbers of each); 0 where the file does not say."""
    heads = _first(config, "num_attention_heads", "n_head")
    hidden = _first(config, "hidden_size", "n_embd")
    keys = _first(config, "num_key_value_heads") or heads
    size = _first(config, "head_dim") or (hidden // heads if heads else 0)
    return heads, keys, size


def _first(config: Mapping[str, Any], *names: str) -> int:
    values = (config.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and v > 0), 0)
