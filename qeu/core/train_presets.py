"""Settings to begin with, by model and machine, each with where its numbers come from."""

from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings

# of the authors of the QLoRA paper (arXiv 2305.14314)
_QLORA = "https://github.com/artidoro/qlora/blob/main/scripts/finetune_guanaco_7b.sh"
_TRL = "https://github.com/huggingface/trl/blob/main/examples/notebooks/sft_trl_lora_qlora.ipynb"
_HERE = "benchmarks/train_shipped_adapter.py"


@dataclass(frozen=True)
class Preset:
    """A start for one base on one kind of machine; `epochs` 0: the steps say how long.

    `source` says where the numbers come from and which are our own choice, `url` where to read it.
    Adapters of all linear layers have no `target_modules` here: the base's own names are filled in.
    """

    id: str
    label: str
    base: str
    needs: str
    lora: LoraSettings
    training: TrainingSettings
    watch: WatchSettings
    epochs: float
    source: str
    url: str

    def to_json(self) -> dict[str, object]:
        """Plain values of what is told about it."""
        names = ("id", "label", "base", "needs", "epochs", "source", "url")
        return {name: getattr(self, name) for name in names}


def _big(dtype: str, batch: int, accumulation: int, length: int, rate: float) -> TrainingSettings:
    """A model of billions on one GPU: 16 rows a step, however few fit at once."""
    return TrainingSettings(
        learning_rate=rate,
        schedule="cosine",
        warmup_steps=10,
        batch_size=batch,
        accumulation=accumulation,
        max_length=length,
        packing=False,
        optimizer="paged_adamw_8bit",
        compute_dtype=dtype,
        save_every=50,
        gradient_clip=0.3,
        checkpointing=True,
    )


_BIG_LORA = LoraSettings(rank=16, alpha=32, dropout=0.05)
_BIG_WATCH = WatchSettings(rows=64, samples=8, sample_tokens=200, best="loss", patience=0)

PRESETS = (
    Preset(
        "smollm2-135m-demo",
        "SmolLM2 135M, 60 steps on a processor",
        "smollm2-135m",
        "2 processor cores, 3 GB of memory",
        LoraSettings(rank=16, alpha=32, dropout=0.05),
        TrainingSettings(steps=60, learning_rate=5e-4, warmup_steps=5, max_length=512),
        WatchSettings(rows=16, samples=4, sample_tokens=120),
        0.0,
        "4 bits, all linear layers and packed rows of 512 tokens as measured on two cores; "
        "the rate is our choice, between the 2e-4 of large models and the shipped adapter's 1e-3.",
        _HERE,
    ),
    Preset(
        "smollm2-135m-shipped",
        "SmolLM2 135M, as the adapter that comes with the program",
        "smollm2-135m",
        "2 processor cores, 7 GB of memory, about half an hour",
        LoraSettings(rank=16, alpha=32, dropout=0.05),
        TrainingSettings(learning_rate=1e-3, warmup_steps=10, max_length=640, save_every=60),
        WatchSettings(rows=101, samples=8, sample_tokens=200, best="loss"),
        3.0,
        "Those of the adapter that comes with the program; its card tells what they brought.",
        _HERE,
    ),
    Preset(
        "phi-2-16gb",
        "Phi-2 on a 16 GB card (T4)",
        "phi-2",
        "a GPU with 16 GB that has no bfloat16, such as a T4",
        _BIG_LORA,
        _big("float16", 1, 16, 1024, 2e-4),
        _BIG_WATCH,
        2.0,
        "NF4 with double quantisation, float16, rows one at a time and a paged 8-bit optimiser as "
        "in TRL's notebook for a T4, whose rate of 2e-4 is the QLoRA authors' too; rank 16, 16 "
        "rows a step, clip 0.3 and two passes are our choice. Not run on such a card here.",
        _TRL,
    ),
    Preset(
        "phi-2-24gb",
        "Phi-2 on a 24 GB card",
        "phi-2",
        "a GPU with 24 GB and bfloat16",
        _BIG_LORA,
        _big("bfloat16", 4, 4, 1024, 2e-4),
        _BIG_WATCH,
        2.0,
        "NF4 with double quantisation, all linear layers, rate 2e-4, clip 0.3, 4 times 4 rows a "
        "step and bfloat16 as in the QLoRA authors' script for 7B; rank 16, cosine, two passes and "
        "length are our choice. Not run on such a card here.",
        _QLORA,
    ),
    Preset(
        "llama-3-8b-16gb",
        "Llama-3 8B on a 16 GB card (T4)",
        "llama-3-8b",
        "a GPU with 16 GB that has no bfloat16, such as a T4",
        _BIG_LORA,
        _big("float16", 1, 16, 512, 1e-4),
        _BIG_WATCH,
        2.0,
        "NF4 with double quantisation, float16, rows one at a time and a paged 8-bit optimiser as "
        "in TRL's notebook for a T4, which tells 10.9 GB for an 8B model; half of its rate of "
        "2e-4, rank 16 and length are our choice. Not run on such a card here.",
        _TRL,
    ),
    Preset(
        "llama-3-8b-24gb",
        "Llama-3 8B on a 24 GB card",
        "llama-3-8b",
        "a GPU with 24 GB and bfloat16",
        _BIG_LORA,
        _big("bfloat16", 2, 8, 1024, 1e-4),
        _BIG_WATCH,
        2.0,
        "NF4 with double quantisation, all linear layers, clip 0.3, 16 rows a step and bfloat16 as "
        "in the QLoRA authors' script for 7B; half of its rate of 2e-4, rank 16, cosine and length "
        "are our choice. Not run on such a card here.",
        _QLORA,
    ),
)


def presets_for(base: str) -> tuple[Preset, ...]:
    """The presets of a base; none for one that nobody has chosen numbers for."""
    return tuple(preset for preset in PRESETS if preset.base == base)


def find_preset(name: str) -> Preset:
    """The preset of this id; raises QeuError naming those that there are."""
    for preset in PRESETS:
        if preset.id == name:
            return preset
    names = ", ".join(preset.id for preset in PRESETS)
    raise QeuError(f"There is no preset {name[:80]!r}. Choose one of: {names}.")
