"""Numbers about a data set: counts, lengths in characters and tokens, language × category."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qeu.core.length_stats import Histogram, make_histogram
from qeu.services.data_export import count_licences
from qeu.store.changes import Progress
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import count_matching, iterate_records, read_facets
from qeu.store.workspace import Workspace

LENGTHS = ("question", "reasoning", "output")
CountTokens = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class DatasetStats:
    """`facets` {facet: {value: records}}, `table` {language: {category: records}}.

    `characters` and `tokens` hold a histogram for question, reasoning and output each.
    """

    records: int
    facets: dict[str, dict[str, int]]
    table: dict[str, dict[str, int]]
    characters: dict[str, Histogram]
    tokens: dict[str, Histogram]
    licences: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "records": self.records,
            "facets": self.facets,
            "language_by_category": self.table,
            "characters": {name: h.to_json() for name, h in self.characters.items()},
            "tokens": {name: h.to_json() for name, h in self.tokens.items()},
            "licences": self.licences,
        }


def dataset_stats(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter = ALL,
    count_tokens: CountTokens | None = None,
    progress: Progress = lambda done, total: None,
) -> DatasetStats:
    """The numbers of the matching records; tokens only where `count_tokens` of a model is given."""
    facets = read_facets(workspace, dataset, where)
    table = {}
    for language, _ in facets["language"]:
        values = {name: getattr(where, name) for name in where.__dataclass_fields__}
        inside = Filter(**values | {"language": (language,)})
        table[language] = dict(read_facets(workspace, dataset, inside)["category"])
    characters: dict[str, list[int]] = {name: [] for name in LENGTHS}
    tokens: dict[str, list[int]] = {name: [] for name in LENGTHS}
    ids = matching_ids(workspace, dataset, where)
    done = 0
    for batch in iterate_records(workspace, ids):
        for name in LENGTHS:
            texts = [str(getattr(stored.record, name)) for stored in batch]
            characters[name] += map(len, texts)
            if count_tokens:
                tokens[name] += count_tokens(texts)
        done += len(batch)
        progress(done, len(ids))
    return DatasetStats(
        count_matching(workspace, dataset, where),
        {name: dict(values) for name, values in facets.items()},
        table,
        {name: make_histogram(lengths) for name, lengths in characters.items()},
        {name: make_histogram(lengths) for name, lengths in tokens.items() if count_tokens},
        count_licences(workspace, dataset),
    )
