"""The local engine against itself and against plain transformers, as ratios inside one run.

`python -m benchmarks.engine [rows|bulk|first|stream|packed]` prints one line a figure: the median
over interleaved rounds, the rounds, and the goal. Both sides of a ratio are timed in every round,
one after the other, because the machine's speed drifts more than the figures differ.

rows    time of 48 tokens for two rows in one batch / for one row alone; goal ≤ 1.15
bulk    tokens/s of 32 prompts in one call / of one prompt at a time with `generate` in float32,
        the way of the notes; up to 96 new tokens each; goal ≥ 10
first   time to the first token of a warm engine / a bare forward pass of the prompt; goal ≤ 1.3
stream  time of 48 tokens through the engine with its callback / a bare greedy `generate` of as
        many by transformers' own copy of the weights; goal ≤ 1.1
packed  time of 48 tokens for two rows with laid-out matrices (packed_linear.py) / without; goal ≤ 1
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.prompts import PROMPTS
from benchmarks.stock import load_stock
from qeu.backends.base import Piece, Row
from qeu.backends.local import LocalModel
from qeu.backends.shelf import Shelf
from qeu.core.prompts import Prompt, render
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings

ROUNDS = 7
BULK_ROUNDS = 5
MODEL = "smollm2-135m"
TOKENS = 48
BULK_TOKENS = 96
ONE_BY_ONE = 8  # prompts of the slow way in each round, spread over the 32
# As long as the shipped role texts, and fixed, so that figures of different days compare.
SYSTEM = (
    "You are a helpful AI assistant who knows several languages. When a question comes in "
    "Japanese or Chinese, first turn it into English for yourself, then answer in English. "
    "If reasoning is given, follow it to reach the answer."
)
DRAWN = Sampling(max_new_tokens=BULK_TOKENS)


@dataclass(frozen=True)
class Figure:
    """One ratio with its rounds and the goal it is held to."""

    name: str
    rounds: Sequence[float]
    goal: float
    at_least: bool = False

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.rounds)

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.median >= self.goal if self.at_least else self.median <= self.goal

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        rounds = " ".join(f"{value:.2f}" for value in self.rounds)
        verdict = "reached" if self.reached else "MISSED"
        return f"{self.name:7} {self.median:6.2f}  goal {sign} {self.goal:g}: {verdict}  [{rounds}]"


class Bench:
    """The warm engine, and the same weights in plain transformers."""

    def __init__(self) -> None:
        settings = Settings.from_env(os.environ)
        self.shelf = Shelf(settings)
        self.engine = self.shelf.load(MODEL)
        self.model = load_stock(self.engine, settings)  # the same numbers, for the bare passes
        self.device = self.model.device

    def rows(self) -> Figure:
        """Two rows on one base against one alone."""
        return Figure("rows", _interleave(ROUNDS, self._two_rows, self._one_row), 1.15)

    def bulk(self) -> Figure:
        """A batch of 32 against one prompt at a time."""
        slow_way = self._load_slow_way()
        slow_way(PROMPTS[0], 4)
        self.engine.generate([Row(_prompt(text), DRAWN) for text in PROMPTS[:32]])
        found = []
        for at in range(BULK_ROUNDS):
            texts = (PROMPTS * 2)[at * 8 : at * 8 + 32]
            started = time.perf_counter()
            done = self.engine.generate([Row(_prompt(text), DRAWN) for text in texts])
            ours = sum(one.new_tokens for one in done) / (time.perf_counter() - started)
            started = time.perf_counter()
            tokens = sum(slow_way(text, BULK_TOKENS) for text in texts[:: 32 // ONE_BY_ONE])
            found.append(ours / (tokens / (time.perf_counter() - started)))
        return Figure("bulk", found, 10, at_least=True)

    def first(self) -> Figure:
        """Time to the first token against a forward pass."""
        import torch

        prompts = [_prompt(text) for text in PROMPTS[:3]]
        rows = [[Row(prompt, Sampling(max_new_tokens=1))] for prompt in prompts]
        ids = [torch.tensor([self.engine.prepare(p).token_ids]).to(self.device) for p in prompts]

        def ours() -> None:
            for row in rows:
                self.engine.generate(row)

        def bare() -> None:
            with torch.inference_mode():
                for one in ids:
                    self.model(input_ids=one, use_cache=True, logits_to_keep=1)

        return Figure("first", _interleave(ROUNDS, ours, bare), 1.3)

    def stream(self) -> Figure:
        """The engine with its callback against `generate`."""
        import torch

        prompt = _prompt(PROMPTS[0])
        ids = torch.tensor([self.engine.prepare(prompt).token_ids]).to(self.device)
        pieces: list[Piece] = []

        def ours() -> None:
            greedy = Sampling(greedy=True, repetition_penalty=1, max_new_tokens=TOKENS)
            done = self.engine.generate([Row(prompt, greedy)], pieces.append)
            _check_length(done[0].new_tokens)

        def bare() -> None:
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
            )
            _check_length(out.shape[1] - ids.shape[1])

        return Figure("stream", _interleave(ROUNDS, ours, bare), 1.1)

    def packed(self) -> Figure:
        """The engine with its matrices laid out once, against the engine without that."""
        plain = LocalModel(MODEL, self.model, self.engine._tokenizer)

        def bare() -> None:
            for one in plain.generate(self._make_rows(2), lambda piece: None):
                _check_length(one.new_tokens)

        return Figure("packed", _interleave(ROUNDS, self._two_rows, bare), 1.0)

    def _one_row(self) -> None:
        self._generate(1)

    def _two_rows(self) -> None:
        self._generate(2)

    def _generate(self, count: int) -> None:
        for one in self.engine.generate(self._make_rows(count), lambda piece: None):
            _check_length(one.new_tokens)

    def _make_rows(self, count: int) -> list[Row]:
        settings = Sampling(max_new_tokens=TOKENS)
        return [Row(_prompt(text), settings) for text in PROMPTS[:count]]

    def _load_slow_way(self) -> Callable[[str, int], int]:
        import torch

        exact = self.shelf.load(MODEL, exact=True)
        model = exact._model

        def generate(text: str, limit: int) -> int:
            ids = torch.tensor([exact.prepare(_prompt(text)).token_ids]).to(self.device)
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=DRAWN.temperature,
                top_p=DRAWN.top_p,
                top_k=DRAWN.top_k,
                repetition_penalty=DRAWN.repetition_penalty,
                max_new_tokens=limit,
            )
            return out.shape[1] - ids.shape[1]

        return generate


def _prompt(text: str) -> Prompt:
    return render(Record(text), "chat", Role("assistant", SYSTEM), "answer").prompt


def _check_length(tokens: int) -> None:
    # a text that ends early would be compared with one that does not
    if tokens != TOKENS:
        raise SystemExit(f"A text ended after {tokens} of {TOKENS} tokens; use another prompt.")


def _interleave(rounds: int, ours: Callable[[], None], other: Callable[[], None]) -> list[float]:
    """The ratio of the two times, round by round, after one round that is not counted."""
    found = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        ours()
        middle = time.perf_counter()
        other()
        found.append((middle - started) / (time.perf_counter() - middle))
    return found[1:]


def main(names: Sequence[str]) -> int:
    """Print the figures asked for, all without a name; 1 if a goal is missed."""
    bench = Bench()
    known = (bench.rows, bench.bulk, bench.first, bench.stream, bench.packed)
    figures = {figure.__name__: figure for figure in known}
    reached = True
    for name in names or figures:
        figure = figures[name]()
        print(figure, flush=True)
        reached = reached and figure.reached
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
