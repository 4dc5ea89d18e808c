"""Write rows to JSON, JSONL, CSV, Parquet or Excel; a file is there whole or not at all."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.store.cells import encode_cell, protect_cell

MOST_CELL_CHARACTERS = 32_767  # Excel's own limits
MOST_SHEET_ROWS = 1_048_575
_ILLEGAL_IN_XML = re.compile("[\ufffe\uffff]")
Row = Mapping[str, object]


@dataclass(frozen=True)
class Columns:
    """The `names` of the columns, in their order.

    Those in `kept` come back with their kinds: a number as a number, a list as a list, and what is
    empty told from what is not there. Of the others None and "" are the same. `arrow` {name: type}
    names columns that Parquet holds as such: bool, int64, double, list<string>, list<int64>, …
    """

    names: Sequence[str]
    kept: frozenset[str] = frozenset()
    arrow: Mapping[str, str] = field(default_factory=dict)

    def text(self, row: Row, name: str, mark_empty: bool = True) -> str:
        """A row's value as one cell; "" where there is none."""
        value = row.get(name)
        if name in self.kept:
            return encode_cell(value, mark_empty) if name in row else ""
        if value is None:
            return ""
        return encode_cell(value) if isinstance(value, str) else json.dumps(value)


def write_rows(path: Path, kind: str, columns: Columns | Sequence[str], rows: Iterable[Row]) -> int:
    """Write the named columns of all rows; how many there were.

    Raises QeuError for an unknown format, a folder that cannot be written, a full disk, or a text
    that a cell of Excel cannot hold. Spreadsheet formats get no cell that would run as a formula.
    """
    if not isinstance(columns, Columns):
        columns = Columns(columns)
    if kind not in _WRITERS:
        raise QeuError(f"Unknown format {kind!r}. Choose one of: {', '.join(_WRITERS)}.")
    try:
        with _finished(path) as part:
            return _WRITERS[kind](part, columns, rows)
    except OSError as error:
        raise QeuError(
            f"The file {path} could not be written ({error.strerror or error}). "
            "What stood there before is unchanged."
        ) from error


def format_of(path: Path) -> str:
    """The format that a file's name asks for; raises QeuError for another ending."""
    kind = {"ndjson": "jsonl", "tsv": ""}.get(end := path.suffix.lower().lstrip("."), end)
    if kind not in _WRITERS:
        raise QeuError(
            f"The name {path.name!r} does not say which format. End it with one of: "
            f"{', '.join('.' + name for name in _WRITERS)}."
        )
    return kind


@contextmanager
def _finished(path: Path) -> Iterator[Path]:
    """A name beside the file's own, renamed to it when all is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _write_json(path: Path, columns: Columns, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for count, row in enumerate(rows, start=1):
            file.write(",\n" if count > 1 else "\n")
            file.write(_dump(row, columns))
        file.write("\n]\n")
    return count


def _write_jsonl(path: Path, columns: Columns, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counted
            file.write(_dump(row, columns) + "\n")
    return count


def _dump(row: Row, columns: Columns) -> str:
    # lone surrogates of other columns cannot be UTF-8: such a row is written in ASCII
    values = {name: row[name] for name in columns.names if name in row}
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(values)
    return text


def _write_csv(path: Path, columns: Columns, rows: Iterable[Row]) -> int:
    count = 0
    # with a mark: without it Excel takes UTF-8 for the machine's old encoding
    with path.open("w", encoding="utf-8-sig", newline="", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(map(protect_cell, columns.names))
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counted
            writer.writerow([protect_cell(columns.text(row, name)) for name in columns.names])
    return count


def _write_xlsx(path: Path, columns: Columns, rows: Iterable[Row]) -> int:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("records")
    sheet.freeze_panes = "A2"
    sheet.append(list(map(protect_cell, columns.names)))
    count = 0
    try:
        for count, row in enumerate(rows, start=1):
            if count > MOST_SHEET_ROWS:
                raise QeuError(
                    f"A sheet holds {MOST_SHEET_ROWS:,} records at most. Filter, or export as CSV."
                )
            sheet.append([_sheet_cell(columns, row, name) for name in columns.names])
    except BaseException:
        # openpyxl's half-written sheet would complain when it is thrown away open
        sheet.close()
        raise
    book.save(path)
    return count


def _sheet_cell(columns: Columns, row: Row, name: str) -> object:
    value = row.get(name)
    if isinstance(value, int) and abs(value) < 2**53:  # true and false too
        return value
    # sheets keep 15 digits, and a whole number of floating point comes back as an integer
    if isinstance(value, float) and not value.is_integer() and float(f"{value:.15g}") == value:
        return value
    text = protect_cell(_ILLEGAL_IN_XML.sub("\ufffd", columns.text(row, name)))
    if len(text) > MOST_CELL_CHARACTERS:
        raise QeuError(
            f"Record {row.get('seq', '')} has {len(text):,} characters in {name}; a cell of Excel "
            f"holds {MOST_CELL_CHARACTERS:,}. Export as CSV or JSONL, or leave it out by a filter."
        )
    return text or None


def _write_parquet(path: Path, columns: Columns, rows: Iterable[Row]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def type_of(name: str) -> pa.DataType:
        told = "int64" if name == "no" else columns.arrow.get(name, "string")
        if told.startswith("list<"):
            return pa.list_(pa.type_for_alias(told[5:-1]))
        return pa.type_for_alias(told)

    schema = pa.schema([(name, type_of(name)) for name in columns.names])
    native = {"no", *columns.arrow}
    source, count = iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(source, 5000)):
            data = {
                name: [
                    row.get(name) if name in native else _parquet_text(columns, row, name)
                    for row in batch
                ]
                for name in columns.names
            }
            writer.write_table(pa.table(data, schema=schema))
            count += len(batch)
    return count


def _parquet_text(columns: Columns, row: Row, name: str) -> str | None:
    absent = name not in row if name in columns.kept else row.get(name) is None
    if absent:
        return None
    text = columns.text(row, name, mark_empty=False)
    return text.encode("utf-8", "replace").decode("utf-8")


_WRITERS: Mapping[str, Callable[[Path, Columns, Iterable[Row]], int]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
}
