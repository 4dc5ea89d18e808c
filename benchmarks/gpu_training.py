"""QLoRA of models of the size of Phi-2 and Llama-3 8B on a GPU: tokens/s, peak memory, 16 GB?

`python -m benchmarks.gpu_training [phi-2|llama-3-8b]` trains random weights of the real shapes, in
NF4 with our trainer's settings for such a card: one packed row of 1,024 tokens a step, LoRA of rank
16 on all linear layers, checkpointing, paged 8-bit Adam. It needs a GPU: no figure of it is from
this repository's own machine, which has none. Without one the same runs on tiny shapes on the
processor, and every line says so: that tests the script, and tells nothing about a GPU.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.shaped import LORA_TARGETS, RANK, SHAPES, build_4_bit, make_config, make_tokenizer
from qeu.backends.memory_estimate import CARD_BYTES, estimate_training
from qeu.backends.model_shape import shape_of_config
from qeu.backends.precision import place, read_machine
from qeu.backends.quiet import hush_imports
from qeu.backends.train_model import keep_trainable
from qeu.backends.train_trainer import Step, make_trainer
from qeu.core.run_passport import LoraSettings, RunPassport, TrainingSettings, WatchSettings

LENGTH, STEPS, WARM_UP, ROWS = 1_024, 12, 2, 16
NO_GPU = "NO GPU WAS USED: tiny shapes on the processor, a test of the script alone"
_ANY_HASH = "0" * 64


class Counter:
    """A watcher that only notes the steps."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def on_ready(self) -> None:
        """Nothing to do."""

    def on_step(self, step: Step) -> None:
        """Note it."""
        self.steps.append(step)

    def wanted_stop(self) -> str:
        """Nobody wants it to end."""
        return ""

    def before_save(self, step: int) -> bool:
        """It goes on."""
        return False

    def on_checkpoint(self, step: int, made: Path) -> None:
        """Nothing to do."""


def make_passport(name: str, kind: str, on_gpu: bool, dtype: str) -> RunPassport:
    """The settings of the run, as a run's folder would hold them."""
    training = TrainingSettings(
        steps=STEPS,
        max_length=LENGTH if on_gpu else 64,
        optimizer="paged_adamw_8bit" if on_gpu else "adamw",
        compute_dtype=dtype,
        save_every=1_000_000,
        checkpointing=True,
    )
    lora = LoraSettings(RANK, 2 * RANK, 0.05, tuple(LORA_TARGETS[kind]))
    hashes = {"data_hash": _ANY_HASH, "tokenizer_hash": _ANY_HASH, "layout_hash": _ANY_HASH}
    passport = RunPassport(
        name=name, created="", base=name, base_revision="random", layout="bonsai-v2",
        target="both", role="assistant", role_text="", dataset="random", records=ROWS,
        validation_records=0, validation_hash="", seed=0, **hashes,
    )  # fmt: skip
    return replace(passport, lora=lora, training=training, watch=WatchSettings(0, 0))


def make_rows(length: int) -> Any:
    """Full rows of random tokens of one text each: what packing comes to."""
    import torch
    from datasets import Dataset

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 256, (ROWS, length), generator=generator).tolist()
    return Dataset.from_list(
        [{"input_ids": row, "labels": row, "seq_lengths": [length]} for row in ids]
    )


def measure(name: str, device: str, dtype: str) -> tuple[float, int]:
    """(tokens/s behind the first steps, bytes at the most)."""
    import torch

    on_gpu = device == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    config = make_config(name, tiny=not on_gpu)
    model = build_4_bit(config, device, getattr(torch, dtype))
    # by this PEFT knows how to adapt it; a loaded model has it already
    model.is_loaded_in_4bit = True
    keep_trainable(model, getattr(torch, dtype))
    passport = make_passport(name, config.model_type, on_gpu, dtype)
    counter = Counter()
    with tempfile.TemporaryDirectory() as work:
        rows = make_rows(passport.training.max_length)
        trainer = make_trainer(model, make_tokenizer(), rows, passport, Path(work), counter, name)
        trainer.train()
    peak = torch.cuda.max_memory_allocated() if on_gpu else 0
    rates = [step.tokens_per_s for step in counter.steps[WARM_UP:]]
    return statistics.median(rates), peak


def main(names: Sequence[str]) -> int:
    """Print the figures of the named shapes, of all without a name."""
    hush_imports()
    placement = place(read_machine(), "nf4", exact=False, four_bit=True)
    on_gpu = placement.device == "cuda"
    mark = "" if on_gpu else "  (tiny, no GPU)"
    if not on_gpu:
        print(NO_GPU, flush=True)
    for name in names or SHAPES:
        speed, peak = measure(name, placement.device, placement.dtype)
        print(f"{name:11} qlora   {speed:8.0f} tokens/s at length {LENGTH:,}{mark}", flush=True)
        shape = shape_of_config(make_config(name, tiny=False).to_dict())
        assert shape is not None
        expected = estimate_training(shape, RANK, LENGTH).total
        fits = "fits" if (peak or expected) <= CARD_BYTES else "does not fit"
        told = f"{peak / 1e9:.2f} GB at most, " if on_gpu else ""
        print(f"{name:11} memory  {told}{expected / 1e9:.2f} GB estimated: {fits} in 16 GB{mark}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
