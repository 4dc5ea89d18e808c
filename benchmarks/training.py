"""How fast training is: our launcher beside plain recipes, its overhead, its start, its reading.

`python -m benchmarks.training [--quick] [--rounds 3]` trains the embedded model on the shipped
records, each recipe in a process of its own, one after the other in every round; every figure is a
ratio within a round, and its median over the rounds stands beside the goal. About 12 minutes on 2
cores; `--quick` only shows that it works. Tokens are real ones: padding counts nothing.

ours     our launcher: packed rows of 1,024, NF4, tuned memory, nothing watched
bare     a TRL script with the very same settings, packing and memory
lean     bare, with the loss that we compute: what is left is the launcher's own overhead
single   one text a step, not packed, the same memory settings
padded   what TRL does by itself: 8 padded texts a step, checkpointing, memory as it comes
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.train_shipped_adapter import VARIANT, read_records
from qeu.backends.catalog import find_model
from qeu.backends.training_encoder import TrainingEncoder, find_base
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.settings import Settings
from qeu.core.training_example import make_example
from qeu.services.shipped_data import import_shipped
from qeu.services.train_order import TrainOrder
from qeu.services.train_spawn import MEMORY_AND_THREADS
from qeu.services.train_start import start_run
from qeu.store.filters import Filter
from qeu.store.run_folders import METRICS, RunFolder
from qeu.store.workspace import Workspace

BASE, LENGTH, WARM_UP = "smollm2-135m", 1024, 2
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = LoraSettings(16, 32, 0.05, TARGETS)
RECIPES = ("ours", "bare", "lean", "single", "padded")
LOGGED_STEPS, READS = 100_000, 20
_PATIENCE_S = 600
Rates = dict[str, list[float]]


def main(argv: Sequence[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=22, help="measured a recipe and round")
    parser.add_argument("--only", choices=("speed", "reading"), default="")
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.seconds = 1, 6
        print("quick: too few steps for figures that mean anything")
    if args.only != "speed":
        show_reading()
    if args.only != "reading":
        show_speed(args.rounds, args.seconds)
    return 0


def show_speed(rounds: int, seconds: float) -> None:
    """Train by every recipe in every round, and print the ratios."""
    rates: Rates = {name: [] for name in RECIPES}
    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="qeu-bench-") as home:
        settings = make_settings(Path(home))
        workspace = Workspace(settings.home / "qeu.db")
        import_shipped(workspace)
        rows = Path(home) / "rows.jsonl"
        write_rows(rows, settings)
        for at in range(rounds):
            # another order in every round: whoever comes first does not always
            for name in (*RECIPES[at % len(RECIPES) :], *RECIPES[: at % len(RECIPES)]):
                if name == "ours":
                    rate, start = run_ours(workspace, settings, f"r{at}", seconds)
                    starts.append(start)
                else:
                    rate = run_plain(name, rows, settings, seconds)
                rates[name].append(rate)
                print(f"round {at + 1} {name:8} {rate:8.0f} tokens/s", flush=True)
        workspace.close()
    goals = {"single": 1.3, "padded": 2.5, "bare": 0.97, "lean": 0.97}
    for other, low in goals.items():
        found = ratios(rates, "ours", other)
        middle, spread = statistics.median(found), f"{min(found):.2f} to {max(found):.2f}"
        name, goal = f"ours beside {other}", f"at least {low}"
        print(f"{name:24} {middle:7.2f} x   goal {goal:14} {met(middle >= low)}   {spread}")
    middle, goal = statistics.median(starts), "at most 20"
    print(f"{'start to first step':24} {middle:7.1f} s   goal {goal:14} {met(middle <= 20)}")


def ratios(rates: Rates, one: str, other: str) -> list[float]:
    """How many times as fast, round by round."""
    return [a / b for a, b in zip(rates[one], rates[other], strict=True)]


def met(is_met: bool) -> str:
    """A goal's sign."""
    return "met" if is_met else "MISSED"


def make_settings(home: Path) -> Settings:
    """A workspace and adapters of their own; the weights are those of this machine."""
    real = Settings.from_env(os.environ)
    return Settings(home=home / "home", adapters=home / "adapters", cache=real.cache, device="cpu")


def make_order(name: str, steps: int) -> TrainOrder:
    """Our launcher's settings with nothing watched; saved once, when all is measured."""
    return TrainOrder(
        name=name,
        base=BASE,
        dataset="shipped",
        where=Filter(language=("en",), split=("train",)),
        variant=VARIANT,
        lora=LORA,
        training=TrainingSettings(steps=steps, max_length=LENGTH, save_every=steps),
        watch=WatchSettings(rows=0, samples=0),
    )


