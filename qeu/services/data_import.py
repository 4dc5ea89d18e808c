"""Import files and Hub data sets into a data set of the workspace, with a report row by row."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qeu.core.columns import FIELDS, Rejected, RowError, check_mapping, guess_columns, read_row
from qeu.core.errors import QeuError
from qeu.store.files import Source, hash_file, inspect_file, open_rows
from qeu.store.hub_datasets import read_hub
from qeu.store.imports import Added, add_records
from qeu.store.text_readers import Rows
from qeu.store.workspace import Workspace

# As many bad rows are kept with their content, for download; all of them are counted.
MOST_BAD_ROWS = 10_000
MOST_BAD_ROW_CHARACTERS = 20_000
_MOST_IN_EVENT = 200
# Columns of a file that are looked at for what they may mean.
MOST_NAMES = 1_000


@dataclass
class ImportReport:
    """What became of a file: good rows imported or known already, bad ones with their reasons.

    `same_seq` of the imported rows stand beside a record of the same seq and other content: rows
    that were edited outside, where `update` would have set that record.
    """

    file: str
    dataset: str
    format: str = ""
    encoding: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    imported: int = 0
    unchanged: int = 0
    updated: int = 0
    same_seq: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    rejected_count: int = 0
    bad_rows: list[dict[str, object]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Plain values, without the content of the bad rows."""
        return {
            "file": self.file,
            "dataset": self.dataset,
            "format": self.format,
            "encoding": self.encoding,
            "columns": self.columns,
            "imported": self.imported,
            "unchanged": self.unchanged,
            "updated": self.updated,
            "same_seq": self.same_seq,
            "rejected": [bad.to_json() for bad in self.rejected],
            "rejected_count": self.rejected_count,
        }

    def bad_rows_jsonl(self) -> str:
        """The bad rows as a file to mend and import again: each with its number and reason."""
        return "".join(json.dumps(row) + "\n" for row in self.bad_rows)


