"""What is measured on the texts of a sweep, and a cell's means with their intervals.

The unit is the prompt where there are enough of them for a paired test, its texts averaged first;
with fewer it is the text, and what follows holds for these very prompts only.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from qeu.core.chrf import chrf, pairwise
from qeu.core.distinct import distinct_n
from qeu.core.eval_measures import BY_NAME as _EVALUATED
from qeu.core.eval_measures import Measure, Values, measure_text
from qeu.core.generation import Generation
from qeu.core.intervals import wilson
from qeu.core.paired import fewest_records, mean_interval
from qeu.core.record import Record

OWN = Measure("own_agreement", "agreement among the cell's own samples (chrF)", False, 0, "0 to 1")
# Those of an evaluation that tell of sampling, and three of a sweep's own.
MEASURES: tuple[Measure, ...] = (
    *(
        _EVALUATED[name]
        for name in (
            "right", "reference", "contract", "leak_reference", "leak_commit", "loop", "closed",
            "language", "length",
        )
    ),
    Measure("distinct_1", "different words in a text (distinct-1)", False, 1, "0 to 1"),
    Measure("distinct_2", "different word pairs in a text (distinct-2)", False, 1, "0 to 1"),
    OWN,
)  # fmt: skip
BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}
PROMPT, TEXT = "prompt", "text"
# Texts of a prompt that are held against each other: their pairs grow with the square.
MOST_COMPARED = 20
# (prompt, seed); the seed is 0 where the value is of all texts of a prompt.
Unit = tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """One text of a cell: of which prompt (place, from 0) and seed, and what was measured on it.

    `key` is what its text is kept under, "" where the prompt cannot be asked; `error` says why
    there is no text: then it takes part in nothing.
    """

    prompt: int
    seed: int
    key: str
    finish_reason: str = ""
    values: Values = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Estimate:
    """A cell's mean of one measure over `n` units, from so many `texts`, with its interval (95 %).

    `unit` is PROMPT or TEXT. `low` and `high` are None where too few units have the measure.
    Shares have Wilson's interval, means Student's.
    """

    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    texts: int
    unit: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def unit_for(prompts: int) -> str:
    """PROMPT where so many are enough for a paired test (6), else TEXT."""
    return PROMPT if prompts >= fewest_records() else TEXT


def measure_sample(record: Record, made: Generation, target: str) -> Values:
    """All measures of one text but the agreement among several; `target` is what was asked for."""
    reasons = target != "answer"
    values = measure_text(record, made.reasoning, made.answer, made, writes_reasoning=reasons)
    text = made.answer
    if target in ("reasoning", "reasoning_task"):  # no answer was wanted
        text, wanted = made.reasoning, record.reasoning
        values["right"] = values["language"] = None
        values["reference"] = chrf(text, wanted) if wanted.strip() else None
        values["closed"] = float(bool(text) and made.finish_reason == "stop")
    elif reasons:
        text = f"{made.reasoning}\n{made.answer}"
    values["distinct_1"], values["distinct_2"] = distinct_n(text, 1), distinct_n(text, 2)
    return {name: values.get(name) for name in BY_NAME if name != OWN.name}


def add_own_agreement(samples: Sequence[Sample], texts: Mapping[str, str]) -> list[Sample]:
    """The samples of a cell, each with how much the texts of its prompt agree in the mean.

    `texts` are the words by key; of each prompt the first 20 are compared. None for a prompt of
    fewer than two texts.
    """
    by_prompt: dict[int, list[str]] = {}
    for sample in samples:
        if sample.key in texts:
            by_prompt.setdefault(sample.prompt, []).append(texts[sample.key])
    means = {prompt: _mean_agreement(some) for prompt, some in by_prompt.items()}
    return [
        Sample(
            s.prompt, s.seed, s.key, s.finish_reason,
            {**s.values, OWN.name: means.get(s.prompt)} if not s.error else {}, s.error,
        )
        for s in samples
    ]  # fmt: skip


def values_by_unit(samples: Iterable[Sample], measure: str, unit: str) -> dict[Unit, float]:
    """A measure of a cell by unit: (prompt, 0) for prompts, (prompt, seed) for texts."""
    found: dict[Unit, list[float]] = {}
    for sample in samples:
        value = sample.values.get(measure)
        if value is not None:
            # the agreement of several texts is one value, whatever the unit
            alone = unit == TEXT and measure != OWN.name
            found.setdefault((sample.prompt, sample.seed if alone else 0), []).append(value)
    return {key: math.fsum(some) / len(some) for key, some in found.items()}


def estimate(samples: Sequence[Sample], unit: str) -> dict[str, Estimate]:
    """A cell's means by measure, those that any text has."""
    found = {}
    for measure in MEASURES:
        values = list(values_by_unit(samples, measure.name, unit).values())
        if not values:
            continue
        count = sum(sample.values.get(measure.name) is not None for sample in samples)
        mean = math.fsum(values) / len(values)
        interval = (
            wilson(min(math.fsum(values), len(values)), len(values))  # type: ignore[arg-type]
            if measure.is_share
            else mean_interval(values)
        )
        low, high = interval or (None, None)
        shown = PROMPT if measure.name == OWN.name else unit
        found[measure.name] = Estimate(measure.name, mean, low, high, len(values), count, shown)
    return found


def _mean_agreement(texts: Sequence[str]) -> float | None:
    if len(texts) < 2:
        return None
    texts = texts[:MOST_COMPARED]
    count = len(texts)
    scores = pairwise(texts)
    total = math.fsum(scores[row][column] for row in range(count) for column in range(row))
    return total / (count * (count - 1) / 2)
