"""Rows of the records table and what is derived from them: identity, lengths, search text.

Nothing here begins a transaction: callers do (`imports.py`, `changes.py`, `undo.py`).
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qeu.core.record import Record
from qeu.core.text import fold
from qeu.store.search_index import index_texts, insert_texts, update_texts
from qeu.store.workspace import dump_json

TEXTS = ("instruction", "input", "reasoning", "output")
FACETS = ("language", "category", "uniqueness", "field", "status", "split", "review")
STATUSES = ("", "accepted", "rejected", "needs_work")
# What a person or an operation may change; `no` and the place in the data set stay.
EDITABLE = (*TEXTS, *FACETS, "seq", "extra")
# A record's id holds its data set in the high half, so that one range of ids is one data set.
NUMBER_BITS = 32
_COLUMNS = (
    *("id", "dataset", "born", "source", "seq", "seq_number", "no", "category"),
    *("field", "uniqueness", "language", "review", "question_length", "reasoning_length"),
    *("output_length", "instruction", "input", "reasoning", "output", "extra"),
)
_INSERT = f"INSERT INTO records ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_NUMBER = re.compile(r"\s*(\d{1,15})")
_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class StoredRecord:
    """A record in a data set; `version` grows with every change and is named when editing.

    `status` is "", "accepted", "rejected" or "needs_work"; `split` "", "train", "validation" or
    "test"; `review` says why a person should look ("language", "category", …), "" where none must.
    """

    id: int
    version: int
    record: Record
    status: str = ""
    split: str = ""
    review: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values: the record's own and the four of the workspace."""
        return self.record.to_json() | {
            "id": self.id,
            "version": self.version,
            "status": self.status,
            "split": self.split,
            "review": self.review,
        }

    def value(self, field: str) -> str:
        """One editable field as it is stored; `extra` as JSON."""
        if field == "extra":
            return dump_json(self.record.extra)
        return str(getattr(self if field in ("status", "split", "review") else self.record, field))


def load_record(row: sqlite3.Row) -> StoredRecord:
    """A stored record from its row (all columns)."""
    return StoredRecord(
        id=row["id"],
        version=row["version"],
        record=Record(
            instruction=row["instruction"],
            input=row["input"],
            reasoning=row["reasoning"],
            output=row["output"],
            seq=row["seq"],
            no=row["no"],
            category=row["category"],
            field=row["field"],
            uniqueness=row["uniqueness"],
            language=row["language"],
            extra=json.loads(row["extra"]) if row["extra"] != "{}" else {},
        ),
        status=row["status"],
        split=row["split"],
        review=row["review"],
    )


def identity_bytes(values: Mapping[str, object], seq: str | None = None) -> bytes:
    """The first half of `Record.identity`, made from plain values without building the record."""
    content = {
        "category": values["category"],
        "extra": values["extra"],
        "field": values["field"],
        "input": values["input"],
        "instruction": values["instruction"],
        "language": values["language"],
        "output": values["output"],
        "reasoning": values["reasoning"],
        "seq": values["seq"] if seq is None else seq,
        "uniqueness": values["uniqueness"],
    }
    return hashlib.sha256(_dumps(content).encode("utf-8", "surrogatepass")).digest()[:16]


def seq_number(seq: str) -> int:
    """The number a seq begins with, for sorting; -1 where it begins with none."""
    found = _NUMBER.match(seq)
    return int(found[1]) if found else -1


def fold_record(values: Mapping[str, object]) -> tuple[str, str]:
    """All that a search looks through, as it compares it: (everything else, reasoning)."""
    extra = values["extra"]
    more = [value for value in extra.values() if isinstance(value, str)] if extra else ()  # type: ignore[attr-defined]
    parts = (values["instruction"], values["input"], values["output"], values["seq"], *more)
    return _fold("\n".join(parts)), _fold(values["reasoning"])  # type: ignore[arg-type]


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else fold(text)


def insert_records(
    db: sqlite3.Connection,
    dataset: int,
    born: int,
    first: int,
    rows: Sequence[Mapping[str, object]],
) -> None:
    """Add rows under the numbers from `first` on, searchable at once.

    A row holds every field of a record, `review`, and `source`: the hash of what the file said.
    """
    base = dataset << NUMBER_BITS
    values, texts = [], []
    for number, row in enumerate(rows, start=first):
        extra = row["extra"]
        values.append(
            (
                base | number,
                dataset,
                born,
                row["source"],
                row["seq"],
                seq_number(row["seq"]),  # type: ignore[arg-type]
                row["no"],
                row["category"],
                row["field"],
                row["uniqueness"],
                row["language"],
                row["review"],
                len(row["instruction"]) + len(row["input"]),  # type: ignore[arg-type]
                len(row["reasoning"]),  # type: ignore[arg-type]
                len(row["output"]),  # type: ignore[arg-type]
                row["instruction"],
                row["input"],
                row["reasoning"],
                row["output"],
                dump_json(extra) if extra else "{}",  # type: ignore[arg-type]
            )
        )
        texts.append((base | number, *fold_record(row)))
    db.executemany(_INSERT, values)
    insert_texts(db, texts)
    index_texts(db, dataset, texts, fresh=True)


def refresh_derived(
    db: sqlite3.Connection, ids: Sequence[int], fields: Iterable[str], new_text: bool = True
) -> None:
    """Bring lengths, order and search up to date after these fields of the records changed.

    `new_text` False: the text stood there once, so that its search bits are set already.
    """
    changed = set(fields)
    texts: dict[int, list[tuple[int, str, str]]] = {}
    if changed & {"instruction", "input", "output", "seq", "extra"}:
        numbers = []
        for row in _select(db, "*", ids):
            values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - no mapping
            values["extra"] = json.loads(row["extra"])
            numbers.append((seq_number(row["seq"]), row["id"]))
            part = texts.setdefault(row["id"] >> NUMBER_BITS, [])
            part.append((row["id"], *fold_record(values)))
        if "seq" in changed:
            db.executemany("UPDATE records SET seq_number = ? WHERE id = ?", numbers)
        columns = ("folded", "folded_reasoning")
    elif "reasoning" in changed:
        for row in _select(db, "id, reasoning", ids):
            part = texts.setdefault(row[0] >> NUMBER_BITS, [])
            part.append((row[0], "", _fold(row[1])))
        columns = ("folded_reasoning",)
    for dataset, members in texts.items():
        update_texts(db, members, columns)
        if new_text:
            index_texts(db, dataset, members)


def _select(db: sqlite3.Connection, columns: str, ids: Sequence[int]) -> list[sqlite3.Row]:
    # json_each: any number of ids in one statement
    return db.execute(
        f"SELECT {columns} FROM records WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchall()