def run_ours(
    workspace: Workspace, settings: Settings, name: str, seconds: float
) -> tuple[float, float]:
    """(tokens/s behind the first steps, seconds from the order to the first step's figures)."""
    # a step takes at least a second here
    order = make_order(name, WARM_UP + 2 + round(seconds))
    began = time.time()
    folder = start_run(workspace, order, settings)
    first = 0.0
    while (status := folder.status()).is_open:
        if not first and folder.metrics().of("train"):
            first = time.time() - began
        if time.time() - began > _PATIENCE_S:
            raise SystemExit(f"{name} is still {status.state}: {folder.log_tail()}")
        time.sleep(0.05 if not first else 0.5)
    if status.state != "finished":
        raise SystemExit(f"{name} is {status.state}: {status.message} {folder.log_tail()}")
    points = [(int(line["tokens"]), seconds_of(line)) for line in folder.metrics().of("train")]
    return rate_of(points), first


def seconds_of(line: Mapping[str, object]) -> float:
    """The time of a line of metrics."""
    from datetime import datetime

    return datetime.fromisoformat(str(line["time"])).timestamp()


def rate_of(points: Sequence[tuple[int, float]]) -> float:
    """Tokens/s from (tokens so far, time) of each step; the first steps are not counted."""
    (tokens, began), (last, ended) = points[WARM_UP - 1], points[-1]
    return (last - tokens) / (ended - began)


def write_rows(path: Path, settings: Settings) -> None:
    """The examples as our launcher makes them, one a line: every recipe learns the same."""
    from transformers import AutoTokenizer

    weights = find_base(find_model(BASE), settings.cache_dir)
    encode = TrainingEncoder(AutoTokenizer.from_pretrained(weights.path))
    with path.open("w") as file:
        for record, _ in read_records("train"):
            example = make_example(record, VARIANT, encode, encode.end_id).cut(LENGTH)
            if example.learned_tokens():
                row = {"input_ids": list(example.input_ids), "labels": list(example.labels)}
                file.write(json.dumps(row) + "\n")


def run_plain(name: str, rows: Path, settings: Settings, seconds: float) -> float:
    """Tokens/s of a recipe in a process of its own."""
    weights = find_base(find_model(BASE), settings.cache_dir)
    order = make_order("plain", 1_000)
    told = {
        "recipe": name,
        "base": weights.path,
        "rows": str(rows),
        "seconds": seconds,
        "training": asdict(order.training),
        "lora": asdict(order.lora),
    }
    environ = dict(os.environ) | ({} if name == "padded" else MEMORY_AND_THREADS)
    command = [sys.executable, "-m", "benchmarks.training_recipes", json.dumps(told)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2_000:]}")
    return rate_of(json.loads(done.stdout.splitlines()[-1]))


def show_reading() -> None:
    """Read a long run as the page does, and print how long that takes."""
    from qeu.ui.train_reader import RunReader

    times = []
    with tempfile.TemporaryDirectory(prefix="qeu-bench-") as home:
        folder = RunFolder(Path(home))
        with (folder.path / METRICS).open("w") as file:
            for step in range(1, LOGGED_STEPS + 1):
                file.write(json.dumps(logged(step), separators=(",", ":")) + "\n")
        for _ in range(READS + 1):
            began = time.perf_counter()
            # a reader of its own each time: what is kept would be read in no time
            RunReader().curves(folder)
            times.append(1_000 * (time.perf_counter() - began))
    slow, middle = statistics.quantiles(times[1:], n=20)[-1], statistics.median(times[1:])
    what, goal = f"{LOGGED_STEPS:,} steps, page", "below 300"
    print(
        f"{what:24} {slow:7.0f} ms  goal {goal:14} {met(slow < 300)}   p95 of {READS}, "
        f"median {middle:.0f} ms"
    )


def logged(step: int) -> dict[str, object]:
    """One line of metrics as a run writes it."""
    return {
        "kind": "train",
        "step": step,
        "time": f"2026-01-02T{step // 3600 % 24:02}:{step // 60 % 60:02}:{step % 60:02}.123+00:00",
        "loss": 1.5 + 1 / step,
        "learning_rate": 2e-4 * (1 - step / LOGGED_STEPS),
        "grad_norm": 0.7 + 1 / step,
        "tokens": 480 * step,
        "tokens_per_s": 310.25,
        "memory": 2_600_000_000 + step,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
