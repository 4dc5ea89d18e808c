"""Look at a data set: pages, sort orders, facets with counts, filters, search. Changes nothing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter, in_cell, make_conditions
from qeu.store.matching import (
    FACET_INDEX,
    compare_texts,
    count_candidates,
    facet_cells,
    matching_ids,
    matching_parts,
    with_queues,
)
from qeu.store.records import FACETS, StoredRecord, load_record, seq_number
from qeu.store.workspace import Workspace

SORTS = ("order", "seq", *FACETS, "question_length", "reasoning_length", "output_length")
# Candidates of a search that one page compares with the text; further ones are estimated.
MOST_COMPARED = 30_000


@dataclass(frozen=True)
class Page:
    """Some rows and how many there are; not `total_exact` where a search estimated the rest."""

    rows: tuple[StoredRecord, ...]
    total: int
    total_exact: bool = True


def get_record(workspace: Workspace, dataset: Dataset, number: int) -> StoredRecord:
    """One record by its id; raises QeuError where the data set has none such."""
    rows = workspace.read(
        "SELECT * FROM records WHERE id = ? AND dataset = ?", (number, dataset.id)
    )
    if not rows:
        raise QeuError(f"Data set {dataset.name!r} has no such record; it may have been removed.")
    return load_record(rows[0])


def find_by_seq(workspace: Workspace, dataset: Dataset, seq: str) -> list[StoredRecord]:
    """The records with this seq: one, unless files with equal seqs were put together."""
    rows = workspace.read(
        "SELECT * FROM records WHERE dataset = ? AND seq_number = ? AND seq = ?",
        (dataset.id, seq_number(seq), seq),
    )
    return [load_record(row) for row in rows]


def read_page(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter = ALL,
    sort: str = "order",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> Page:
    """Rows [offset, offset + limit) of the filtered data set in that order."""
    if sort not in SORTS:
        raise QeuError(f"Unknown order {sort!r}. Choose one of: {', '.join(SORTS)}.")
    offset, limit = max(0, offset), max(0, min(limit, 1000))
    where = with_queues(workspace, dataset, where)
    if where.search or where.check or where.ids:
        ids, total, exact = _hits(workspace, dataset, where, sort, descending, offset + limit)
        wanted = ids[offset : offset + limit]
    else:
        total, exact = count_matching(workspace, dataset, where), True
        wanted = _sorted_ids(workspace, dataset, where, sort, descending, offset, limit, total)
    return Page(tuple(load_records(workspace, wanted)), total, exact)


def load_records(workspace: Workspace, ids: Sequence[int]) -> list[StoredRecord]:
    """Records by id, in the order given."""
    rows = workspace.read(
        "SELECT * FROM records WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    found = {row["id"]: load_record(row) for row in rows}
    return [found[number] for number in ids if number in found]


def count_matching(workspace: Workspace, dataset: Dataset, where: Filter = ALL) -> int:
    """How many records match, exactly."""
    if where.search or where.check or where.ids:
        return sum(len(part) for part in matching_parts(workspace, dataset, where))
    wanted = with_queues(workspace, dataset, where).facet_values()
    cells = facet_cells(workspace, dataset)
    return sum(n for cell, n in cells if in_cell(cell, wanted))


def read_facets(
    workspace: Workspace, dataset: Dataset, where: Filter = ALL
) -> dict[str, list[tuple[str, int]]]:
    """For each facet its values with counts, most frequent first.

    A facet's own restriction does not narrow its counts, so that another value can be chosen.
    With a search, the counts are of the first MOST_COMPARED candidates.
    """
    wanted = with_queues(workspace, dataset, where).facet_values()
    if where.search or where.check or where.ids:
        bare = Filter(search=where.search, check=where.check, ids=where.ids)
        ids, _, _ = _hits(workspace, dataset, bare, "order", False, MOST_COMPARED)
        names = ", ".join(FACETS)
        rows = workspace.read(
            f"SELECT {names}, count(*) FROM records "
            f"WHERE id IN (SELECT value FROM json_each(?)) GROUP BY {names}",
            (json.dumps(list(ids)),),
        )
        cells = [(tuple(row)[:-1], row[-1]) for row in rows]
    else:
        cells = facet_cells(workspace, dataset)
    facets = {}
    for place, name in enumerate(FACETS):
        others = {k: v for k, v in wanted.items() if k != name}
        counts: Counter[str] = Counter()
        for cell, number in cells:
            if in_cell(cell, others):
                counts[cell[place]] += number
        facets[name] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return facets


def count_queues(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The `review` of `read_facets` by queue: who waits in two is counted in both."""
    queues: Counter[str] = Counter()
    for value, number in counts:
        for name in value.split(","):
            queues[name] += number
    return sorted(queues.items(), key=lambda item: (-item[1], item[0]))


