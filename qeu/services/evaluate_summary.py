"""Sum up an evaluation's texts: averages with intervals, and the pairs held against each other.

Records are the unit: the texts of a record are averaged over their seeds first.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from qeu.core.eval_measures import MEASURES, Measure
from qeu.core.eval_spec import EvalSpec
from qeu.core.intervals import wilson
from qeu.core.paired import Comparison, fewest_records, mean_interval
from qeu.core.record import Record
from qeu.services.evaluate_result import (
    Average,
    EvalText,
    Evaluation,
    PairSummary,
    WayFacts,
    WaySummary,
)
from qeu.services.evaluate_verdict import Averaged, compare_one, decide

# On these the verdict is made: the first that enough records have for both ways.
DECIDING = ("right", "answer_loss")
# Nothing that is better or worse by itself, or hangs on what else the machine does.
_NOT_COMPARED = ("tokens_per_s",)


def summarize(
    spec: EvalSpec,
    records: Sequence[Record],
    matching: int,
    facts: Sequence[WayFacts],
    texts: Sequence[EvalText],
) -> Evaluation:
    """Average, compare, and say what it means."""
    by_record = [average_by_record(texts, way) for way in range(len(facts))]
    ways = tuple(
        WaySummary(one, _averages(texts, at, by_record[at]), _failures(texts, at))
        for at, one in enumerate(facts)
    )
    pairs = [_compare(left, right, facts, by_record) for left, right in spec.compared]
    decided = decide(pairs, facts, by_record)
    return Evaluation(spec, tuple(records), matching, ways, tuple(decided), tuple(texts))


def average_by_record(texts: Sequence[EvalText], way: int) -> Averaged:
    """A way's values by measure and record, averaged over the texts of each record."""
    found: dict[str, dict[int, list[float]]] = {measure.name: {} for measure in MEASURES}
    for text in texts:
        if text.way == way:
            for name, value in text.values.items():
                if value is not None:
                    found[name].setdefault(text.record, []).append(value)
    return {
        name: {record: math.fsum(some) / len(some) for record, some in values.items()}
        for name, values in found.items()
    }


def _averages(texts: Sequence[EvalText], way: int, by_record: Averaged) -> dict[str, Average]:
    found = {}
    for measure in MEASURES:
        values = list(by_record[measure.name].values())
        if not values:
            continue
        count = sum(text.way == way and text.values.get(measure.name) is not None for text in texts)
        mean = math.fsum(values) / len(values)
        # the records count, not their texts: those of one record are not independent
        interval = (
            wilson(min(math.fsum(values), len(values)), len(values))  # type: ignore[arg-type]
            if measure.is_share
            else mean_interval(values)
        )
        low, high = interval or (None, None)
        found[measure.name] = Average(measure.name, mean, low, high, len(values), count)
    return found


def _failures(texts: Sequence[EvalText], way: int) -> dict[str, int]:
    return dict(Counter(text.error for text in texts if text.way == way and text.error))


def _compare(
    left: int, right: int, facts: Sequence[WayFacts], by_record: Sequence[Averaged]
) -> PairSummary:
    comparisons = {}
    for measure in MEASURES:
        if measure.name in _NOT_COMPARED or not _comparable(measure, facts[left], facts[right]):
            continue
        found = compare_one(measure.name, by_record[left], by_record[right])
        if found is not None:
            comparisons[measure.name] = found
    return PairSummary(left, right, comparisons, _deciding(comparisons))


def _comparable(measure: Measure, left: WayFacts, right: WayFacts) -> bool:
    """Nats a token mean the same only where both cut texts into the same tokens."""
    return measure.unit != "nats a token" or left.model == right.model


def _deciding(comparisons: Mapping[str, Comparison]) -> str:
    """The first measure that enough records have, else the first that any has."""
    there = [name for name in DECIDING if name in comparisons]
    enough = [name for name in there if comparisons[name].n >= fewest_records()]
    return next(iter((*enough, *there)), "")
