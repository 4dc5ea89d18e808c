"""Is one way better than another on the same records: paired tests, intervals, power.

Records are the unit: several texts of a record are averaged before they come here. Standard library
only; figures agree with scipy and statsmodels (tests/core/test_paired.py).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

from qeu.core.student import shift_at_power, t_quantile

ALPHA, POWER = 0.05, 0.8
# Sign flips drawn where there are too many to try all; their seed is fixed.
DRAWS, DRAW_SEED = 20_000, 7
# Steps of the exact distribution of sign flips: beyond so many it is drawn.
_MOST_STEPS = 20_000


@dataclass(frozen=True)
class Comparison:
    """Mean of `right` minus `left` over `n` records that have both, with its interval (95 %).

    `test` is "mcnemar" or "sign_flip" (of the mean), `p` two-sided. `better`, `worse` and `equal`
    count records by the sign of right minus left. `smallest` is the smallest true difference that
    so many records show with power 0.8; None where no difference whatever could.
    """

    n: int
    left: float
    right: float
    difference: float
    low: float | None
    high: float | None
    test: str
    p: float
    better: int
    worse: int
    equal: int
    smallest: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def compare_pairs(
    left: Sequence[float],
    right: Sequence[float],
    *,
    is_share: bool = False,
    alpha: float = ALPHA,
) -> Comparison | None:
    """Hold paired values against each other; None where there are none.

    `is_share`: values are yes or no (1, 0), or shares of several such texts. `alpha` is what the
    interval and the smallest effect are for. Raises ValueError for sequences of different length.
    """
    differences = [b - a for a, b in zip(left, right, strict=True)]
    n = len(differences)
    if not n:
        return None
    yes_no = is_share and set(left) | set(right) <= {0, 1}
    better = sum(one > 0 for one in differences)
    worse = sum(one < 0 for one in differences)
    p = mcnemar(better, worse) if yes_no else sign_flip(differences)
    level = 1 - alpha
    interval = share_interval(differences, level) if is_share else mean_interval(differences, level)
    low, high = interval or (None, None)
    return Comparison(
        n, math.fsum(left) / n, math.fsum(right) / n, math.fsum(differences) / n, low, high,
        "mcnemar" if yes_no else "sign_flip", p, better, worse, n - better - worse,
        smallest_effect(differences, is_share=is_share, alpha=alpha),
    )  # fmt: skip


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided p of so many pairs that differ one way and the other (McNemar 1947)."""
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**n)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the mean difference if every sign were a coin's (Fisher's randomisation test).

    Exact where the differences are multiples of one step, as shares of a few texts are, or few;
    else by drawing.
    """
    moved = [one for one in differences if one]
    if not moved:
        return 1.0
    steps = _as_steps(moved)
    if steps is not None:
        return _exact_flips(steps)
    if len(moved) <= 14:
        return _all_flips(moved)
    return _drawn_flips(moved)


def _as_steps(values: Sequence[float]) -> list[int] | None:
    """The sizes as whole multiples of 1/k for some k up to 60; None where there is none."""
    for k in range(1, 61):
        steps = [round(abs(one) * k) for one in values]
        if all(abs(abs(one) * k - s) < 1e-9 for one, s in zip(values, steps, strict=True)):
            if sum(steps) > _MOST_STEPS:
                return None
            return [s if one > 0 else -s for one, s in zip(values, steps, strict=True)]
    return None


def _exact_flips(steps: Sequence[int]) -> float:
    """Over all sign flips at once: how many give each sum, built up difference by difference."""
    reach = sum(map(abs, steps))
    ways = [1] + [0] * reach  # by the sum of those with a plus sign
    for size in map(abs, steps):
        for total in range(reach, size - 1, -1):
            ways[total] += ways[total - size]
    observed = abs(sum(steps))
    hits = sum(count for total, count in enumerate(ways) if abs(2 * total - reach) >= observed)
    return hits / 2 ** len(steps)


def _all_flips(values: Sequence[float]) -> float:
    sums = [0.0]
    for one in values:
        sums = [*(s + one for s in sums), *(s - one for s in sums)]
    limit = abs(math.fsum(values)) * (1 - 1e-9)
    return sum(abs(s) >= limit for s in sums) / len(sums)


def _drawn_flips(values: Sequence[float]) -> float:
    """Eight differences at a time: one random byte flips their signs by a table."""
    tables = []
    for at in range(0, len(values), 8):
        sums = [0.0]
        for one in values[at : at + 8]:
            sums = [*(s + one for s in sums), *(s - one for s in sums)]
        tables.append(sums * (256 // len(sums)))
    limit = abs(math.fsum(values)) * (1 - 1e-9)
    width, hits = len(tables), 0
    bits = hashlib.shake_256(b"%d" % DRAW_SEED).digest(DRAWS * width)
    for at in range(0, len(bits), width):
        flips = bits[at : at + width]
        total = sum(table[byte] for table, byte in zip(tables, flips, strict=True))
        hits += abs(total) >= limit
    return (hits + 1) / (DRAWS + 1)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of a mean; None for fewer than 3 values."""
    n = len(values)
    if n < 3:
        return None
    half = t_quantile((1 + level) / 2, n - 1) * _deviation(values) / math.sqrt(n)
    mean = math.fsum(values) / n
    return mean - half, mean + half


