"""Find the records that match: ids from the indexes, search candidates held to the text."""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter, make_conditions
from qeu.store.records import FACETS
from qeu.store.search_index import candidate_blocks
from qeu.store.workspace import Workspace

_CHUNK = 5_000
_DENSE = 1_200  # candidates of a block from which on reading all of it is faster
# Every facet, seq number and length is read from this index alone.
FACET_INDEX = "records INDEXED BY records_facets"
Cells = tuple[tuple[tuple[str, ...], int], ...]
_known_cells: "WeakKeyDictionary[Workspace, dict[int, tuple[int, Cells]]]" = WeakKeyDictionary()


def matching_ids(workspace: Workspace, dataset: Dataset, where: Filter = ALL) -> "array[int]":
    """The ids of all that match, exactly, in the data set's order: 8 bytes each."""
    ids = array("q")
    for part in matching_parts(workspace, dataset, where):
        ids.extend(part)
    return ids


def matching_parts(
    workspace: Workspace, dataset: Dataset, where: Filter
) -> Iterator[Sequence[int]]:
    """The same, part by part."""
    if where.term:
        for ids, _ in compare_texts(workspace, dataset, where):
            yield ids
        return
    sql, values = make_conditions(dataset, with_queues(workspace, dataset, where))
    last = 0
    while True:
        rows = workspace.read(
            f"SELECT id FROM records WHERE {sql} AND records.id > ? ORDER BY id LIMIT 50000",
            (*values, last),
        )
        if not rows:
            return
        yield [row[0] for row in rows]
        last = rows[-1][0]


def compare_texts(
    workspace: Workspace, dataset: Dataset, where: Filter
) -> Iterator[tuple[list[int], int]]:
    """(ids that match, how many candidates were compared for it), part by part, in order."""
    sql, values = make_conditions(dataset, with_queues(workspace, dataset, where))
    test = "(instr(folded, ?) > 0 OR instr(folded_reasoning, ?) > 0)"
    term = (where.term, where.term)
    table = "search_texts"
    if where == Filter(search=where.search) and _is_whole(workspace, dataset):
        sql, values = "1", []  # every text belongs to a record: there is nothing to join
    else:
        table += " CROSS JOIN records ON records.id = search_texts.id"
    query = f"SELECT search_texts.id FROM {table} WHERE search_texts.id {{}} AND {test} AND {sql}"
    query += " ORDER BY search_texts.id"

    def within(first: int, last: int) -> list[int]:
        rows = workspace.read(query.format("BETWEEN ? AND ?"), (first, last, *term, *values))
        return [row[0] for row in rows]

    def among(ids: list[int]) -> list[int]:
        some = "IN (SELECT value FROM json_each(?))"
        rows = workspace.read(query.format(some), (json.dumps(ids), *term, *values))
        return [row[0] for row in rows]

    blocks = candidate_blocks(workspace.read, dataset.id, where.term)
    if blocks is None:
        base, end = dataset.id << 32, _next_number(workspace, dataset)
        for start in range(0, end, _CHUNK):
            yield within(base + start, base + start + _CHUNK - 1), min(_CHUNK, end - start)
        return
    waiting: list[int] = []
    for block in blocks:
        if len(block) > _DENSE:
            if waiting:
                yield among(waiting), len(waiting)
                waiting = []
            yield within(block[0], block[-1]), len(block)
            continue
        waiting += block
        if len(waiting) >= 1000:
            yield among(waiting), len(waiting)
            waiting = []
    if waiting:
        yield among(waiting), len(waiting)


def count_candidates(workspace: Workspace, dataset: Dataset, term: str) -> int:
    """How many records a search for the folded term has to compare."""
    blocks = candidate_blocks(workspace.read, dataset.id, term)
    return _next_number(workspace, dataset) if blocks is None else sum(map(len, blocks))


def _is_whole(workspace: Workspace, dataset: Dataset) -> bool:
    present = sum(count for _, count in facet_cells(workspace, dataset))
    return present == _next_number(workspace, dataset)


def _next_number(workspace: Workspace, dataset: Dataset) -> int:
    rows = workspace.read("SELECT next_number FROM datasets WHERE id = ?", (dataset.id,))
    return int(rows[0][0])


def facet_cells(workspace: Workspace, dataset: Dataset) -> Cells:
    """(values of all facets, records that have them): few cells tell every count.

    Kept until the data set changes: its revision grows with every change.
    """
    row = workspace.read("SELECT revision FROM datasets WHERE id = ?", (dataset.id,))
    revision = row[0][0] if row else -1
    kept = _known_cells.setdefault(workspace, {})
    if dataset.id not in kept or kept[dataset.id][0] != revision:
        names = ", ".join(FACETS)
        rows = workspace.read(
            f"SELECT {names}, count(*) FROM {FACET_INDEX} WHERE dataset = ? GROUP BY {names}",
            (dataset.id,),
        )
        kept[dataset.id] = revision, tuple((tuple(row)[:-1], row[-1]) for row in rows)
    return kept[dataset.id][1]


def with_queues(workspace: Workspace, dataset: Dataset, where: Filter) -> Filter:
    """The filter with every value of `review` that it means: "category" is "category,field" too."""
    if not any(where.review):
        return where
    place = FACETS.index("review")
    present = sorted({cell[place] for cell, _ in facet_cells(workspace, dataset)})
    more = (name for name in present if not set(name.split(",")).isdisjoint(where.review))
    return replace(where, review=tuple(dict.fromkeys((*where.review, *more))))


def forget_cells(workspace: Workspace) -> None:
    """Let the next facets be counted anew; for measurements."""
    _known_cells.pop(workspace, None)
