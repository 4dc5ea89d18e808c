"""Open a data file by what is in it, not by its name: format, encoding, columns, rows."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qeu.core.columns import RowError
from qeu.core.errors import QeuError
from qeu.store.encodings import detect_encoding
from qeu.store.table_readers import read_parquet, read_xlsx
from qeu.store.text_readers import Rows, read_csv, read_json, read_jsonl

FORMATS = ("json", "jsonl", "csv", "parquet", "xlsx")
_SAMPLE_ROWS = 50


@dataclass(frozen=True)
class Source:
    """What a file turned out to be; `columns` are its first line's or its first rows', in order."""

    path: Path
    format: str
    encoding: str
    columns: tuple[str, ...]
    sample: tuple[dict[str, object], ...]


def inspect_file(path: Path) -> Source:
    """Look at a file's first rows; raises QeuError where it cannot be read at all."""
    kind, encoding = _recognise(path)
    head: list[str] = []
    with open_rows(Source(path, kind, encoding, (), ()), head) as rows:
        sample = [raw for _, raw in islice(rows, _SAMPLE_ROWS) if isinstance(raw, dict)]
    columns = dict.fromkeys([*head, *(str(name) for raw in sample for name in raw)])
    return Source(path, kind, encoding, tuple(columns), tuple(sample[:5]))


@contextmanager
def open_rows(source: Source, head: list[str] | None = None) -> Iterator[Rows]:
    """The rows of a file that was inspected; a fault of the whole file ends them as a last row.

    `head` gets the names of all columns, with the first row, where the format tells them.
    """
    head = [] if head is None else head
    if source.format in ("xlsx", "parquet"):
        read = read_xlsx if source.format == "xlsx" else read_parquet
        yield read(source.path, head)
        return
    with source.path.open("rb") as binary:
        errors = (
            "replace" if "16" in source.encoding or "32" in source.encoding else ("surrogateescape")
        )
        # newline "": a lone carriage return inside a CSV cell belongs to the cell
        newline = "" if source.format == "csv" else "\n"
        file = io.TextIOWrapper(binary, source.encoding, errors, newline=newline)
        if source.format == "csv":
            yield read_csv(file, head)
        else:
            yield read_json(file) if source.format == "json" else read_jsonl(file)


def hash_file(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognise(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise QeuError(f"The file {path} cannot be read ({error.strerror}).") from error
    if not head.strip():
        raise QeuError(f"The file {path.name} is empty.")
    if head.startswith(b"PK"):
        return "xlsx", ""
    if head.startswith(b"PAR1"):
        return "parquet", ""
    for start, what in (
        (b"\xd0\xcf\x11\xe0", "an old Excel file: save it as .xlsx"),
        (b"\x1f\x8b", "compressed: unpack it"),
        (b"SQLite format 3", "a database: export its rows as CSV or JSONL"),
        (b"%PDF", "a PDF: take the rows out of it"),
        (b"\x89PNG", "a picture: copy its rows into a table"),
        (b"\xff\xd8\xff", "a picture: copy its rows into a table"),
    ):
        if head.startswith(start):
            raise QeuError(f"The file {path.name} is {what}, then import that.")
    encoding = detect_encoding(path)
    start = head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")[:1]
    if start == "[":
        # a line that is a list of its own is JSON all the same: one list, not one a line
        return "json", encoding
    if start == "{":
        return _lines_or_object(path, encoding), encoding
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson"):
        raise QeuError(
            f"The file {path.name} is not JSON: it begins with {start!r}. Expected [ or {{. "
            "If it is a table, name it .csv."
        )
    if b"\0" in head and not encoding.startswith("utf-16"):
        raise QeuError(f"The file {path.name} is not text and of no format known here.")
    return "csv", encoding


def _lines_or_object(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding, errors="replace", newline="\n") as file:
        lines = (line for line in iter(lambda: file.readline(1024 * 1024), "") if line.strip())
        first = next(lines, "").strip()
        second = next(lines, "").strip()
    named_lines = path.suffix.lower() in (".jsonl", ".ndjson")
    if named_lines or second.startswith("{") or (not second and path.suffix.lower() != ".json"):
        return "jsonl"
    return "jsonl" if first.endswith("}") and not second else "json"


__all__ = ["FORMATS", "RowError", "Source", "hash_file", "inspect_file", "open_rows"]
