"""How sure a share is that was counted on few: the Wilson score interval.

Wilson 1927. Unlike the plain one it stays within 0 and 1 and says something at 0 of n and n of n.
"""

from dataclasses import dataclass
from math import sqrt

# Of a hundred such intervals 95 hold the share that more counting would show.
Z = 1.959964


@dataclass(frozen=True)
class Rate:
    """`count` of `of`, with the bounds of its interval; of none nothing is known: 0 to 1."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """The share itself; None of none."""
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float:
        """Lower bound."""
        return wilson(self.count, self.of)[0]

    @property
    def high(self) -> float:
        """Upper bound."""
        return wilson(self.count, self.of)[1]

    def to_json(self) -> dict[str, object]:
        """Plain values; bounds with four decimals."""
        share = None if self.share is None else round(self.share, 4)
        bounds = {"low": round(self.low, 4), "high": round(self.high, 4)}
        return {"count": self.count, "of": self.of, "share": share, **bounds}


def wilson(count: int, of: int, z: float = Z) -> tuple[float, float]:
    """(low, high) of a share counted as `count` of `of`; (0, 1) where nothing was counted."""
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no share")
    if not of:
        return 0.0, 1.0
    share, spread = count / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # rounding must not leave the share outside of its own interval
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
