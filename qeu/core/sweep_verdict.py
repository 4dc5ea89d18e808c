"""Which cell of a sweep is the best in one measure, and whether so few samples can tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from qeu.core.paired import ALPHA, Comparison, compare_pairs, fewest_records
from qeu.core.sweep_measures import BY_NAME, OWN, TEXT, Sample, Unit, values_by_unit

# Of a large sweep so many next best cells are tested against the best one.
MOST_TESTED = 30
# The best cell is told from all others tested; it is not; too few samples for any difference to
# be told; all are equal; there is nothing to compare.
TOLD, UNCLEAR, TOO_FEW, EQUAL, NONE = VERDICTS = ("told", "unclear", "too_few", "equal", "none")


@dataclass(frozen=True)
class Best:
    """The best cell (by number) of a measure, and what can be said of it.

    `next_best` is the nearest cell that cannot be told from it, or where all can, the nearest, with
    its `comparison` (right is the best cell). `tied` are the cells that cannot be told from the
    best, the nearest first, of `tested`. `n` is how many units best and next best share; with fewer
    than `needed` nothing can be told.
    """

    measure: str
    verdict: str
    best: int = 0
    next_best: int = 0
    comparison: Comparison | None = None
    tied: tuple[int, ...] = ()
    tested: int = 0
    n: int = 0
    needed: int = fewest_records()

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def find_best(
    cells: Mapping[int, Sequence[Sample]],
    measure: str,
    unit: str,
    steady: Collection[int] = (),
) -> Best:
    """Hold the best cell against each of the next best ones, over the units that both have.

    The rule: the best is told where *every* one of these paired two-sided tests (exact McNemar for
    yes and no, sign flips for others; core/paired.py) gives p ≤ 0.05; so the test against the next
    best decides, if it is the closest. No correction is due for having chosen the two by looking:
    that the winner is best is right as often as the test against the runner-up says (Hung and
    Fithian 2019; Gutmann and Maymin 1987). Fewer than 6 shared units cannot give such a p: "too few
    samples to tell". `steady` are the cells that draw nothing: their one text a prompt stands for
    every seed. Measures of which neither more nor less is better have no best.
    """
    sign = BY_NAME[measure].better
    by_cell = {at: values_by_unit(some, measure, unit) for at, some in cells.items()}
    by_cell = {at: values for at, values in by_cell.items() if values}
    if not sign or len(by_cell) < 2:
        return Best(measure, NONE, best=next(iter(by_cell), 0) if sign else 0)
    means = {at: sum(values.values()) / len(values) for at, values in by_cell.items()}
    best, *others = sorted(by_cell, key=lambda at: (-sign * round(means[at], 12), at))
    tests: dict[int, Comparison] = {}
    for at in others[:MOST_TESTED]:
        left, right = by_cell[at], by_cell[best]
        if unit == TEXT and measure != OWN.name:
            left = _spread(left, right) if at in steady else left
            right = _spread(right, left) if best in steady else right
        shared = sorted(left.keys() & right.keys())
        one, other = [left[key] for key in shared], [right[key] for key in shared]
        found = compare_pairs(one, other, is_share=BY_NAME[measure].is_share)
        if found is not None:
            tests[at] = found
    if not tests:
        return Best(measure, NONE, best)
    tied = tuple(at for at, one in tests.items() if one.p > ALPHA or sign * one.difference <= 0)
    nearest = next(iter(tied or tests))
    return Best(
        measure, _verdict(tests, tied, others), best, nearest, tests[nearest], tied, len(tests),
        tests[nearest].n,
    )  # fmt: skip


def _verdict(tests: Mapping[int, Comparison], tied: Sequence[int], others: Sequence[int]) -> str:
    if not tied:
        return TOLD
    moved = any(one.better or one.worse for one in tests.values())
    if not moved and len(tests) == len(others):
        return EQUAL
    return TOO_FEW if tests[tied[0]].n < fewest_records() else UNCLEAR


def _spread(steady: Mapping[Unit, float], other: Mapping[Unit, float]) -> dict[Unit, float]:
    """The value of a prompt's one text for every seed of the other cell."""
    more = {unit: steady[unit[0], 1] for unit in other if (unit[0], 1) in steady}
    return {**steady, **more}
