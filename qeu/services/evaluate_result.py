"""The result of an evaluation: its texts, each way's measures, each pair's differences."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from qeu.core.eval_measures import BY_NAME, Values
from qeu.core.eval_spec import EvalSpec
from qeu.core.paired import Comparison
from qeu.core.record import Record
from qeu.core.text import one_line

VERDICTS = ("helps", "hurts", "unclear")


@dataclass(frozen=True)
class EvalText:
    """One text: of which way, record (places in the evaluation) and seed, and what was measured.

    `error` says why there is none; then it takes part in nothing. `leak` is the leak score of the
    reasoning, 0 to 1, where its usefulness was measured: of a record's first text.
    """

    way: int
    record: int
    seed: int
    reasoning: str
    answer: str
    finish_reason: str
    values: Values
    error: str = ""
    leak: float | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class WayFacts:
    """How a way was really asked; `adapter_hash` "" without an adapter.

    `learned` counts records of the evaluation that its adapter has learned from.
    """

    name: str
    ref: str
    model: str
    layout: str
    target: str
    role: str
    reasoning: str
    examples: int
    revision: str
    dtype: str
    adapter_hash: str
    is_local: bool
    learned: int = 0


@dataclass(frozen=True)
class Average:
    """A measure of one way: its mean over `records`, each averaged over its texts, with interval.

    `low` and `high` are None where too few records have it.
    """

    measure: str
    value: float
    low: float | None
    high: float | None
    records: int
    texts: int


@dataclass(frozen=True)
class WaySummary:
    """One way: its averages by measure, and why texts of it are missing, with their number."""

    facts: WayFacts
    averages: Mapping[str, Average]
    failed: Mapping[str, int]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        averages = {name: asdict(one) for name, one in self.averages.items()}
        return asdict(self.facts) | {"averages": averages, "failed": dict(self.failed)}


@dataclass(frozen=True)
class PairSummary:
    """Two ways (places) held against each other on the records that both have.

    `verdict` is one of VERDICTS, made on `decided_by` ("" where nothing could be compared) with
    `p`, and `decided` has interval and smallest effect, all corrected for the number of pairs.
    `sentence` says it to a person. `trainings` are the differences by training, where ways are
    groups of them, and `over_trainings` is the interval of their mean (95%), from three on.
    """

    left: int
    right: int
    comparisons: Mapping[str, Comparison]
    decided_by: str = ""
    decided: Comparison | None = None
    p: float | None = None
    verdict: str = "unclear"
    sentence: str = ""
    trainings: tuple[float, ...] = ()
    over_trainings: tuple[float, float] | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        found = {name: one.to_json() for name, one in self.comparisons.items()}
        return asdict(self) | {"comparisons": found}


@dataclass(frozen=True)
class Evaluation:
    """All of it: the order, the records, every text, and what follows.

    `matching` is how many records match the filter, of which `records` were drawn.
    """

    spec: EvalSpec
    records: tuple[Record, ...]
    matching: int
    ways: tuple[WaySummary, ...]
    pairs: tuple[PairSummary, ...]
    texts: tuple[EvalText, ...] = field(repr=False, default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the figures, a sentence each."""
        return tuple(_notes(self))

    def to_json(self, with_texts: bool = False) -> dict[str, object]:
        """Plain values; every text only where asked for: they are long."""
        data: dict[str, object] = {
            "spec": self.spec.to_json(),
            "records": len(self.records),
            "matching": self.matching,
            "verdicts": [pair.sentence for pair in self.pairs],
            "ways": [way.to_json() for way in self.ways],
            "pairs": [pair.to_json() for pair in self.pairs],
            "notes": list(self.notes),
        }
        if with_texts:
            data["texts"] = [
                {"seq": self.records[text.record].seq, **text.to_json()} for text in self.texts
            ]
        return data

    def plot_data(self) -> list[dict[str, object]]:
        """A point a pair and measure: difference with interval, what counts as better, p."""
        return [
            {
                "measure": name,
                "left": self.ways[pair.left].facts.name,
                "right": self.ways[pair.right].facts.name,
                "difference": one.difference,
                "low": one.low,
                "high": one.high,
                "p": one.p,
                "better": BY_NAME[name].better,
                "is_share": BY_NAME[name].is_share,
            }
            for pair in self.pairs
            for name, one in pair.comparisons.items()
        ]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    records, spec = len(evaluation.records), evaluation.spec
    if records < evaluation.matching:
        notes.append(f"{records:,} of {evaluation.matching:,} matching records were drawn.")
    for way in evaluation.ways:
        name = way.facts.name
        if spec.losses and not way.facts.is_local:
            notes.append(f"{name} runs on a server, which does not tell losses.")
        if way.facts.learned:
            notes.append(
                f"{name} has learned from {way.facts.learned:,} of these records: its figures "
                "say little of new ones."
            )
        for why, count in way.failed.items():
            notes.append(" ".join((f"{count:,} texts are missing of {name}.", one_line(why, 300))))
    models = {way.facts.model for way in evaluation.ways if way.facts.is_local}
    if spec.losses and len(models) > 1:
        notes.append("Losses of models with other tokens are not held against each other.")
    languages = Counter(record.language for record in evaluation.records)
    if len(languages) > 1:
        told = ", ".join(f"{code} {count:,}" for code, count in languages.most_common())
        notes.append(f"The records are of several languages: {told}.")
    return notes
