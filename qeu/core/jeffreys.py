"""Jeffreys intervals of a share: quantiles of a beta distribution, in plain arithmetic.

Brown, Cai, DasGupta 2001, "Interval Estimation for a Binomial Proportion": the prior is
Beta(1/2, 1/2), and at none or all the outer bound is 0 or 1. On few votes it is narrower than
Wilson's (`intervals.py`), which counts of bulk jobs go by.
"""

from math import exp, lgamma, log, log1p

# The continued fraction converges in about sqrt(max(a, b)) terms.
_MOST_TERMS = 10_000
_NEARLY_ZERO = 1e-300
_EXACT = 1e-15


def jeffreys(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high) of a share counted as `count` of `of`; (0, 1) where nothing was counted."""
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no share")
    if not of:
        return 0.0, 1.0
    tail = (1 - level) / 2
    a, b = count + 0.5, of - count + 0.5
    low = beta_quantile(tail, a, b) if count else 0.0
    high = beta_quantile(1 - tail, a, b) if count < of else 1.0
    return low, high


def beta_quantile(share: float, a: float, b: float) -> float:
    """Where a Beta(a, b) variable stays below with this probability; `a`, `b` above 0."""
    if not 0 <= share <= 1 or a <= 0 or b <= 0:
        raise ValueError(f"Beta({a}, {b}) has no quantile at {share}")
    low, high = 0.0, 1.0
    # halving: slower than Newton's steps, and never lost in a flat tail
    while (middle := (low + high) / 2) not in (low, high):
        if beta_below(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return middle


def beta_below(x: float, a: float, b: float) -> float:
    """The probability that a Beta(a, b) variable is below `x`: the incomplete beta function."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    # the fraction converges fast on this side of the mean; the other follows from 1 - x
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's way."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _EXACT:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _NEARLY_ZERO else _NEARLY_ZERO
