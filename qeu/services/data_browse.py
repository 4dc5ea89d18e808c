"""What a browser of records shows at once: a page, facets with counts, findings by check."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qeu.core.errors import QeuError
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.queries import Page, count_queues, get_record, read_facets, read_page
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

ROWS = 50


@dataclass(frozen=True)
class Browse:
    """Where somebody stands in a data set: filter, order, first row of the page."""

    where: Filter = ALL
    sort: str = "order"
    descending: bool = False
    offset: int = 0


@dataclass(frozen=True)
class View:
    """One page of a data set, `flags` {record id: names of checks}, and the facets' counts."""

    browse: Browse
    page: Page
    facets: dict[str, list[tuple[str, int]]]
    flags: dict[int, tuple[str, ...]]


def read_view(workspace: Workspace, dataset: Dataset, browse: Browse) -> View:
    """The page asked for; the last one where there are fewer rows than that."""
    page = _read_rows(workspace, dataset, browse)
    if not page.rows and browse.offset:
        last = max(0, (page.total - 1) // ROWS * ROWS)
        browse = replace(browse, offset=min(last, browse.offset - ROWS) if page.total else 0)
        page = _read_rows(workspace, dataset, browse)
    facets = read_queues(workspace, dataset, browse.where)
    return View(browse, page, facets, read_flags(workspace, page.rows))


def read_queues(
    workspace: Workspace, dataset: Dataset, where: Filter = ALL
) -> dict[str, list[tuple[str, int]]]:
    """The facets with their counts; `review` has an entry for each queue, not for each mixture."""
    facets = read_facets(workspace, dataset, where)
    return facets | {"review": count_queues(facets["review"])}


def read_flags(workspace: Workspace, rows: Sequence[StoredRecord]) -> dict[int, tuple[str, ...]]:
    """Which checks found something in these records as they are."""
    found: dict[int, list[str]] = {}
    versions = {stored.id: stored.version for stored in rows}
    for row in workspace.read(
        "SELECT DISTINCT record, version, name FROM findings "
        "WHERE record IN (SELECT value FROM json_each(?)) ORDER BY record, name",
        (json.dumps(list(versions)),),
    ):
        if row["version"] == versions[row["record"]]:
            found.setdefault(row["record"], []).append(row["name"])
    return {number: tuple(names) for number, names in found.items()}


def count_findings(workspace: Workspace, dataset: Dataset) -> dict[str, int]:
    """Records by check of the last check of a data set, most frequent first."""
    rows = workspace.read(
        "SELECT findings.name, count(DISTINCT records.id) AS number FROM findings "
        "JOIN records ON records.id = findings.record AND records.version = findings.version "
        "WHERE findings.dataset = ? AND records.dataset = ? "
        "GROUP BY findings.name ORDER BY 2 DESC, 1",
        (dataset.id, dataset.id),
    )
    return {row[0]: row[1] for row in rows}


def find_record(workspace: Workspace, dataset: Dataset, number: int) -> StoredRecord | None:
    """The record of this id, or None where it has left the data set."""
    try:
        return get_record(workspace, dataset, number)
    except QeuError:
        return None


def _read_rows(workspace: Workspace, dataset: Dataset, browse: Browse) -> Page:
    return read_page(
        workspace, dataset, browse.where, browse.sort, browse.descending, browse.offset, ROWS
    )
