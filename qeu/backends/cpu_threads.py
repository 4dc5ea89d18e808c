"""How many processor threads a step is worth: small steps lose more to waiting than they gain.

Measured on 2 cores with SmolLM2-135M in bfloat16: a step of one row takes 17 ms on one thread and
20 to 30 ms on two, and 150 to 600 ms on two when something else wants the processor, because
threads that wait for each other spin. The number depends on the work alone, never on the clock,
so that the exact setting computes alike after a restart.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Weights that one thread should have to read in a step before a second one joins it.
BYTES_PER_THREAD = 500_000_000
# Tokens of a step that cost as much as reading the weights once.
TOKENS_PER_PASS = 16


def quiet_waiting() -> None:
    """Let idle threads sleep instead of spin; heard only by a torch that is not imported yet.

    Beside other work a prompt is read in 0.2 s then, and in 1 to 15 s by threads that spin.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def wanted_threads(weight_bytes: int, tokens: int, cores: int) -> int:
    """Threads for a step that puts so many tokens (rows × columns) through the weights."""
    passes = 1 + tokens / TOKENS_PER_PASS
    return max(1, min(cores, round(weight_bytes * passes / BYTES_PER_THREAD)))


@contextmanager
def restored_threads() -> Iterator[int]:
    """Yields the number of threads torch uses, and sets it back after the block."""
    import torch

    cores = torch.get_num_threads()
    try:
        yield cores
    finally:
        torch.set_num_threads(cores)
