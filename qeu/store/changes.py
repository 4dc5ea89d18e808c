"""Change records: one field by hand, many by an operation; each a transaction and an event.

What a change did stands in the table `changes`, record by record, before and after; `undo.py`
applies the same rows backwards.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.record import LANGUAGES, UNIQUENESS
from qeu.core.text import clean_text
from qeu.store.datasets import Dataset, Stopped, change_or_tell, own_connection, touch
from qeu.store.filters import ALL, Filter
from qeu.store.json_depth import is_too_deep
from qeu.store.matching import matching_ids
from qeu.store.queries import get_record, iterate_records
from qeu.store.records import EDITABLE, STATUSES, StoredRecord, refresh_derived
from qeu.store.workspace import Workspace

Make = Callable[[StoredRecord], Mapping[str, str] | None]
Progress = Callable[[int, int], None]
# What belongs to a change and is kept with it or not at all: told the workspace whose transaction
# is under way and the number of the event, 0 where nothing changed.
Also = Callable[[Workspace, int], None]
SPLITS = ("", "train", "validation", "test")
# The field under which `changes` says that a record left the data set.
GONE = ""
_BATCH = 8192
_LENGTHS = {
    "instruction": "question_length",
    "input": "question_length",
    "reasoning": "reasoning_length",
    "output": "output_length",
}


@dataclass(frozen=True)
class Applied:
    """The event of a change and how many records it changed; 0 and 0 where there was nothing."""

    event: int
    changed: int


def edit_record(
    workspace: Workspace,
    dataset: Dataset,
    number: int,
    version: int,
    field: str,
    text: str,
    *,
    actor: str = "user",
    about: Mapping[str, object] | None = None,
    also: Also = lambda workspace, event: None,
) -> StoredRecord:
    """Set one field of the record that was seen at `version`; the record as it is now.

    `about` joins the event: model, licence, whether the writer saw the answer ("hinted").
    Raises QeuError where somebody else changed the record meanwhile, or the value cannot be.
    """
    text = check_value(field, text)
    with change_or_tell(workspace) as db:
        seen = get_record(workspace, dataset, number)
        if seen.version != version:
            raise QeuError(_tell_conflict(db, seen, field))
        before = seen.value(field)
        if before == text:
            also(workspace, 0)
            return seen
        data = {**(about or {}), "field": field, "before": before, "after": text}
        event = workspace.append_event(actor, "edit", f"record/{number}", data).id
        db.execute(
            "INSERT INTO changes (event, record, field, before, after) VALUES (?, ?, ?, ?, ?)",
            (event, number, field, before, text),
        )
        apply_changes(db, event, (field,), "after", new_text=True)
        add_step(db, event, dataset.id, "fields", (field,), 1)
        also(workspace, event)
        return get_record(workspace, dataset, number)


def change_records(
    workspace: Workspace,
    dataset: Dataset,
    make: Make,
    where: Filter = ALL,
    *,
    what: str,
    data: Mapping[str, object],
    kind: str = "rule",
    actor: str = "user",
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    also: Also = lambda workspace, event: None,
) -> Applied:
    """Let `make` say the new values of each matching record; all of it in one transaction.

    `make` returns only what it wants to set, or None. `data` is the event's, `changed` is added;
    `what` names the operation in messages. Raises `Stopped` when `stop` is set: nothing is kept.
    """
    with own_connection(workspace) as own, change_or_tell(own) as db:
        ids = matching_ids(own, dataset, where)
        event = next_event(db)
        changed, fields, done = 0, set(), 0
        for batch in iterate_records(own, ids, _BATCH):
            if stop and stop.is_set():
                raise Stopped(what)
            rows = []
            for stored in batch:
                new = _differences(stored, make(stored))
                changed += bool(new)
                fields.update(name for name, _, _ in new)
                rows += [(event, stored.id, *change) for change in new]
            _log(db, rows)
            done += len(batch)
            progress(done, 2 * len(ids))
        if not changed:
            also(own, 0)
            return Applied(0, 0)
        apply_changes(
            db, event, fields, "after", True, lambda part: progress(len(ids) + part, 2 * len(ids))
        )
        own.append_event(actor, kind, dataset.subject, {**data, "changed": changed})
        add_step(db, event, dataset.id, "fields", fields, changed)
        also(own, event)
        if stop and stop.is_set():
            raise Stopped(what)
        return Applied(event, changed)


def remove_records(
    workspace: Workspace, dataset: Dataset, where: Filter, actor: str = "user"
) -> Applied:
    """Take the matching records out of the data set; undo brings them back."""
    with own_connection(workspace) as own, change_or_tell(own) as db:
        ids = matching_ids(own, dataset, where)
        if not ids:
            return Applied(0, 0)
        event = next_event(db)
        _log(db, ((event, number, GONE, "", "") for number in ids))
        data = {"rules": [{"do": "remove", "when": where.to_json()}], "changed": len(ids)}
        own.append_event(actor, "rule", dataset.subject, data)
        apply_changes(db, event, (GONE,), "after", new_text=False)
        add_step(db, event, dataset.id, "gone", (GONE,), len(ids))
        return Applied(event, len(ids))


def check_value(field: str, text: str) -> str:
    """The value as stored; raises QeuError where the field cannot have it."""
    if field not in EDITABLE:
        raise QeuError(f"Unknown field {field!r}. Choose one of: {', '.join(EDITABLE)}.")
    text = clean_text(text)
    closed = {"language": LANGUAGES, "uniqueness": UNIQUENESS, "status": STATUSES, "split": SPLITS}
    allowed = closed.get(field)
    if allowed and text not in allowed:
        names = ", ".join(repr(name) for name in allowed)
        raise QeuError(f"A record's {field} cannot be {text!r}. Choose one of: {names}.")
    if field == "instruction" and not text.strip():
        raise QeuError("A record needs a question: its instruction cannot be empty.")
    if field in ("category", "field") and (not text.strip() or len(text) > 100):
        raise QeuError(f"A record's {field} has 1 to 100 characters; this has {len(text)}.")
    if field == "extra":
        try:
            # NaN and Infinity are no JSON, and SQLite would not read them
            good = not is_too_deep(text) and isinstance(
                json.loads(text, parse_constant=_refuse_constant), dict
            )
        except ValueError:
            good = False
        if not good:
            raise QeuError('The extra columns must be a JSON object such as {"source": "ours"}.')
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def next_event(db: sqlite3.Connection) -> int:
    """The number that the next event of this transaction will have."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return (row[0] if row else 0) + 1


