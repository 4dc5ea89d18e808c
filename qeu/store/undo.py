"""Undo and redo of any change however large; the history and origin of a record's fields."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.store.changes import GONE, Progress, apply_changes
from qeu.store.datasets import Dataset, change_or_tell, own_connection, touch
from qeu.store.queries import get_record
from qeu.store.records import FACETS, TEXTS
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """A change that can be undone or redone; `what` is one line for a button or a message."""

    event: int
    at: str
    actor: str
    kind: str
    changed: int
    what: str


@dataclass(frozen=True)
class HistoryEntry:
    """One field of a record changed; `state` "done", or "undone" where it was taken back."""

    event: int
    at: str
    actor: str
    kind: str
    field: str
    before: str
    after: str
    state: str


@dataclass(frozen=True)
class Origin:
    """Who wrote the value that a field has now.

    `source` is the file or model; `hinted` whether its writer saw the answer, None if unknown.
    `preferred_to` names the model whose text lost a vote against this one.
    """

    field: str
    event: int
    at: str
    actor: str
    kind: str
    source: str
    licence: str
    hinted: bool | None
    preferred_to: str = ""


def next_undo(workspace: Workspace, dataset: Dataset) -> Step | None:
    """The change that `undo` would take back, or None."""
    return _step(workspace, dataset, "done", "DESC")


def next_redo(workspace: Workspace, dataset: Dataset) -> Step | None:
    """The change that `redo` would bring back, or None."""
    return _step(workspace, dataset, "undone", "ASC")


def undo(
    workspace: Workspace,
    dataset: Dataset,
    *,
    expected: int | None = None,
    actor: str = "user",
    progress: Progress = lambda done, total: None,
) -> Step:
    """Take the last change back; what it was.

    `expected` is the event that the person saw on the button: where somebody else has changed the
    data set since, QeuError says so. QeuError too where there is nothing to undo.
    """
    with own_connection(workspace) as own, change_or_tell(own) as db:
        step = next_undo(own, dataset)
        if step is None:
            raise QeuError(f"There is nothing to undo in {dataset.name!r}.")
        _refuse_other(step, expected)
        _turn(db, step.event, "before", progress)
        subject = db.execute("SELECT subject FROM events WHERE id = ?", (step.event,)).fetchone()
        own.append_event(actor, "undo", subject[0], {"undoes": step.event})
        return step


def redo(
    workspace: Workspace,
    dataset: Dataset,
    *,
    expected: int | None = None,
    actor: str = "user",
    progress: Progress = lambda done, total: None,
) -> Step:
    """Bring back what was undone last; in the log this undoes the undo."""
    with own_connection(workspace) as own, change_or_tell(own) as db:
        step = next_redo(own, dataset)
        if step is None:
            raise QeuError(f"There is nothing to redo in {dataset.name!r}.")
        _refuse_other(step, expected)
        _turn(db, step.event, "after", progress)
        row = db.execute(
            "SELECT max(u.id), u.subject FROM events e JOIN events u ON u.subject = e.subject "
            "AND u.kind = 'undo' AND json_extract(u.data, '$.undoes') = e.id WHERE e.id = ?",
            (step.event,),
        ).fetchone()
        own.append_event(actor, "undo", row[1], {"undoes": row[0], "redoes": step.event})
        return step


def read_history(workspace: Workspace, dataset: Dataset, number: int) -> list[HistoryEntry]:
    """All changes of a record, oldest first, those taken back included; its import is first."""
    get_record(workspace, dataset, number)
    rows = workspace.read(
        "SELECT events.*, '' AS field, '' AS before, '' AS after, 'done' AS state "
        "FROM records JOIN events ON events.id = records.born WHERE records.id = ? "
        "UNION ALL SELECT events.*, changes.field, changes.before, changes.after, steps.state "
        "FROM changes JOIN events ON events.id = changes.event "
        "JOIN steps ON steps.event = changes.event WHERE changes.record = ? ORDER BY 1",
        (number, number),
    )
    names = ("at", "actor", "kind", "field", "before", "after")
    return [
        HistoryEntry(
            row["id"],
            *(row[name] for name in names),
            "undone" if row["state"] == "dropped" else row["state"],
        )
        for row in rows
    ]


def read_origins(workspace: Workspace, dataset: Dataset, number: int) -> dict[str, Origin]:
    """For each field of a record where its present value comes from."""
    entries = [e for e in read_history(workspace, dataset, number) if e.state == "done"]
    events = sorted({entry.event for entry in entries})
    rows = workspace.read(
        "SELECT id, data FROM events WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(events),),
    )
    data = {row["id"]: json.loads(row["data"]) for row in rows}
    last = {entry.field: entry for entry in entries}
    birth = entries[0]
    return {
        name: _origin(name, entry, data[entry.event])
        for name in (*TEXTS, *FACETS, "seq", "extra")
        for entry in (last.get(name, birth),)
    }


def _origin(field: str, entry: HistoryEntry, data: Mapping[str, object]) -> Origin:
    hinted = data.get("hinted")
    return Origin(
        field,
        entry.event,
        entry.at,
        entry.actor,
        entry.kind,
        str(data.get("model") or data.get("file") or data.get("source") or ""),
        str(data.get("licence") or ""),
        hinted if isinstance(hinted, bool) else None,
        str(data.get("against") or ""),
    )


def _step(workspace: Workspace, dataset: Dataset, state: str, way: str) -> Step | None:
    rows = workspace.read(
        "SELECT events.*, steps.changed FROM steps JOIN events ON events.id = steps.event "
        f"WHERE steps.dataset = ? AND steps.state = ? ORDER BY steps.event {way} LIMIT 1",
        (dataset.id, state),
    )
    if not rows:
        return None
    row, data = rows[0], json.loads(rows[0]["data"])
    return Step(
        row["id"], row["at"], row["actor"], row["kind"], row["changed"], _describe(row, data)
    )


def _describe(row: sqlite3.Row, data: Mapping[str, object]) -> str:
    count = f"{row['changed']:,} record{'s' if row['changed'] != 1 else ''}"
    if row["kind"] == "import":
        return f"import of {data.get('file')} ({count})"
    if row["kind"] == "edit":
        return f"edit of {data.get('field')}"
    if row["kind"] == "review":
        return f"{data.get('decision') or 'no decision'} ({count})"
    rules = data.get("rules")
    first = rules[0] if isinstance(rules, list) and rules and isinstance(rules[0], dict) else {}
    return f"{first.get('do') or row['kind']} ({count})"


def _refuse_other(step: Step, expected: int | None) -> None:
    if expected is not None and expected != step.event:
        raise QeuError(
            f"The data set was changed meanwhile: the last change is now the {step.what} "
            f"by {step.actor}. Look again before you undo or redo."
        )


def _turn(db: sqlite3.Connection, event: int, side: str, progress: Progress) -> None:
    step = db.execute("SELECT * FROM steps WHERE event = ?", (event,)).fetchone()
    total = step["changed"]
    fields = set(json.loads(step["fields"]))
    if step["last"]:
        sign = "-" if side == "before" else ""
        db.execute(
            f"UPDATE records SET dataset = {sign}abs(dataset), version = version + 1 "
            "WHERE id BETWEEN ? AND ? AND born = ?",
            (step["first"], step["last"], event),
        )
    if fields:
        bits = False  # both sides stood there once: searches know them
        apply_changes(db, event, fields, side, bits, lambda done: progress(done, total))
    state = "undone" if side == "before" else "done"
    db.execute("UPDATE steps SET state = ? WHERE event = ?", (state, event))
    touch(db, step["dataset"])
    progress(total, total)


assert GONE == ""  # `changes.field` of records that left; history shows it as such
