"""Numbers about a data set: counts, lengths in characters and tokens, language × category."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from qeu.backends.base import Backend
from qeu.core.errors import QeuError
from qeu.core.length_stats import Histogram, count_longer, make_histogram
from qeu.core.prompts import Prompt, Segment
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.services.data_export import count_licences
from qeu.services.training_text import make_training_text
from qeu.store.changes import Progress
from qeu.store.datasets import Dataset, Stopped
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records, read_facets
from qeu.store.workspace import Workspace

LENGTHS = ("question", "reasoning", "output")
# Tokens of a whole record at which one usually cuts.
LIMITS = (256, 512, 1024, 2048)
MOST_LIMIT = 1_000_000


@dataclass(frozen=True)
class TokenCounter:
    """Counts in the tokens of a loaded model, in a record's case as training would render it.

    That is role assistant, target `both`, the end token included.
    """

    model: Backend
    layout: str

    def text(self, text: str) -> int:
        """Tokens of a bare text; 0 where there is none."""
        return self._raw(text) - self._head if text.strip() else 0

    def record(self, record: Record) -> int:
        """Tokens that the record has when a model learns it."""
        made = make_training_text(record, self.layout, ROLES["assistant"], "both", self.model)
        return made.tokens or 0

    @cached_property
    def _head(self) -> int:
        """What the tokenizer puts in front of any text."""
        return self._raw("")

    def _raw(self, text: str) -> int:
        prompt = Prompt("bonsai-v2", "answer", segments=(Segment("output", text),))
        return self.model.prepare(prompt).tokens


@dataclass(frozen=True)
class DatasetStats:
    """`facets` {facet: {value: records}}, `table` {language: {category: records}}.

    `characters` holds a histogram for question, reasoning and output each. `tokens`, empty where
    no model counted them, holds those and one for the whole `record`; `longer` {limit in tokens:
    records that have more, which training would cut}. `counted_by` names model and layout.
    """

    records: int
    facets: dict[str, dict[str, int]]
    table: dict[str, dict[str, int]]
    characters: dict[str, Histogram]
    tokens: dict[str, Histogram]
    licences: dict[str, int]
    longer: dict[int, int] = field(default_factory=dict)
    counted_by: tuple[str, str] = ("", "")

    def to_json(self) -> dict[str, object]:
        """Plain values; shares are of all records."""
        whole = self.records or 1
        return {
            "records": self.records,
            "facets": self.facets,
            "language_by_category": self.table,
            "characters": {name: h.to_json() for name, h in self.characters.items()},
            "tokens": {name: h.to_json() for name, h in self.tokens.items()},
            "tokens_of": dict(zip(("model", "layout"), self.counted_by, strict=True)),
            "longer": [
                {"tokens": limit, "records": n, "share": round(n / whole, 4)}
                for limit, n in self.longer.items()
            ],
            "licences": self.licences,
        }


@dataclass
class _Lengths:
    """What is measured of every record, in its order."""

    characters: dict[str, list[int]] = field(default_factory=lambda: {n: [] for n in LENGTHS})
    tokens: dict[str, list[int]] = field(
        default_factory=lambda: {n: [] for n in (*LENGTHS, "record")}
    )

    def add(self, records: Iterable[Record], counter: TokenCounter | None) -> None:
        for record in records:
            for name in LENGTHS:
                text = str(getattr(record, name))
                self.characters[name].append(len(text))
                if counter:
                    self.tokens[name].append(counter.text(text))
            if counter:
                self.tokens["record"].append(counter.record(record))


def dataset_stats(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter = ALL,
    counter: TokenCounter | None = None,
    limits: Sequence[int] = LIMITS,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> DatasetStats:
    """The numbers of the matching records; tokens where the `counter` of a model is given.

    Raises QeuError for a limit that is no number of tokens, `Stopped` when `stop` is set.
    """
    check_limits(limits)
    facets = read_facets(workspace, dataset, where)
    lengths = _Lengths()
    table: dict[str, dict[str, int]] = {}
    ids = matching_ids(workspace, dataset, where)
    done = 0
    # a tokenizer is slow beside a database: smaller batches are heard to stop sooner
    for batch in iterate_records(workspace, ids, 100 if counter else 1000):
        if stop and stop.is_set():
            raise Stopped("The count")
        lengths.add((stored.record for stored in batch), counter)
        for stored in batch:
            row = table.setdefault(stored.record.language, {})
            row[stored.record.category] = row.get(stored.record.category, 0) + 1
        done += len(batch)
        progress(done, len(ids))
    return DatasetStats(
        len(ids),
        {name: dict(values) for name, values in facets.items()},
        table,
        {name: make_histogram(found) for name, found in lengths.characters.items()},
        {name: make_histogram(found) for name, found in lengths.tokens.items() if counter},
        count_licences(workspace, dataset),
        count_longer(lengths.tokens["record"], limits) if counter else {},
        (counter.model.name, counter.layout) if counter else ("", ""),
    )


def check_limits(limits: Sequence[int]) -> None:
    """Raise QeuError for a limit that is no number of tokens."""
    if bad := [limit for limit in limits if not 0 < limit <= MOST_LIMIT]:
        raise QeuError(
            f"A limit of {bad[0]:,} tokens cannot be; choose 1 to {MOST_LIMIT:,}, such as 512."
        )