def log_changes(
    db: sqlite3.Connection, event: int, changes: Iterable[tuple[int, str, str, str]]
) -> None:
    """Write down (record, field, before, after) of an event."""
    _log(db, ((event, *change) for change in changes))


def apply_changes(
    db: sqlite3.Connection,
    event: int,
    fields: Iterable[str],
    side: str,
    new_text: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Set what an event changed to its `side`, "before" or "after".

    `new_text` False says that searches know these texts already: they stood there once.
    """
    fields = set(fields)
    for field in sorted(fields - {GONE}):
        assert field in EDITABLE, field
        length = _LENGTHS.get(field)
        value = f"length(changes.{side})"
        if length == "question_length":
            value += f" + length({'input' if field == 'instruction' else 'instruction'})"
        more = f", {length} = {value}" if length else ""
        db.execute(
            f"UPDATE records SET {field} = changes.{side}, version = version + 1{more} "
            "FROM changes WHERE event = ? AND changes.field = ? AND record = records.id",
            (event, field),
        )
    if GONE in fields:
        sign = "-" if side == "after" else ""
        db.execute(
            f"UPDATE records SET dataset = {sign}abs(dataset), version = version + 1 "
            "WHERE id IN (SELECT record FROM changes WHERE event = ? AND field = ?)",
            (event, GONE),
        )
    last, done = 0, 0
    while fields - {GONE}:
        rows = db.execute(
            "SELECT DISTINCT record FROM changes WHERE event = ? AND record > ? "
            "ORDER BY record LIMIT ?",
            (event, last, _BATCH),
        ).fetchall()
        if not rows:
            break
        refresh_derived(db, [row[0] for row in rows], fields, new_text)
        last, done = rows[-1][0], done + len(rows)
        progress(done)


def add_step(
    db: sqlite3.Connection,
    event: int,
    dataset: int,
    shape: str,
    fields: Iterable[str],
    changed: int,
    first: int = 0,
    last: int = 0,
) -> None:
    """Make an event one that undo takes back; what had been undone can no longer be redone.

    Records first…last came into being with it (0 and 0: none).
    """
    db.execute(
        "UPDATE steps SET state = 'dropped' WHERE dataset = ? AND state = 'undone'", (dataset,)
    )
    db.execute(
        "INSERT INTO steps (event, dataset, shape, first, last, fields, changed) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event, dataset, shape, first, last, json.dumps(sorted(fields)), changed),
    )
    touch(db, dataset)


def _log(db: sqlite3.Connection, rows: Iterable[Sequence[object]]) -> None:
    db.executemany(
        "INSERT INTO changes (event, record, field, before, after) VALUES (?, ?, ?, ?, ?)", rows
    )


def _differences(stored: StoredRecord, new: Mapping[str, str] | None) -> list[tuple[str, str, str]]:
    if not new:
        return []
    pairs = [(name, stored.value(name), check_value(name, value)) for name, value in new.items()]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _tell_conflict(db: sqlite3.Connection, seen: StoredRecord, field: str) -> str:
    row = db.execute(
        "SELECT events.actor, events.at FROM changes JOIN events ON events.id = changes.event "
        "WHERE changes.record = ? ORDER BY changes.event DESC LIMIT 1",
        (seen.id,),
    ).fetchone()
    who = f" by {row[0]} at {row[1][:19].replace('T', ' ')} UTC" if row else ""
    name = seen.record.seq or seen.id
    return (
        f"Record {name} was changed{who} while you were editing; your {field} was not stored. "
        "Load the record again and compare before you store yours."
    )
