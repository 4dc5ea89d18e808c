"""Try a run's longest batch for one step and two measured ones, and leave nothing behind.

`python -m qeu.services.train_probe FOLDER` reads train.jsonl there, the passport as JSON from
standard input, and writes no file. It prints one JSON line: {"seconds_per_step", "tokens_per_step",
"peak_bytes", "free_bytes", "device"}, or {"trouble", "message", "advice"} where it fails.
"""

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.core.run_passport import RunPassport
from qeu.services.train_failure import explain_crash
from qeu.store.run_folders import RunFolder

if TYPE_CHECKING:
    from qeu.backends.train_trainer import Step

MEASURED = 2
_STATUS = Path("/proc/self/status")


class _Never:
    """Nobody stops a probe from within: its process is ended."""

    def is_set(self) -> bool:
        return False


class _Stopwatch:
    """The trainer's Watcher: keeps the steps, and ends before anything would be saved."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def on_ready(self) -> None:
        """The model is loaded: what is counted from here on are steps."""

    def on_step(self, step: "Step") -> None:
        self.steps.append(step)

    def wanted_stop(self) -> str:
        # asked within a step, before that one is told
        return "discard" if len(self.steps) == MEASURED else ""

    def before_save(self, step: int) -> bool:
        raise AssertionError(step)

    def on_checkpoint(self, step: int, made: Path) -> None:
        raise AssertionError(step)


def probe(folder: RunFolder, passport: RunPassport) -> dict[str, object]:
    """The measured values; raises what explain_crash explains."""
    from qeu.backends.memory import free_memory_bytes
    from qeu.backends.train_data import longest_rows, make_rows
    from qeu.backends.train_model import check_targets, load_base, load_tokenizer
    from qeu.backends.train_trainer import make_trainer
    from qeu.core.settings import Settings
    from qeu.services.train_run import choose_device, open_base, read_frozen
    from qeu.store.run_folders import TRAIN

    settings = Settings.from_env(os.environ)
    _, weights = open_base(passport, settings)
    device = choose_device(passport, settings)
    free = free_memory_bytes(device.partition(":")[0])
    tokenizer = load_tokenizer(weights)
    learned = read_frozen(folder, TRAIN, passport, tokenizer, _Never())
    training = passport.training
    rows = make_rows((one.example for one in learned), training.max_length, training.packing)
    # the same rows in every step, which are those that take the most
    chosen = longest_rows(rows, training.batch_size * training.accumulation)
    rows = rows.select(chosen)
    model = load_base(passport.base, weights, passport.lora, training, device)
    check_targets(model, passport.lora, passport.base)
    # one step more than are made: at the last one it would save
    few = replace(training, steps=1 + MEASURED + 1, save_every=1_000_000)
    watch = _Stopwatch()
    with tempfile.TemporaryDirectory(prefix="qeu-probe-") as work:
        short = replace(passport, training=few)
        trainer = make_trainer(model, tokenizer, rows, short, Path(work), watch, passport.base)
        trainer.train()
    warm, *measured = watch.steps
    return {
        "seconds_per_step": sum(step.seconds for step in measured) / len(measured),
        "tokens_per_step": (measured[-1].tokens - warm.tokens) // len(measured),
        "peak_bytes": _peak_bytes(device, watch.steps),
        "free_bytes": free,
        "device": device,
    }


def _peak_bytes(device: str, steps: "Sequence[Step]") -> int:
    """The most memory that was taken at any moment so far, on a processor also within a step."""
    most = max(step.memory for step in steps)
    if device != "cpu":
        return most
    try:
        lines = _STATUS.read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return most
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return max(most, 1_024 * int(kilobytes))


def main(argv: Sequence[str]) -> int:
    """Probe with the records of a folder and print one JSON line; 1 where it fails."""
    parser = argparse.ArgumentParser(prog="qeu.services.train_probe", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with train.jsonl")
    folder = RunFolder(parser.parse_args(argv).folder.resolve())
    passport = RunPassport.from_json(json.load(sys.stdin))
    try:
        found = probe(folder, passport)
    except Exception as error:
        traceback.print_exc()
        failure = explain_crash(error, passport, begun=False)
        found = {"trouble": failure.trouble, "message": failure.message, "advice": failure.advice}
    print(json.dumps(found), flush=True)
    return 1 if "trouble" in found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
