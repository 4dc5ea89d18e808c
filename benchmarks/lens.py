"""Server time from a slider to the next-token picture's data: 95th percentile per vocabulary.

`python -m benchmarks.lens [MOVES]` prints one line a vocabulary and way: the 95th percentile, the
median and the slowest, and the goal for the first. A move changes the settings, redraws the
picture from the kept scores and makes its JSON, as the page's handler does; no model computes.

drawn   moves over all sliders as a hand would, with top-k on (the default)
all     the same with top-k off: the whole vocabulary is ranked
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from qeu.backends.cpu_threads import quiet_waiting
from qeu.backends.shown_tokens import ShownTokens
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.lens import Look, redraw, start_look
from qeu.services.lens_reader import LensSide

GOALS_MS = {50_000: 30.0, 150_000: 80.0}
MOVES = 200
WARM_UP = 5
# A prompt of this many tokens stands before the position.
USED = 600
# The settings that each slider takes, and where it rests.
SLIDERS = {
    "temperature": (0.1, 0.3, 0.7, 1.0, 1.5, 3.0),
    "top_p": (0.1, 0.5, 0.9, 0.95, 1.0),
    "min_p": (0.0, 0.02, 0.1),
    "repetition_penalty": (1.0, 1.1, 1.3),
    "top_k": (1, 20, 50, 200, 1_000),
}


def moves(count: int, top_k_off: bool) -> Iterator[Sampling]:
    """Settings as a hand leaves them, one slider moved at a time."""
    source, values = random.Random(3), {"top_k": 0} if top_k_off else {}
    names = [name for name in SLIDERS if name not in values]
    for _ in range(count):
        name = source.choice(names)
        values[name] = source.choice(SLIDERS[name])
        yield Sampling(**values)  # type: ignore[arg-type]


def make_look(vocabulary: int, names: ShownTokens) -> Look:
    """A choice whose scores fall off as those of a language model do."""
    import torch

    generator = torch.Generator().manual_seed(1)
    ranks = torch.randperm(vocabulary, generator=generator) + 1
    row = (18 - 2.2 * ranks.log() + torch.randn(vocabulary, generator=generator) * 0.3).bfloat16()
    used = tuple(torch.randint(0, vocabulary, (USED,), generator=generator).tolist())
    return start_look(_side(), row, used, names)


def _side() -> LensSide:
    from qeu.core.record import Record
    from qeu.core.roles import find_role
    from qeu.services.asks import Ask

    role = find_role("assistant")
    return LensSide(Ask("left", "smollm2-135m", Record("?"), role, "answer", Sampling()))


def time_moves(look: Look, count: int, top_k_off: bool) -> list[float]:
    """Milliseconds of each move."""
    found = []
    for at, sampling in enumerate(moves(count + WARM_UP, top_k_off)):
        started = time.perf_counter()
        json.dumps(redraw(look, sampling).to_json())
        if at >= WARM_UP:
            found.append((time.perf_counter() - started) * 1_000)
    return found


def embedded_names() -> ShownTokens:
    """The embedded model's tokenizer, which names the candidates."""
    from transformers import AutoTokenizer

    from qeu.backends.tokenize import PromptEncoder
    from qeu.backends.weights import fetch_embedded, find_embedded

    cache = Settings.from_env(os.environ).cache_dir
    folder: Path = find_embedded(cache) or fetch_embedded(cache, lambda progress: None, None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return ShownTokens(tokenizer, PromptEncoder(tokenizer))


def main(arguments: list[str]) -> None:
    """Measure and print."""
    quiet_waiting()  # as the app does: threads that spin would be measured with everything else
    count = int(arguments[0]) if arguments else MOVES
    names = embedded_names()
    for vocabulary, goal in GOALS_MS.items():
        look = make_look(vocabulary, names)
        for way, top_k_off in (("drawn", False), ("all", True)):
            times = sorted(time_moves(look, count, top_k_off))
            high = times[int(0.95 * (len(times) - 1))]
            verdict = "reached" if high <= goal else "MISSED"
            print(
                f"{vocabulary:>7,} {way:5}  p95 {high:6.1f} ms  goal ≤ {goal:g}: {verdict}  "
                f"[median {statistics.median(times):.1f}, slowest {times[-1]:.1f}, "
                f"{len(times)} moves]"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
