"""Write rows to JSON, JSONL, CSV, Parquet or Excel; a file is there whole or not at all."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.store.text_readers import protect_cell

MOST_CELL_CHARACTERS = 32_767  # Excel's own limits
MOST_SHEET_ROWS = 1_048_575
_ILLEGAL_IN_XML = re.compile("[\ufffe\uffff]")
Row = Mapping[str, object]


def write_rows(path: Path, kind: str, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write the named columns of all rows; how many there were.

    Raises QeuError for an unknown format, a folder that cannot be written, a full disk, or a text
    that a cell of Excel cannot hold. Spreadsheet formats get no cell that would run as a formula.
    """
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


def _write_json(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for count, row in enumerate(rows, start=1):
            file.write(",\n" if count > 1 else "\n")
            file.write(_dump(row, columns))
        file.write("\n]\n")
    return count


def _write_jsonl(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counted
            file.write(_dump(row, columns) + "\n")
    return count


def _dump(row: Row, columns: Sequence[str]) -> str:
    # lone surrogates of other columns cannot be UTF-8: such a row is written in ASCII
    values = {name: row[name] for name in columns if name in row}
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(values)
    return text


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    count = 0
    # with a mark: without it Excel takes UTF-8 for the machine's old encoding
    with path.open("w", encoding="utf-8-sig", newline="", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([protect_cell(name) for name in columns])
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counted
            writer.writerow([protect_cell(cell_text(row.get(name))) for name in columns])
    return count


def _write_xlsx(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("records")
    sheet.freeze_panes = "A2"
    sheet.append([protect_cell(name) for name in columns])
    count = 0
    try:
        for count, row in enumerate(rows, start=1):
            if count > MOST_SHEET_ROWS:
                raise QeuError(
                    f"A sheet holds {MOST_SHEET_ROWS:,} records at most. Filter, or export as CSV."
                )
            sheet.append([_sheet_cell(row, name) for name in columns])
    except BaseException:
        # openpyxl's half-written sheet would complain when it is thrown away open
        sheet.close()
        raise
    book.save(path)
    return count


def _sheet_cell(row: Row, name: str) -> object:
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    text = protect_cell(_ILLEGAL_IN_XML.sub("\ufffd", cell_text(value)))
    if len(text) > MOST_CELL_CHARACTERS:
        raise QeuError(
            f"Record {row.get('seq', '')} has {len(text):,} characters in {name}; a cell of Excel "
            f"holds {MOST_CELL_CHARACTERS:,}. Export as CSV or JSONL, or leave it out by a filter."
        )
    return text or None


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = [(name, pa.int64() if name == "no" else pa.string()) for name in columns]
    schema = pa.schema(types)
    source, count = iter(rows), 0
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(source, 5000)):
            data = {
                name: [
                    value if name == "no" or value is None else _encodable(cell_text(value))
                    for value in (row.get(name) for row in batch)
                ]
                for name in columns
            }
            writer.write_table(pa.table(data, schema=schema))
            count += len(batch)
    return count


def cell_text(value: object) -> str:
    """A value as one cell: text as it is, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


_WRITERS: Mapping[str, Callable[[Path, Sequence[str], Iterable[Row]], int]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
}
