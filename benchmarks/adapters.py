"""What it costs to change the adapter of a side, as differences inside one run.

`python -m benchmarks.adapters [--rounds N] [--json FILE]` prints one line a figure: the median over
interleaved rounds, the rounds, and the goal. Each round times, one after the other, the same
request with the adapter that spoke before and with another one that is in memory too; order and
pairs change from round to round, because the machine's speed drifts more than the figures differ.

switch   time to the first token after the adapter was changed - time to it with the same one
mixed    the same, the other request being one row of the base and one of the adapter
return   the same, back from an adapter to the base alone
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qeu.backends.base import Row
from qeu.backends.local import LocalModel
from qeu.backends.shelf import Shelf
from qeu.core.prompts import Prompt, render
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings

MODEL = "smollm2-135m"
GOAL_MS = 20.0
ROUNDS = 20
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Fixed, so that figures of different days compare.
SYSTEM = "You are a helpful AI assistant. Answer in one sentence."
ONE_TOKEN = Sampling(greedy=True, repetition_penalty=1, max_new_tokens=1)


@dataclass(frozen=True)
class Figure:
    """One difference in milliseconds with its rounds, and the goal it is held to."""

    name: str
    rounds_ms: tuple[float, ...]
    goal_ms: float = GOAL_MS

    @property
    def median_ms(self) -> float:
        """The figure itself."""
        return statistics.median(self.rounds_ms)

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.median_ms <= self.goal_ms

    def __str__(self) -> str:
        rounds = " ".join(f"{value:.0f}" for value in sorted(self.rounds_ms))
        verdict = "reached" if self.reached else "MISSED"
        figure = f"{self.name:7} {self.median_ms:6.1f} ms  goal ≤ {self.goal_ms:g} ms: {verdict}"
        return f"{figure}  [{rounds}]"


class Bench:
    """The warm engine with two adapters in memory."""

    def __init__(self, folder: Path) -> None:
        settings = replace(Settings.from_env(os.environ), adapters=folder)
        self.model = Shelf(settings).load(MODEL)
        for seed, name in enumerate(("one", "two")):
            build_random_adapter(self.model, folder / name, seed)
        for names in (["one"], ["two"], [None], [None, "one"], [None, "two"]):
            self.ask(*names)  # in memory, and every way once

    def ask(self, *names: str | None) -> float:
        """Seconds until the call with one new token a row is back; the engine's own clock starts
        after the adapters are set, so the whole call is timed."""
        rows = [Row(_prompt(), ONE_TOKEN, name) for name in names]
        started = time.perf_counter()
        found = self.model.generate(rows, lambda piece: None)
        seconds = time.perf_counter() - started
        assert not [one.error for one in found if one.error], found[0].error
        return seconds

    def switch(self, at: int) -> float:
        """From one adapter to the other, against staying; each request follows its like."""
        first, second = ("one", "two") if at % 2 else ("two", "one")

        def change() -> float:
            self.ask(first)
            return self.ask(second)

        def stay() -> float:
            self.ask(second)
            return self.ask(second)

        return _difference(change, stay, at)

    def mixed(self, at: int) -> float:
        """From rows of one mixture to rows of another."""
        first, second = ("one", "two") if at % 2 else ("two", "one")

        def change() -> float:
            self.ask(None, first)
            return self.ask(None, second)

        def stay() -> float:
            self.ask(None, second)
            return self.ask(None, second)

        return _difference(change, stay, at)

    def back(self, at: int) -> float:
        """From an adapter back to the base alone."""

        def change() -> float:
            self.ask("one")
            return self.ask(None)

        def stay() -> float:
            self.ask(None)
            return self.ask(None)

        return _difference(change, stay, at)


def build_random_adapter(model: LocalModel, folder: Path, seed: int) -> None:
    """A LoRA adapter of rank 16 on every linear layer of the loaded model, small random numbers."""
    import torch
    from safetensors.torch import save_file

    assert model._model is not None
    generator, weights = torch.Generator().manual_seed(seed), {}
    for name, layer in model._model.named_modules():
        if name.endswith(TARGETS):
            for part, shape in (("A", (16, layer.in_features)), ("B", (layer.out_features, 16))):
                values = torch.randn(shape, generator=generator) * 0.01
                weights[f"base_model.model.{name}.lora_{part}.weight"] = values
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": MODEL, "r": 16,
        "lora_alpha": 32, "target_modules": list(TARGETS),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")


def _difference(change: Callable[[], float], stay: Callable[[], float], at: int) -> float:
    """Milliseconds that the change costs; which one goes first alternates."""
    if at % 4 < 2:
        changed, stayed = change(), stay()
    else:
        stayed, changed = stay(), change()
    return 1_000 * (changed - stayed)


def _prompt() -> Prompt:
    record = Record("What is the capital of Portugal?")
    return render(record, "chat", Role("assistant", SYSTEM), "answer").prompt


def measure(rounds: int) -> list[Figure]:
    """All figures, their rounds interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        ways = {"switch": bench.switch, "mixed": bench.mixed, "return": bench.back}
        found: dict[str, list[float]] = {name: [] for name in ways}
        for at in range(rounds):
            for name, way in ways.items():
                found[name].append(way(at))
    return [Figure(name, tuple(values)) for name, values in found.items()]


def main(argv: Sequence[str]) -> int:
    """Print the figures; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    args = parser.parse_args(argv)
    figures = measure(args.rounds)
    for figure in figures:
        print(figure, flush=True)
    if args.json:
        told = [asdict(figure) | {"median_ms": figure.median_ms} for figure in figures]
        args.json.write_text(json.dumps({"figures": told}, indent=1) + "\n", "utf-8")
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
