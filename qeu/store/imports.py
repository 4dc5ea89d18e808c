"""Bring many rows into a data set: one transaction, rows known already left as they are."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from qeu.store.changes import add_step, apply_changes, log_changes, next_event
from qeu.store.datasets import (
    Dataset,
    Stopped,
    change_or_tell,
    check_name,
    insert_dataset,
    own_connection,
)
from qeu.store.records import (
    NUMBER_BITS,
    StoredRecord,
    identity_bytes,
    insert_records,
    load_record,
    seq_number,
)
from qeu.store.search_index import BLOCK
from qeu.store.workspace import Workspace, dump_json

Row = dict[str, object]
_UPDATABLE = (
    *("instruction", "input", "reasoning", "output"),
    *("category", "field", "uniqueness", "language"),
)


@dataclass
class Added:
    """What an import did with the good rows; `dataset` None where it kept none.

    `same_seq` of the imported rows have a seq that another record had before, with other content.
    """

    dataset: Dataset | None = None
    event: int = 0
    imported: int = 0
    unchanged: int = 0
    updated: int = 0
    same_seq: int = 0


def add_records(
    workspace: Workspace,
    name: str,
    rows: Iterable[Row],
    tell: Callable[[Added], Mapping[str, object]],
    *,
    new: bool = False,
    update: bool = False,
    actor: str = "user",
    progress: Callable[[int], None] = lambda done: None,
    stop: threading.Event | None = None,
) -> Added:
    """Add rows to the data set `name`, which is made where it is missing (`new`: must be).

    A row holds a record's fields, `review`, and `given`: True where the file itself brought a seq.
    A row that the file brought before, or that stands in the data set with this seq, is counted as
    unchanged; equal rows within one file are all kept. `update`: a row whose seq exists with other
    content sets that content. `tell` gives the event's data once all rows are read.
    """
    name = check_name(name)
    with own_connection(workspace) as own, change_or_tell(own) as db:
        sql = "SELECT * FROM datasets WHERE name = ? AND removed = ''"
        found = db.execute(sql, (name,)).fetchone()
        if found and not new:
            dataset = Dataset(found["id"], found["name"], found["created"], found["revision"])
        else:
            dataset = insert_dataset(db, name)
        number = db.execute(
            "SELECT next_number FROM datasets WHERE id = ?", (dataset.id,)
        ).fetchone()[0]
        known = _Known(own, db, dataset, number) if number else None
        added, event, first = Added(), next_event(db), number
        repeats: dict[int, int] = {}
        source = iter(rows)
        # whole blocks of the search index are written once
        while batch := list(islice(source, BLOCK - number % BLOCK)):
            if stop and stop.is_set():
                raise Stopped("The import")
            _name_sources(batch, repeats)
            if known:
                batch = known.keep_new(batch, event, added, update)
            insert_records(db, dataset.id, event, number, batch)
            number += len(batch)
            added.imported += len(batch)
            progress(added.imported + added.unchanged + added.updated)
        data = tell(added)
        if not (added.imported or added.unchanged or added.updated):
            db.execute("DELETE FROM datasets WHERE id = ? AND next_number = 0", (dataset.id,))
            return added
        own.append_event(actor, "import", dataset.subject, data)
        added.dataset, added.event = dataset, event
        if known and known.fields:
            apply_changes(db, event, known.fields, "after", new_text=True)
        if added.imported or added.updated:
            db.execute("UPDATE datasets SET next_number = ? WHERE id = ?", (number, dataset.id))
            base = dataset.id << NUMBER_BITS
            span = (base | first, base | (number - 1)) if added.imported else (0, 0)
            fields = known.fields if known else ()
            count = added.imported + added.updated
            add_step(db, event, dataset.id, "rows", fields, count, *span)
        if stop and stop.is_set():
            raise Stopped("The import")
        return added


class _Known:
    """What the data set held before this import, asked a batch at a time."""

    def __init__(
        self, workspace: Workspace, db: sqlite3.Connection, dataset: Dataset, first_new: int
    ) -> None:
        self._workspace, self._db, self._dataset = workspace, db, dataset
        self._limit = dataset.id << NUMBER_BITS | first_new
        self._used = bytearray(first_new)  # one byte a record: matched by a row of this file
        self.fields: set[str] = set()

    def keep_new(self, batch: list[Row], event: int, added: Added, update: bool) -> list[Row]:
        """The rows that the data set does not know yet; counts the others."""
        sources = self._find_sources([row["source"] for row in batch])  # type: ignore[misc]
        by_seq = self._find_seqs({str(row["seq"]) for row in batch if row["given"]})
        fresh = []
        for row in batch:
            same = by_seq.get(str(row["seq"]), []) if row["given"] else []
            key = identity_bytes(row) if same else b""
            equal = [s.id for s in same if identity_bytes(s.record.to_json()) == key]
            if self._take(sources.get(row["source"], [])) or self._take(equal):  # type: ignore[call-overload]
                added.unchanged += 1
            elif update and len(same) == 1 and self._take([same[0].id]):
                self._update(same[0], row, event)
                added.updated += 1
            else:
                added.same_seq += bool(same)
                fresh.append(row)
        return fresh

    def _find_sources(self, keys: Sequence[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        rows = self._db.execute(
            "SELECT source, id FROM records WHERE dataset = ? AND id < ? "
            "AND source IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
            (self._dataset.id, self._limit, json.dumps(keys)),
        )
        for key, number in rows:
            found.setdefault(key, []).append(number)
        return found

    def _find_seqs(self, seqs: set[str]) -> dict[str, list[StoredRecord]]:
        found: dict[str, list[StoredRecord]] = {}
        rows = self._db.execute(
            "SELECT * FROM records WHERE dataset = ? AND id < ? "
            "AND seq_number IN (SELECT value FROM json_each(?)) "
            "AND seq IN (SELECT value FROM json_each(?)) ORDER BY id DESC",
            (
                self._dataset.id,
                self._limit,
                json.dumps(sorted({seq_number(seq) for seq in seqs})),
                json.dumps(sorted(seqs)),
            ),
        )
        for row in rows:
            found.setdefault(row["seq"], []).append(load_record(row))
        return found

    def _take(self, ids: list[int]) -> bool:
        """Use up the first of these records that no row of this file has matched yet."""
        while ids:
            place = ids.pop() & ((1 << NUMBER_BITS) - 1)
            if not self._used[place]:
                self._used[place] = 1
                return True
        return False

    def _update(self, stored: StoredRecord, row: Row, event: int) -> None:
        pairs = [
            (name, stored.value(name), str(row[name]))
            for name in _UPDATABLE
            if name in row["columns"]  # type: ignore[operator]
        ]
        if row["extra"]:
            extra = {**stored.record.extra, **row["extra"]}  # type: ignore[dict-item]
            pairs.append(("extra", stored.value("extra"), dump_json(extra)))
        changes = [(stored.id, *pair) for pair in pairs if pair[1] != pair[2]]
        log_changes(self._db, event, changes)
        self.fields.update(change[1] for change in changes)


def _name_sources(batch: list[Row], repeats: dict[int, int]) -> None:
    """Give each row the hash of what the file said; the second equal row gets another."""
    for row in batch:
        key = identity_bytes(row, None if row["given"] else "")
        short = int.from_bytes(key[:8], "little", signed=True)
        times = repeats.get(short, 0)
        repeats[short] = times + 1
        if times:
            key = hashlib.sha256(key + times.to_bytes(8, "little")).digest()
        row["source"] = int.from_bytes(key[:8], "little", signed=True)


def rows_of(records: Iterable[Row]) -> Iterator[Row]:
    """Rows made by the program itself: every one brings its seq."""
    for row in records:
        yield {"review": "", "given": True, "columns": frozenset(row), **row}
