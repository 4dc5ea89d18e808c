"""Hosted models: what our engine adds to the bare SDK, and two at once against the slower one.

`python -m benchmarks.hosted [--rounds 7] [--chunks 200]`. A server of the tests speaks the wire
format of Groq or of an OpenAI-compatible server from a process of its own, and writes into every
chunk when it was sent, by the machine's clock. All ways are timed in every round, one after the
other. Prints a line a figure, and one JSON object last.

chunk   time from sending a chunk to having its text: through the engine's callback, and through a
        run as the page polls it, each less the bare SDK's, at the median and at the 95th
        percentile, with chunks 5 ms apart; goal ≤ 5 ms more
burst   seconds per chunk where the server does not pause, engine less bare SDK; goal ≤ 5 ms
two     a run of a Groq side and a server side together / of the slower side alone; goal ≤ 1.05
"""

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from qeu.backends.base import Piece, Row
from qeu.backends.engines import Engines
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.record import Record
from qeu.core.roles import find_role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.asks import Ask, Live
from qeu.services.runs import Run
from tests.wire_server import WireProcess
from tests.wire_shapes import MODELS

GROQ, SERVER = f"groq/{MODELS['groq'][0]}", f"server/{MODELS['openai'][0]}"
APART_S = 0.005
SLOWER_S = 0.008
_STAMP = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Figure:
    """One figure, the median of its rounds, and its goal."""

    name: str
    unit: str
    goal: float
    rounds: Sequence[float]

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        rounds = " ".join(f"{value:.2f}" for value in self.rounds)
        verdict = "reached" if self.median <= self.goal else "MISSED"
        return (
            f"{self.name:26} {self.median:7.3f} {self.unit:2}  goal ≤ {self.goal:g}: {verdict}  "
            f"[{rounds}]"
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        reached = self.median <= self.goal
        return asdict(self) | {"median": self.median, "reached": reached}


class Bench:
    """One visitor's engines at a Groq and at another server, and the bare clients of both."""

    def __init__(self, groq_address: str, server_address: str, chunks: int) -> None:
        import groq
        import openai

        keyring = Keyring({"groq": "k"}, {"groq": groq_address})
        keyring = keyring.with_server(f"{server_address}/v1").with_key("server", "k")
        self.engines = Engines(Shelf(Settings.from_env(os.environ)), HostedPool(), keyring)
        self.clients = {
            GROQ: groq.Groq(base_url=groq_address, api_key="k", max_retries=0),
            SERVER: openai.OpenAI(base_url=f"{server_address}/v1", api_key="k", max_retries=0),
        }
        self.chunks = chunks

    def ask(self, model: str) -> Ask:
        """One question for a model."""
        # so long that no server cuts its words short
        sampling = Sampling(max_new_tokens=self.chunks + 50)
        record = Record(instruction="Where does coffee grow?")
        return Ask(model, model, record, find_role("assistant"), "answer", sampling)

    def bare(self, model: str) -> list[float]:
        """The SDK's own stream, with the messages that our engine sends too."""
        messages = [
            {"role": m.role, "content": m.content} for m in self.ask(model).prompt().messages
        ]
        delays: list[float] = []
        stream = self.clients[model].chat.completions.create(  # type: ignore[union-attr]
            model=model.partition("/")[2], messages=messages, stream=True
        )
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                delays += delays_of(chunk.choices[0].delta.content)
        return self.checked(delays)

    def engine(self, model: str) -> list[float]:
        """Our engine, at its callback."""
        ask, delays = self.ask(model), []

        def emit(piece: Piece) -> None:
            delays.extend(delays_of(piece.text))

        (done,) = self.engines.load(model).generate([Row(ask.prompt(), ask.sampling)], emit)
        assert done.finish_reason == "stop", done.error
        return self.checked(delays)

    def run(self, model: str) -> list[float]:
        """A whole run, polled as the page does."""
        delays: list[float] = []
        known = 0
        with Run(self.engines, [self.ask(model)]) as run:
            live = run.live[model]
            while not run.finished:
                if run.poll() and len(live.text) > known:
                    delays += delays_of(live.text[known:])
                    known = len(live.text)
            assert ended_well(live), live.error
        return self.checked(delays)

    def checked(self, delays: list[float]) -> list[float]:
        """The delays, if every chunk came."""
        assert len(delays) == self.chunks, f"{len(delays)} chunks came of {self.chunks}"
        return delays

    def seconds(self, models: Sequence[str]) -> float:
        """How long a run of these models takes."""
        start = time.perf_counter()
        with Run(self.engines, [self.ask(model) for model in models]) as run:
            run.wait(120)
            for live in run.live.values():
                assert ended_well(live), live.error
        return time.perf_counter() - start


def ended_well(live: Live) -> bool:
    """Whether a side has its whole text."""
    return live.generation is not None and live.generation.finish_reason == "stop"


def delays_of(text: str) -> list[float]:
    """Milliseconds since each of a text's chunks was sent."""
    now = time.monotonic_ns()
    return [(now - int(sent)) / 1e6 for sent in _STAMP.findall(text)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values stays below."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure_chunks(rounds: int, chunks: int) -> list[Figure]:
    """What a chunk waits more than in the bare SDK, with chunks that come at a model's pace."""
    found: dict[str, list[float]] = {}
    with (
        WireProcess("groq", words=chunks, delay_s=APART_S, stamps=True) as first,
        WireProcess("openai", words=chunks, delay_s=APART_S, stamps=True) as second,
    ):
        bench = Bench(first.address, second.address, chunks)
        for turn in range(rounds + 1):
            for model in (GROQ, SERVER):
                bare, engine, run = bench.bare(model), bench.engine(model), bench.run(model)
                for name, way in (("engine", engine), ("run", run)):
                    for share, label in ((0.5, "median"), (0.95, "p95")):
                        more = quantile(way, share) - quantile(bare, share)
                        key = f"{name} {model.partition('/')[0]} {label}"
                        if turn:  # the first round warms all up
                            found.setdefault(key, []).append(more)
    return [Figure(f"chunk {name}", "ms", 5.0, values) for name, values in found.items()]


def measure_burst(rounds: int, chunks: int) -> list[Figure]:
    """What a chunk costs more than in the bare SDK where nothing waits for the server."""
    found: dict[str, list[float]] = {GROQ: [], SERVER: []}
    with (
        WireProcess("groq", words=chunks, stamps=True) as first,
        WireProcess("openai", words=chunks, stamps=True) as second,
    ):
        bench = Bench(first.address, second.address, chunks)
        for turn in range(rounds + 1):
            for model, values in found.items():
                start = time.perf_counter()
                bench.bare(model)
                middle = time.perf_counter()
                bench.engine(model)
                end = time.perf_counter()
                if turn:
                    values.append(((end - middle) - (middle - start)) * 1e3 / chunks)
    return [
        Figure(f"burst {model.partition('/')[0]}", "ms", 5.0, values)
        for model, values in found.items()
    ]


def measure_two(rounds: int, chunks: int) -> Figure:
    """Two sides on two servers against the slower one alone."""
    ratios = []
    with (
        WireProcess("groq", words=chunks, delay_s=APART_S) as first,
        WireProcess("openai", words=chunks, delay_s=SLOWER_S) as second,
    ):
        bench = Bench(first.address, second.address, chunks)
        for turn in range(rounds + 1):
            alone = bench.seconds([SERVER])
            both = bench.seconds([GROQ, SERVER])
            if turn:
                ratios.append(both / alone)
    return Figure("two sides / slower one", "x", 1.05, ratios)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunks", type=int, default=200)
    options = parser.parse_args()
    figures = measure_chunks(options.rounds, options.chunks)
    figures += measure_burst(options.rounds, options.chunks)
    figures.append(measure_two(options.rounds, options.chunks))
    for figure in figures:
        print(figure)
    print(json.dumps({"hosted": [figure.to_json() for figure in figures]}))


if __name__ == "__main__":
    main()
