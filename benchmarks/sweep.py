"""A sweep of 64 cells against the same texts one by one, as ratios inside a round.

`python -m benchmarks.sweep [--rounds 5] [--quick]`

64 cells (temperature, top-p and min-p at four values each), one prompt, one seed, up to 96 new
tokens. Each round times, one after the other: the sweep as a person runs it, from the order to the
measured and stored cells, in an empty workspace; our own engine with every eighth of these requests
alone, in the same process and numbers; and transformers' `generate` in float32 with as many, the
way of the notes. Figures are tokens/s: sweep / our engine one by one, and sweep / `generate` one by
one. The goal of 8 is held against both. --quick: one round, 32 tokens, four requests one by one.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.engine import MODEL, Figure
from qeu.backends.base import Row
from qeu.backends.engines import Engines
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.sweep_spec import SweepPrompt, SweepSpec
from qeu.services.evaluate_ask import Asked
from qeu.services.sweep import order_sweep, run_sweep
from qeu.services.sweep_setup import open_variants
from qeu.store.workspace import Workspace

if TYPE_CHECKING:
    from qeu.backends.base import Backend

TOKENS, QUICK_TOKENS = 96, 32
ALONE, QUICK_ALONE = 8, 4
PROMPT = "Explain in detail how bread is made, from the field to the table."
GRID = {
    "temperature": (0.3, 0.6, 0.9, 1.2),
    "top_p": (0.7, 0.8, 0.9, 0.95),
    "min_p": (0.0, 0.02, 0.05, 0.1),
}


class Sides:
    """The sweep, and its requests one by one; each gives tokens per second."""

    def __init__(self, tokens: int, alone: int) -> None:
        import os
        import threading

        settings = Settings.from_env(os.environ)
        self.engines = Engines(Shelf(settings), HostedPool(), Keyring({}, {}), settings.adapters)
        self.spec = SweepSpec(
            (MODEL,), (SweepPrompt(PROMPT),), grid=GRID, seeds=1,
            sampling=Sampling(max_new_tokens=tokens),
        ).checked()  # fmt: skip
        self.engine: Backend = self.engines.load(MODEL)
        self.exact = self.engines.load(MODEL, exact=True)
        records = [prompt.record() for prompt in self.spec.prompts]
        variants = open_variants(self.engines, self.spec, records, threading.Event())
        cells = variants.cells(self.spec)
        assert len(cells) == 64, len(cells)
        asked = [one for cell in cells for *_, one in variants.asked(cell, False)]
        self.asked = [one for one in asked if isinstance(one, Asked)][:: 64 // alone]

    def sweep(self) -> float:
        """All cells, as the command does it."""
        workspace = Workspace(None)
        started = time.perf_counter()
        found = run_sweep(self.engines, workspace, order_sweep(workspace, self.spec))
        seconds = time.perf_counter() - started
        assert found is not None
        assert len(found.cells) == 64
        workspace.close()
        return sum(cell.estimates["length"].value for cell in found.cells) / seconds

    def one_by_one(self) -> float:
        """Our engine, a request at a time."""
        return _speed(
            self.asked,
            lambda one: self.engine.generate([Row(one.prompt, one.sampling)])[0].new_tokens,
        )

    def stock(self) -> float:
        """Transformers' `generate`, a request at a time, in float32."""
        return _speed(self.asked, self._generate)

    def _generate(self, one: Asked) -> int:
        import torch

        model, sampling = self.exact._model, one.sampling  # type: ignore[attr-defined]
        ids = torch.tensor([self.exact.prepare(one.prompt).token_ids]).to(model.device)
        torch.manual_seed(sampling.seed)
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True,
            temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k,
            min_p=sampling.min_p or None, repetition_penalty=sampling.repetition_penalty,
            max_new_tokens=sampling.max_new_tokens,
        )  # fmt: skip
        return int(out.shape[1] - ids.shape[1])


def _speed(asked: Sequence[Asked], write: Callable[[Asked], int]) -> float:
    started = time.perf_counter()
    tokens = sum(write(one) for one in asked)
    return tokens / (time.perf_counter() - started)


def measure(rounds: int, sides: Sides) -> list[Figure]:
    """The ratios of every round, after one that is not counted."""
    ours: list[float] = []
    stock: list[float] = []
    speeds: list[float] = []
    for at in range(rounds + 1):
        speed, alone, slow = sides.sweep(), sides.one_by_one(), sides.stock()
        if at:
            speeds.append(speed)
            ours.append(speed / alone)
            stock.append(speed / slow)
    print(f"sweep: {statistics.median(speeds):.0f} tokens/s (median)", flush=True)
    return [Figure("ours", ours, 8, at_least=True), Figure("stock", stock, 8, at_least=True)]


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(words)
    sides = Sides(*(QUICK_TOKENS, QUICK_ALONE) if args.quick else (TOKENS, ALONE))
    figures = measure(1 if args.quick else args.rounds, sides)
    for figure in figures:
        print(figure, flush=True)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
