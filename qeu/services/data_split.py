"""Split a data set into train, validation and test, and say how alike they are."""

import threading
from collections import Counter
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.near_duplicates import SIMILAR, NearDuplicates, group_similar, join, leader
from qeu.core.split import PARTS, assign_parts
from qeu.store.changes import Progress, change_records
from qeu.store.datasets import Dataset, Stopped
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# The nearest train row is looked for among those that share at least so much.
_ALIKE = 0.2
_MOST_NEAREST = 200


@dataclass(frozen=True)
class SplitOptions:
    """Shares of validation and test (the rest trains), and the seed of the draw."""

    validation: float = 0.1
    test: float = 0.0
    seed: int = 0
    similar: float = SIMILAR

    def shares(self) -> dict[str, float]:
        """{part: share}; QeuError where they leave nothing to train on."""
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise QeuError(
                f"Shares of {self.validation:g} and {self.test:g} leave nothing to train on; "
                "choose for example 0.1 and 0.1."
            )
        train = 1 - self.validation - self.test
        return {"train": train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class SplitReport:
    """Records per part and stratum; `nearest` (seq, its part, most similar train seq, how much).

    `kept_together` counts the groups of near-duplicates or parallel rows.
    """

    event: int
    counts: dict[str, int]
    strata: dict[str, dict[str, int]]
    kept_together: int
    nearest: tuple[tuple[str, str, str, float], ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "counts": self.counts,
            "strata": self.strata,
            "kept_together": self.kept_together,
            "nearest": [
                {"seq": a, "part": b, "train": c, "similarity": round(d, 3)}
                for a, b, c, d in self.nearest
            ],
        }


def split_dataset(
    workspace: Workspace,
    dataset: Dataset,
    options: SplitOptions | None = None,
    where: Filter = ALL,
    apply: bool = True,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> SplitReport:
    """Set the part of the matching records (`apply` False: only report); undo takes it back."""
    options = options or SplitOptions()
    shares = options.shares()
    ids = matching_ids(workspace, dataset, where)
    questions, strata, seqs, rows = [], [], [], []
    for batch in iterate_records(workspace, ids):
        for stored in batch:
            record = stored.record
            questions.append(record.question)
            strata.append(f"{record.category}, {record.language}")
            seqs.append(record.seq)
            rows.append((record.no, record.language))
        progress(len(seqs), 3 * len(ids))
        if stop and stop.is_set():
            raise Stopped("The split")
    groups = _join_parallel(group_similar(questions, options.similar), rows)
    parts = assign_parts(groups, strata, shares, options.seed)
    progress(2 * len(ids), 3 * len(ids))
    event = 0
    if apply:
        part_of = dict(zip(ids, parts, strict=True))

        def make(stored: StoredRecord) -> dict[str, str]:
            return {"split": part_of.get(stored.id, stored.split)}

        rule = {"do": "split", "seed": options.seed, "shares": shares}
        event = change_records(
            workspace, dataset, make, where,
            what="The split", data={"rules": [rule], "where": where.to_json()}, stop=stop,
        ).event  # fmt: skip
    table = Counter(zip(strata, parts, strict=True))
    sizes = Counter(groups)
    return SplitReport(
        event,
        {part: parts.count(part) for part in PARTS},
        {s: {part: table[s, part] for part in PARTS} for s in sorted(set(strata))},
        sum(count > 1 for count in sizes.values()),
        _nearest(questions, parts, seqs),
    )


def _join_parallel(leaders: list[int], rows: list[tuple[int | None, str]]) -> list[int]:
    """Row 6 in English and row 6 in Japanese are the same question."""
    first: dict[int, tuple[int, set[str]]] = {}
    for place, (number, language) in enumerate(rows):
        if number is None:
            continue
        known = first.setdefault(number, (place, set()))
        if language not in known[1]:
            known[1].add(language)
            join(leaders, known[0], place)
    return [leader(leaders, place) for place in range(len(leaders))]


def _nearest(
    questions: list[str], parts: list[str], seqs: list[str]
) -> tuple[tuple[str, str, str, float], ...]:
    """For rows not trained on, the train row most like them; the most alike first."""
    index, trained = NearDuplicates(_ALIKE), []
    for question, part, seq in zip(questions, parts, seqs, strict=True):
        if part == "train":
            index.add(question)
            trained.append(seq)
    found = []
    for question, part, seq in zip(questions, parts, seqs, strict=True):
        if part not in ("train", "") and (alike := index.similar(question)):
            found.append((seq, part, trained[alike[0][0]], alike[0][1]))
    return tuple(sorted(found, key=lambda row: -row[3])[:_MOST_NEAREST])
