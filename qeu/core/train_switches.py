"""Options of `train` by the setting that each gives, for whoever writes and reads commands."""

TRAINING_OPTIONS = {
    "learning_rate": "--lr",
    "schedule": "--schedule",
    "warmup_steps": "--warmup",
    "batch_size": "--batch",
    "accumulation": "--accumulation",
    "max_length": "--length",
    "optimizer": "--optimizer",
    "weight_decay": "--weight-decay",
    "compute_dtype": "--dtype",
    "save_every": "--save-every",
    "gradient_clip": "--clip",
}
TRAINING_SWITCHES = {"packing": "--packing", "checkpointing": "--checkpointing"}
LORA_OPTIONS = {"rank": "--rank", "dropout": "--dropout", "quantization": "--quantization"}
WATCH_OPTIONS = {
    "rows": "--watch-rows",
    "samples": "--samples",
    "sample_tokens": "--sample-tokens",
    "best": "--best",
    "patience": "--patience",
}
VARIANT_OPTIONS = {
    "layout": "--layout",
    "target": "--target",
    "reasoning": "--reasoning",
    "reasoning_dropout": "--drop-reasoning",
    "seed": "--seed",
}


def default_alpha(rank: int) -> int:
    """The adapter's scale where nobody names one."""
    return 2 * rank


def default_double(quantization: str) -> bool:
    """Whether the constants of the quantisation are quantised too, where nobody says so."""
    return quantization == "nf4"