def iterate_records(
    workspace: Workspace, ids: Sequence[int], batch: int = 1000
) -> Iterator[list[StoredRecord]]:
    """The records of these ids, a batch at a time, in that order."""
    for start in range(0, len(ids), batch):
        yield load_records(workspace, ids[start : start + batch])


def _hits(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter,
    sort: str,
    descending: bool,
    needed: int,
) -> tuple[list[int], int, bool]:
    """(ids in order, total, whether it is exact) of a filter with search, check or ids."""
    if not where.term:
        ids, exact, total = list(matching_ids(workspace, dataset, where)), True, 0
        total = len(ids)
    else:
        ids, compared, exact = [], 0, True
        in_order = sort == "order" and not descending
        for found, tried in compare_texts(workspace, dataset, where):
            if compared >= MOST_COMPARED and (not in_order or len(ids) >= needed):
                exact = False
                break
            ids += found
            compared += tried
        total = len(ids)
        if not exact:
            total = round(len(ids) / compared * count_candidates(workspace, dataset, where.term))
    if sort != "order" and ids:
        rows = workspace.read(
            "SELECT id FROM records WHERE id IN (SELECT value FROM json_each(?)) "
            f"ORDER BY {_order(sort, descending)}",
            (json.dumps(ids),),
        )
        ids = [row[0] for row in rows]
    elif descending:
        ids.reverse()
    return ids, total, exact


def _order(sort: str, descending: bool) -> str:
    way = " DESC" if descending else ""
    if sort == "order":
        return f"id{way}"
    if sort == "seq":
        return f"seq_number{way}, seq{way}, id{way}"
    return f"{sort}{way}, id{way}"


def _sorted_ids(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter,
    sort: str,
    descending: bool,
    offset: int,
    limit: int,
    total: int,
) -> list[int]:
    if offset > total // 2:
        # the far end is near when walked from the other side
        count = max(0, min(limit, total - offset))
        turned = _ids_by_sql(
            workspace, dataset, where, sort, not descending, total - offset - count, count
        )
        return turned[::-1]
    return _ids_by_sql(workspace, dataset, where, sort, descending, offset, limit)


def _ids_by_sql(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter,
    sort: str,
    descending: bool,
    offset: int,
    limit: int,
) -> list[int]:
    if sort in FACETS:
        return _ids_by_facet(workspace, dataset, where, sort, descending, offset, limit)
    sql, values = make_conditions(dataset, where)
    source = FACET_INDEX
    if not where.facet_values():
        index = "records_order" if sort == "order" else f"records_{sort}"
        source = f"records INDEXED BY {index}"
    elif sort == "seq":
        source = "records"
    rows = workspace.read(
        f"SELECT id FROM {source} WHERE {sql} ORDER BY {_order(sort, descending)} LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [row[0] for row in rows]


def _ids_by_facet(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter,
    facet: str,
    descending: bool,
    offset: int,
    limit: int,
) -> list[int]:
    """Cell after cell of the facet index, whose counts are known: only those shown are read.

    Records of one value are ordered by the other facets, then by seq.
    """
    wanted, place = where.facet_values(), FACETS.index(facet)
    cells = [cell for cell in facet_cells(workspace, dataset) if in_cell(cell[0], wanted)]
    cells.sort(key=lambda cell: (cell[0][place], cell[0]), reverse=descending)
    way = " DESC" if descending else ""
    columns = ("seq_number", "question_length", "reasoning_length", "output_length", "id")
    order = ", ".join(f"{name}{way}" for name in columns)
    same = " AND ".join(f"{name} = ?" for name in FACETS)
    ids: list[int] = []
    for values, count in cells:
        if offset >= count:
            offset -= count
            continue
        rows = workspace.read(
            f"SELECT id FROM {FACET_INDEX} WHERE dataset = ? AND {same} ORDER BY {order} "
            "LIMIT ? OFFSET ?",
            (dataset.id, *values, limit - len(ids), offset),
        )
        ids += [row[0] for row in rows]
        offset = 0
        if len(ids) >= limit:
            break
    return ids
