"""Read rows from Excel and Parquet files; sizes are looked at before anything is unpacked."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from qeu.core.columns import RowError
from qeu.core.errors import QeuError
from qeu.store.cells import decode_cell, restore_cell
from qeu.store.text_readers import Rows, unique_names

MOST_UNPACKED_BYTES = 256 * 1024 * 1024
MOST_GROUP_BYTES = 1024 * 1024 * 1024
MOST_COLUMNS = 1000


def read_xlsx(path: Path, head: list[str]) -> Rows:
    """Rows of the first sheet as {column: value} under the first row's names; values, no formulas.

    `head` gets those names.
    Raises QeuError for what is no workbook, or would unpack to more than 256 MB.
    """
    _refuse_bombs(path)
    import openpyxl

    try:
        # a file, not its name: openpyxl judges names by their endings
        with path.open("rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            # what a file says about its own size may be a lie
            sheet.reset_dimensions()
            yield from _sheet_rows(sheet.iter_rows(values_only=True), head)
    except QeuError:
        raise
    except Exception as error:
        # openpyxl raises whatever its XML and zip readers do: KeyError, ParseError, ValueError, …
        raise QeuError(
            f"{path.name} is no workbook that can be read ({type(error).__name__}). "
            "Open it in a spreadsheet program and save it as .xlsx again."
        ) from error


def _sheet_rows(rows: Iterator[tuple[object, ...]], head: list[str]) -> Rows:
    first = next(rows, ())
    if len(first) > MOST_COLUMNS:
        raise QeuError(f"The sheet has {len(first):,} columns; expected at most {MOST_COLUMNS:,}.")
    while first and first[-1] is None:
        first = first[:-1]
    names = unique_names(["" if name is None else str(name) for name in first])
    head += names
    if not names:
        raise QeuError("The first row of the sheet is empty; expected the names of the columns.")
    for number, cells in enumerate(rows, start=1):
        if any(cell is not None for cell in cells[len(names) :]):
            reason = f"It has more cells than the {len(names)} named columns."
            yield number, RowError("", reason)
        elif any(cell is not None for cell in cells):
            yield (
                number,
                {
                    name: _cell(value)
                    for name, value in zip(names, cells, strict=False)
                    if value is not None
                },
            )


def _cell(value: object) -> object:
    if isinstance(value, str):
        return decode_cell(restore_cell(value))
    return value if isinstance(value, int | float) else str(value)


def _refuse_bombs(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise QeuError(f"{path.name} is a damaged workbook ({error}). Save it again.") from error
    size = sum(member.file_size for member in members)
    if size > MOST_UNPACKED_BYTES or len(members) > 10_000:
        raise QeuError(
            f"{path.name} would unpack to {size // 1024**2:,} MB; the most is "
            f"{MOST_UNPACKED_BYTES // 1024**2}. Save it as CSV or JSONL instead."
        )
    if "xl/workbook.xml" not in {member.filename for member in members}:
        raise QeuError(f"{path.name} is a zip archive, no workbook. Unpack it first.")


def read_parquet(path: Path, head: list[str]) -> Rows:
    """Rows of a Parquet file, a batch at a time; raises QeuError for what is none.

    `head` gets the names of its columns.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            largest = max((file.metadata.row_group(g).total_byte_size for g in groups), default=0)
            if largest > MOST_GROUP_BYTES or file.metadata.num_columns > MOST_COLUMNS:
                raise QeuError(
                    f"{path.name} has row groups of {largest // 1024**2:,} MB or too many "
                    "columns. Write it with smaller row groups."
                )
            head += file.schema_arrow.names
            number = 0
            for batch in file.iter_batches(batch_size=512):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {k: _value(v) for k, v in row.items() if v is not None}
    except (pyarrow.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise QeuError(f"{path.name} is no Parquet file that can be read ({error}).") from error


def _value(value: object) -> object:
    return decode_cell(value) if isinstance(value, str) else value