@dataclass(frozen=True)
class ImportOptions:
    """How to read the rows; `columns` {field: column} corrects the guess, "" as column unsets it.

    `language` "" finds each row's from its question.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    category: str = "open_qa"
    licence: str = ""
    update: bool = False


@dataclass(frozen=True)
class ImportPreview:
    """A file before its import: the columns as they would be read, and its first rows."""

    source: Source
    columns: dict[str, str]
    problems: list[str]


def preview_import(path: Path, options: ImportOptions | None = None) -> ImportPreview:
    """Look at a file without importing it; raises QeuError where it cannot be read at all."""
    source = inspect_file(path)
    columns = ColumnMap(source.columns, options or ImportOptions()).columns
    return ImportPreview(source, columns, check_mapping(columns, source.columns))


def import_file(
    workspace: Workspace,
    path: Path,
    dataset: str,
    options: ImportOptions | None = None,
    progress: Callable[[int], None] = lambda done: None,
    stop: threading.Event | None = None,
    shown_name: str = "",
) -> ImportReport:
    """Bring a file's good rows into the data set, in one transaction; the report of all rows.

    Raises QeuError where the file as a whole cannot be read, or its columns are not understood.
    """
    options = options or ImportOptions()
    preview = preview_import(path, options)
    name = shown_name or path.name
    source = preview.source
    report = ImportReport(name, dataset, source.format, source.encoding, preview.columns)
    if source.sample and preview.problems:
        raise QeuError(f"{name}: {' '.join(preview.problems)}")
    with open_rows(source) as rows:
        names = source.columns
        _import(workspace, report, rows, names, hash_file(path), options, progress, stop)
    return report


def import_hub(
    workspace: Workspace,
    name: str,
    dataset: str,
    split: str = "train",
    options: ImportOptions | None = None,
    progress: Callable[[int], None] = lambda done: None,
    stop: threading.Event | None = None,
    read: Callable[[str, str], Iterator[tuple[int, object]]] = read_hub,
) -> ImportReport:
    """The same for a data set of the Hub, streamed."""
    options = options or ImportOptions()
    rows = read(name, split)
    first = next(rows, None)
    names = tuple(first[1]) if first and isinstance(first[1], dict) else ()
    columns = ColumnMap(names, options).columns
    if problems := check_mapping(columns, names):
        raise QeuError(f"{name}: {' '.join(problems)}")
    report = ImportReport(f"hub:{name}/{split}", dataset, "hub", "", columns)

    def all_rows() -> Rows:
        if first:
            yield first
        yield from rows

    _import(workspace, report, all_rows(), names, "", options, progress, stop)
    return report


class ColumnMap:
    """Which column is which field; columns that appear only far down in a file join in there.

    `columns` {field: column} is what is known so far.
    """

    def __init__(self, names: Iterable[str], options: ImportOptions) -> None:
        self._names = dict.fromkeys(names)
        self._options = options
        self.columns: dict[str, str] = {}
        self._guess()

    def of(self, raw: object) -> dict[str, str]:
        """The columns, those of this row included."""
        is_new = isinstance(raw, dict) and not raw.keys() <= self._names.keys()
        # a file whose every row has other columns must not make each row dearer than the last
        if is_new and len(self._names) < MOST_NAMES:
            self._names.update(dict.fromkeys(map(str, raw)))
            self._guess()
        return self.columns

    def _guess(self) -> None:
        chosen = {f: c for f, c in self._options.columns.items() if c}
        guessed = {
            f: c
            for f, c in guess_columns(tuple(self._names)).items()
            if f not in self._options.columns and c not in chosen.values()
        }
        # what was understood once is not understood otherwise further down
        taken = {**chosen, **self.columns}.values()
        fresh = {f: c for f, c in guessed.items() if f not in self.columns and c not in taken}
        known = {**self.columns, **chosen, **fresh}
        self.columns = {f: known[f] for f in (*FIELDS, *known) if f in known}


def _import(
    workspace: Workspace,
    report: ImportReport,
    rows: Rows,
    names: Iterable[str],
    sha256: str,
    options: ImportOptions,
    progress: Callable[[int], None],
    stop: threading.Event | None,
) -> None:
    def good_rows() -> Iterator[dict[str, object]]:
        number = 0
        known = ColumnMap(names, options)
        try:
            for number, raw in rows:
                try:
                    if isinstance(raw, RowError):
                        raise raw
                    yield read_row(raw, number, known.of(raw), options.language, options.category)
                except RowError as error:
                    _reject(report, number, raw, error)
                    if stop and stop.is_set():
                        return
        except QeuError as error:
            # a damaged workbook or Parquet file: the rows before the damage are good
            _reject(report, number + 1, None, RowError("", str(error)))
        finally:
            report.columns = known.columns

    def tell(added: Added) -> Mapping[str, object]:
        report.imported, report.unchanged = added.imported, added.unchanged
        report.updated, report.same_seq = added.updated, added.same_seq
        return {
            "file": report.file,
            "sha256": sha256,
            "licence": options.licence,
            "imported": added.imported,
            "unchanged": added.unchanged,
            "updated": added.updated,
            "rejected": [bad.to_json() for bad in report.rejected[:_MOST_IN_EVENT]],
            "rejected_count": report.rejected_count,
        }

    add_records(
        workspace,
        report.dataset,
        good_rows(),
        tell,
        update=options.update,
        progress=progress,
        stop=stop,
    )


def _reject(report: ImportReport, number: int, raw: object, error: RowError) -> None:
    report.rejected_count += 1
    if len(report.rejected) >= MOST_BAD_ROWS:
        return
    report.rejected.append(Rejected(number, *map(str, error.args)))
    content: object = None if isinstance(raw, RowError) else raw
    try:
        if len(json.dumps(content, default=str)) > MOST_BAD_ROW_CHARACTERS:
            content = "(too long to be kept)"
    except (ValueError, RecursionError):
        content = "(nested too deeply to be kept)"
    kept = json.loads(json.dumps(content, default=str, allow_nan=True))
    report.bad_rows.append({**report.rejected[-1].to_json(), "content": kept})
