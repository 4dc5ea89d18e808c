"""What a model will take in memory, computed before anything of it is loaded.

Inference: weights as they are held, the cache of one row of the whole context (8,192 tokens at
most), and OVERHEAD_BYTES for activations and torch itself. NF4 with double quantisation is half a
byte a weight, a byte for every 64 and 4 bytes for every 16,384 of them, and two small tables a
matrix; embeddings, output matrix, norms and biases stay in 16 bits.

Training (QLoRA) adds to the 4-bit weights, for LoRA of rank 16 on all linear layers, 10 bytes a
trained number (float32 weight and gradient, two 8-bit states of Adam), and the activations of one
row with checkpointing: every layer's input, the largest layer once, and the scores of the whole
vocabulary three times (16 bits, float32, their gradient). It is a formula, not a measurement.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qeu.backends.model_shape import ModelShape, known_shape
from qeu.backends.precision import QUANTISED

if TYPE_CHECKING:
    from qeu.backends.catalog import ModelCard
    from qeu.backends.folders import ResolvedWeights

# Beside the weights: activations, the cache of one small batch, and what torch itself takes.
OVERHEAD_BYTES = 200_000_000
MOST_CACHED_TOKENS = 8_192
# Below this, packed_linear.py keeps a second copy of a bfloat16 model's matrices on a processor.
PACKED_BELOW = 1_000_000_000
TRAINING_OVERHEAD_BYTES = 1_000_000_000
# A card sold as 16 GB (a T4, say) shows 15.8e9 bytes, of which the driver and a desktop take some.
CARD_BYTES = 15_000_000_000
_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
# The code of 16 floats, that of 256 floats for the scales, and their offset.
_NF4_TABLES = 4 * (16 + 256 + 1)
_BLOCK, _SCALES_BLOCK = 64, 256


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they are for."""

    weights: int
    cache: int
    overhead: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.overhead


def estimate(
    source: "ModelCard | ResolvedWeights",
    precision: str,
    *,
    dtype: str = "bfloat16",
    device: str = "cpu",
) -> MemoryEstimate:
    """What loading a card's or a folder's weights in this precision takes; `dtype` computes.

    Where not even the number of weights is known, all is 0 but the overhead.
    """
    dtype = dtype if precision in QUANTISED else precision
    width = _WIDTH.get(dtype, 2)
    shape = shape_of(source)
    stored = stored_bytes(source)
    if stored:
        weights = stored
    elif shape is not None:
        weights = weights_bytes(shape, precision, width)
        if dtype == "bfloat16" and device == "cpu" and weights <= PACKED_BELOW:
            weights += 2 * (shape.head + (0 if precision in QUANTISED else shape.in_matrices))
    else:
        # nothing but a count: as if nine of ten numbers were in matrices
        shares = {"nf4": 0.66, "int8": 1.1}
        weights = round(_parameters(source) * shares.get(precision, width))
    overhead = OVERHEAD_BYTES
    cache = 0
    if shape is not None:
        cache = width * shape.cached * min(shape.context, MOST_CACHED_TOKENS)
        if precision in QUANTISED and shape.matrices:
            # unpacked one at a time for products with many rows
            overhead += width * max(rows * columns for rows, columns in shape.matrices)
    return MemoryEstimate(weights, cache, overhead)


def weights_bytes(shape: ModelShape, precision: str, width: int = 2) -> int:
    """The weights alone; what a quantised model does not squeeze has `width` bytes a number."""
    if precision == "nf4":
        return width * shape.other + sum(_nf4_bytes(*matrix) for matrix in shape.matrices)
    if precision == "int8":
        scales = 4 * sum(rows for rows, _ in shape.matrices)
        return width * shape.other + shape.in_matrices + scales
    return _WIDTH[precision] * shape.parameters


def _nf4_bytes(rows: int, columns: int) -> int:
    blocks = -(-rows * columns // _BLOCK)
    return -(-rows * columns // 2) + blocks + 4 * -(-blocks // _SCALES_BLOCK) + _NF4_TABLES


def estimate_training(shape: ModelShape, rank: int = 16, tokens: int = 1_024) -> MemoryEstimate:
    """QLoRA of one row of `tokens` a step, by the formula above; `cache` are the activations."""
    trained = rank * sum(rows + columns for rows, columns in shape.matrices)
    checkpoints = 2 * shape.layers * tokens * shape.hidden
    per_layer = shape.matrices[: len(shape.matrices) // shape.layers]
    # inputs and outputs of every matrix of a layer, in 16 bits and once more in float32 for LoRA
    layer = 6 * tokens * sum(rows + columns for rows, columns in per_layer)
    scores = tokens * shape.vocabulary * (2 + 4 + 4)
    unpacked = 2 * max(rows * columns for rows, columns in shape.matrices)
    return MemoryEstimate(
        weights_bytes(shape, "nf4") + 10 * trained,
        checkpoints + layer + scores + unpacked,
        TRAINING_OVERHEAD_BYTES,
    )


@dataclass(frozen=True)
class MemoryRow:
    """One line of the table of what fits; `fits` is for a card of 16 GB."""

    what: str
    precision: str
    estimate: MemoryEstimate

    @property
    def fits(self) -> bool:
        """Whether a card sold as 16 GB has room for it."""
        return self.estimate.total <= CARD_BYTES


def memory_table() -> tuple[MemoryRow, ...]:
    """What Phi-2 and Llama-3 8B take on a GPU, apart, together, and in training: all estimates."""
    names = {"Phi-2": "microsoft/phi-2", "Llama-3 8B": "unsloth/llama-3-8b-instruct"}
    shapes = {label: known_shape(repo) for label, repo in names.items()}
    rows = [
        MemoryRow(label, precision, _on_gpu(shape, precision))
        for label, shape in shapes.items()
        if shape
        for precision in ("nf4", "int8", "bfloat16", "float32")
    ]
    both = [row.estimate for row in rows if row.precision == "nf4"]
    together = MemoryEstimate(
        sum(e.weights for e in both), sum(e.cache for e in both), max(e.overhead for e in both)
    )
    rows.append(MemoryRow(" + ".join(names), "nf4", together))
    rows += [
        MemoryRow(f"{label}, QLoRA", "nf4", estimate_training(shape))
        for label, shape in shapes.items()
        if shape
    ]
    return tuple(rows)


def _on_gpu(shape: ModelShape, precision: str) -> MemoryEstimate:
    from qeu.backends.folders import ResolvedWeights

    weights = ResolvedWeights("", None, None, 0, parameters=shape.parameters, shape=shape)
    return estimate(weights, precision, device="cuda")


def shape_of(source: "ModelCard | ResolvedWeights") -> ModelShape | None:
    """The shape of weights that are here, else that of a repository of the table."""
    found = getattr(source, "shape", None)
    return found or known_shape(getattr(source, "hub_repo", ""))


def stored_bytes(source: "ModelCard | ResolvedWeights") -> int:
    """Bytes of weights that are quantised in their files and stay so; 0 for others."""
    if getattr(source, "quantised", "") or getattr(source, "dtype", "") in ("U8", "I8"):
        return source.bytes  # type: ignore[union-attr]
    known = getattr(source, "memory_bytes", 0)
    return known if 0 < known < 1.5 * source.parameters else 0


def _parameters(source: "ModelCard | ResolvedWeights") -> int:
    if source.parameters:
        return source.parameters
    return (getattr(source, "memory_bytes", 0) or getattr(source, "bytes", 0)) // 2
