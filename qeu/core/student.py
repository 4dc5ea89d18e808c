"""Student's t: its distribution, its quantiles, and how far a mean must be off to be noticed."""

import math
from functools import lru_cache
from statistics import NormalDist


def t_cdf(value: float, freedom: int) -> float:
    """Probability of at most this value."""
    tail = _incomplete_beta(freedom / (freedom + value * value), freedom / 2, 0.5) / 2
    return 1 - tail if value > 0 else tail


@lru_cache(maxsize=512)
def t_quantile(probability: float, freedom: int) -> float:
    """The value that is reached with this probability, between 0.5 and 1, not included."""
    low, high = 0.0, 2.0
    while t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=512)
def shift_at_power(freedom: int, alpha: float, power: float) -> float:
    """By how many standard errors the mean must be off for this power.

    The noncentral t as a normal whose scale is known as well as `freedom` allows: summed over the
    distribution of the scale.
    """
    critical = t_quantile(1 - alpha / 2, freedom)
    scales = _scales(freedom)
    cdf = NormalDist().cdf

    def power_at(shift: float) -> float:
        return sum(
            weight * (cdf(shift - critical * scale) + cdf(-shift - critical * scale))
            for scale, weight in scales
        )

    low, high = 0.0, 2.0
    while power_at(high) < power:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if power_at(middle) < power else (low, middle)
    return (low + high) / 2


def _scales(freedom: int, count: int = 400) -> list[tuple[float, float]]:
    """(estimated by true deviation, its probability), on a grid around 1."""
    spread = 8 / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - spread), 1 + spread
    width = (high - low) / count
    places = [low + (at + 0.5) * width for at in range(count)]
    logs = [(freedom - 1) * math.log(s) - freedom * s * s / 2 for s in places]
    top = max(logs)
    weights = [math.exp(one - top) for one in logs]
    total = math.fsum(weights)
    return [(s, w / total) for s, w in zip(places, weights, strict=True)]


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function by its continued fraction (Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logs + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    fraction, c, d = 1.0, 1.0, 0.0
    for m in range(300):
        half = m // 2
        if m == 0:
            step = 1.0
        elif m % 2:
            step = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            step = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / (1 + step * d or tiny)
        c = 1 + step / c or tiny
        fraction *= c * d
        if abs(1 - c * d) < 1e-14:
            break
    return front * (fraction - 1)
