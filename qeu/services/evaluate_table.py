"""The figures of an evaluation as rows of words: for the terminal, a report, a card."""

from collections.abc import Sequence

from qeu.core.eval_measures import BY_NAME, MEASURES, Measure
from qeu.core.paired import Comparison
from qeu.services.evaluate_result import Average, Evaluation, PairSummary
from qeu.services.evaluate_verdict import tell_p, tell_signed

NONE = "–"


def measure_rows(
    evaluation: Evaluation, ways: Sequence[int] | None = None, *, intervals: bool = True
) -> list[list[str]]:
    """A row a measure that any of these ways (all for None) has: its label, then each way's."""
    places = range(len(evaluation.ways)) if ways is None else ways
    rows = []
    for measure in MEASURES:
        found = [evaluation.ways[at].averages.get(measure.name) for at in places]
        if any(found):
            rows.append(
                [label_of(measure), *(tell_average(measure, one, intervals) for one in found)]
            )
    return rows


def pair_rows(evaluation: Evaluation, pair: PairSummary) -> list[list[str]]:
    """A row a measure of a pair: label, left, right, difference with interval, p, n, smallest."""
    rows = []
    for name, one in pair.comparisons.items():
        measure = BY_NAME[name]
        rows.append(
            [
                label_of(measure),
                tell(measure, one.left),
                tell(measure, one.right),
                tell_difference(measure, one),
                tell_p(one.p).removeprefix("p ").removeprefix("= "),
                f"{one.n:,}",
                NONE if one.smallest is None else tell_size(measure, one.smallest),
            ]
        )
    return rows


def label_of(measure: Measure) -> str:
    """The measure's words with its unit."""
    return f"{measure.label}, {measure.unit}" if measure.unit else measure.label


def tell(measure: Measure, value: float) -> str:
    """A value as its measure is written."""
    return f"{100 * value:.0f}%" if measure.is_share else f"{value:,.{measure.digits}f}"


def tell_size(measure: Measure, value: float) -> str:
    """A difference without its sign."""
    return f"{100 * value:.1f} points" if measure.is_share else f"{value:,.{measure.digits}f}"


def tell_average(measure: Measure, one: Average | None, interval: bool = True) -> str:
    """A mean and its interval."""
    if one is None:
        return NONE
    shown = tell(measure, one.value)
    if not interval or one.low is None or one.high is None:
        return shown
    if measure.is_share:
        return f"{shown} ({100 * one.low:.0f}–{100 * one.high:.0f})"
    return f"{shown} ± {(one.high - one.low) / 2:,.{measure.digits}f}"


def tell_difference(measure: Measure, one: Comparison) -> str:
    """Right minus left, and its interval."""
    factor, digits = (100, 1) if measure.is_share else (1, measure.digits)
    unit = " points" if measure.is_share else ""
    shown = f"{tell_signed(factor * one.difference, digits)}{unit}"
    if one.low is None or one.high is None:
        return shown
    low, high = (tell_signed(factor * bound, digits) for bound in (one.low, one.high))
    return f"{shown} ({low} to {high})"
