"""Export a data set, whole or filtered, to a file or the Hub, with its licences told."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.store.datasets import Dataset, Stopped
from qeu.store.extras import arrow_types, flatten_extra, list_extra_names
from qeu.store.filters import ALL, Filter
from qeu.store.hub_datasets import push_files
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace
from qeu.store.writers import Columns, format_of, write_rows

RECORD_COLUMNS = (
    *("no", "seq", "category", "field", "uniqueness", "language"),
    *("instruction", "input", "reasoning", "output"),
)
ALPACA_COLUMNS = ("instruction", "input", "output")
WORKSPACE_COLUMNS = ("status", "split", "review")


@dataclass(frozen=True)
class ExportReport:
    """What was written where; `licences` counts records by the licence they came under."""

    file: str
    rows: int
    columns: tuple[str, ...]
    licences: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "file": self.file,
            "rows": self.rows,
            "columns": list(self.columns),
            "licences": self.licences,
        }


def list_columns(workspace: Workspace, dataset: Dataset) -> tuple[str, ...]:
    """All columns that can be exported: a record's, then those its files brought besides."""
    return (*RECORD_COLUMNS, *list_extra_names(workspace, dataset))


def export_file(
    workspace: Workspace,
    dataset: Dataset,
    path: Path,
    *,
    kind: str = "",
    where: Filter = ALL,
    columns: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write the matching records; no `columns`: all, no `kind`: as the file's name ends."""
    kind = kind or format_of(path)
    available = list_columns(workspace, dataset)
    columns = columns or available
    choice = (*available, *WORKSPACE_COLUMNS, "question")
    if unknown := [name for name in columns if name not in choice]:
        raise QeuError(f"Unknown column {unknown[0]!r}. Choose among: {', '.join(choice)}.")
    ids = matching_ids(workspace, dataset, where)

    def rows() -> Iterator[dict[str, object]]:
        done = 0
        for batch in iterate_records(workspace, ids):
            if stop and stop.is_set():
                raise Stopped("The export")
            yield from map(flat_row, batch)
            done += len(batch)
            progress(done, len(ids))

    own = (*RECORD_COLUMNS, *WORKSPACE_COLUMNS, "question")
    table = Columns(
        columns,
        frozenset(columns) - frozenset(own),
        arrow_types(workspace, dataset) if kind == "parquet" else {},
    )
    count = write_rows(path, kind, table, rows())
    return ExportReport(str(path), count, columns, count_licences(workspace, dataset))


def flat_row(stored: StoredRecord) -> dict[str, object]:
    """A record as a row: its fields, the workspace's, and the columns its file brought besides."""
    record: Record = stored.record
    values: dict[str, object] = flatten_extra(record.extra)
    for name in RECORD_COLUMNS:
        values[name] = getattr(record, name)
    values["question"] = record.question
    return values | {name: getattr(stored, name) for name in WORKSPACE_COLUMNS}


def count_licences(workspace: Workspace, dataset: Dataset) -> dict[str, int]:
    """{licence: records with a text under it}; "" is unknown. Texts written later count too."""
    counts: dict[str, int] = {}
    queries = (
        "SELECT events.data, n FROM (SELECT born, count(*) AS n FROM records WHERE dataset = ? "
        "GROUP BY born) JOIN events ON events.id = born",
        "SELECT events.data, n FROM (SELECT changes.event, count(DISTINCT record) AS n "
        "FROM changes JOIN steps ON steps.event = changes.event "
        "WHERE steps.dataset = ? AND steps.state = 'done' GROUP BY changes.event) c "
        "JOIN events ON events.id = c.event WHERE json_extract(events.data, '$.licence') != ''",
    )
    for query in queries:
        for data, number in workspace.read(query, (dataset.id,)):
            licence = str(json.loads(data).get("licence") or "")
            counts[licence] = counts.get(licence, 0) + number
    return counts


def make_card(workspace: Workspace, dataset: Dataset, where: Filter = ALL) -> str:
    """The README.md of a data set on the Hub: languages, counts, licences, where it came from."""
    from qeu.store.queries import read_facets

    facets = read_facets(workspace, dataset, where)
    licences = count_licences(workspace, dataset)
    codes = [code for code, _ in facets["language"] if code != "und"]
    named = sorted(name for name in licences if name)
    lines = ["---", "language:", *(f"- {code}" for code in codes)] if codes else ["---"]
    lines += [f"license: {named[0] if named == list(licences) and len(named) == 1 else 'other'}"]
    lines += ["task_categories:", "- text-generation", "tags:", "- reasoning", "---", ""]
    lines += [f"# {dataset.name}", "", "Instruction records with a reasoning field: how to think "]
    lines[-1] += "before the answer, without the answer in it. Made with QEU Playground."
    for facet in ("language", "category", "uniqueness", "status", "split"):
        lines += ["", f"| {facet} | records |", "| --- | --- |"]
        lines += [f"| {value or '(none)'} | {count:,} |" for value, count in facets[facet]]
    lines += ["", "## Licences of the texts", ""]
    lines += [f"- {name or 'not stated'}: {count:,} records" for name, count in licences.items()]
    lines += ["", "A teacher's licence may forbid training other models on its output."]
    return "\n".join(lines) + "\n"


def push_to_hub(
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    where: Filter = ALL,
    private: bool = True,
    push: Callable[[str, Mapping[str, Path | bytes], bool], str] = push_files,
) -> str:
    """Push the matching records with their card; the address. Needs HF_TOKEN and the network."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        if not export_file(workspace, dataset, path, where=where).rows:
            raise QeuError("There are no records to push; change the filter.")
        card = make_card(workspace, dataset, where).encode("utf-8")
        return push(name, {"data/train.parquet": path, "README.md": card}, private)