def share_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Interval of a difference of paired shares; None of nothing.

    Agresti and Min 2005: one half is added to each of the four cells, that is one half of a
    difference either way and one of none. So it has a width where all differences are alike.
    """
    n = len(differences)
    if not n:
        return None
    mean = math.fsum(differences) / (n + 2)
    squares = (math.fsum(one * one for one in differences) + 1) / (n + 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((squares - mean**2) / (n + 2))
    # the estimate itself must not lie outside
    plain = math.fsum(differences) / n
    return max(-1.0, min(plain, mean - half)), min(1.0, max(plain, mean + half))


def smallest_effect(
    differences: Sequence[float], *, is_share: bool = False, alpha: float = ALPHA,
    power: float = POWER,
) -> float | None:  # fmt: skip
    """The smallest true mean difference that so many such pairs would show, or None.

    By the spread of the differences seen. None where even records that all differ one way would not
    be significant; shares never show less than as many whole records as that takes, and where no
    spread was seen, that alone is said.
    """
    n = len(differences)
    needed = fewest_records(alpha)
    if n < needed:
        return None
    floor = needed / n if is_share else None
    spread = _deviation(differences)
    if not spread:
        return floor
    effect = spread / math.sqrt(n) * shift_at_power(n - 1, alpha, power)
    return min(1.0, max(effect, floor)) if floor is not None else effect


def fewest_records(alpha: float = ALPHA) -> int:
    """With fewer pairs no difference is significant: n that all differ one way have 2 / 2^n."""
    return math.ceil(math.log2(2 / alpha))


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979), in their order."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    corrected, highest = [0.0] * len(values), 0.0
    for place, at in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - place) * values[at]))
        corrected[at] = highest
    return corrected


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided p of the signed-rank test, zeros left out (Wilcoxon 1945).

    Exact up to 50 differences without ties, else by the normal curve with the ties corrected.
    """
    moved = sorted((one for one in differences if one), key=abs)
    n = len(moved)
    if not n:
        return 1.0
    sizes = [abs(one) for one in moved]
    ranks, ties, at = [0.0] * n, 0.0, 0
    while at < n:
        end = at
        while end < n and sizes[end] == sizes[at]:
            end += 1
        ranks[at:end] = [(at + 1 + end) / 2] * (end - at)
        ties += (end - at) ** 3 - (end - at)
        at = end
    positive = sum(rank for rank, one in zip(ranks, moved, strict=True) if one > 0)
    if not ties and n <= 50:
        return _exact_flips([rank + 1 if one > 0 else -rank - 1 for rank, one in enumerate(moved)])
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    z = abs(positive - n * (n + 1) / 4) / math.sqrt(variance)
    return 2 * NormalDist().cdf(-z)


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    squares = math.fsum((one - mean) ** 2 for one in values)
    # what rounding leaves of equal values is no spread
    spread = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else 0.0
    return spread if spread > 1e-12 * max(1.0, abs(mean)) else 0.0
