"""Histograms of lengths with bounds a person can read, middle values, shares beyond a limit."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOUNDS = (0, 1, 20, 50, 100, 200, 400, 800, 1600, 3200, 6400)


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` texts are `bounds[i]` to below `bounds[i + 1]` long; the last has no end."""

    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    mean: float
    median: int
    longest: int

    def to_json(self) -> dict[str, object]:
        """Plain values, with a label for every bar."""
        names = [f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in pairwise(self.bounds)]
        return {
            "bars": list(zip([*names, f"{self.bounds[-1]}+"], self.counts, strict=True)),
            "mean": round(self.mean, 1),
            "median": self.median,
            "longest": self.longest,
        }


def make_histogram(lengths: Iterable[int], bounds: tuple[int, ...] = BOUNDS) -> Histogram:
    """The histogram of some lengths; all zeros where there are none."""
    ordered = sorted(lengths)
    counts = [0] * len(bounds)
    for length in ordered:
        counts[bisect_right(bounds, length) - 1] += 1
    if not ordered:
        return Histogram(bounds, tuple(counts), 0.0, 0, 0)
    middle = ordered[len(ordered) // 2]
    mean = sum(ordered) / len(ordered)
    return Histogram(bounds, tuple(counts), mean, middle, ordered[-1])


def count_longer(lengths: Sequence[int], limits: Iterable[int]) -> dict[int, int]:
    """{limit: how many lengths are greater than it}, limits in rising order."""
    ordered = sorted(lengths)
    return {limit: len(ordered) - bisect_right(ordered, limit) for limit in sorted(set(limits))}
