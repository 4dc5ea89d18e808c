"""The single texts of a bulk job: what is still to do, what came of it, and every attempt."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qeu.core.generation import Generation
from qeu.store.generations import insert_generations
from qeu.store.jobs import Job, add_seconds, hold
from qeu.store.queries import load_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

_TOGETHER = 500


@dataclass(frozen=True)
class Item:
    """One text that a job is to bring: record × source × sample.

    `version` is the record's when it was asked (before that, when it was ordered): a later one
    means that the text was made from another wording. `broken` names the checks that it fails.
    """

    number: int
    record: int
    version: int
    source: int
    sample: int
    state: str = "todo"
    attempts: int = 0
    cached: bool = False
    asked: str = ""
    key: str = ""
    broken: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an item: `generations` by key are kept, the one under `key` is its result.

    `asked` is the hash of all that decides about the result, retries included: who asks the same
    again takes the same. `attempts` are plain values of events of kind "generate", one for each
    time that it was asked.
    """

    item: Item
    state: str
    version: int
    asked: str = ""
    key: str = ""
    broken: tuple[str, ...] = ()
    reason: str = ""
    cached: bool = False
    generations: dict[str, Generation] = field(default_factory=dict)
    attempts: tuple[dict[str, object], ...] = ()


def next_items(workspace: Workspace, job: Job, source: int, limit: int) -> list[Item]:
    """The first items of a source that are still to do."""
    rows = workspace.read(
        "SELECT * FROM job_items WHERE job = ? AND state = 'todo' AND source = ? "
        "ORDER BY number LIMIT ?",
        (job.id, source, limit),
    )
    return [_load(row) for row in rows]


def store_outcomes(
    workspace: Workspace, job: Job, owner: str, outcomes: Sequence[Outcome], seconds: float = 0.0
) -> str:
    """Keep what came of items, all of it or nothing; the job's state, so that a pause is noticed.

    Raises NotOwner where another process works on the job, QeuError where nothing can be stored.
    """
    with workspace.change() as db:
        state = hold(db, job, owner)
        for outcome in outcomes:
            insert_generations(db, outcome.generations)
            for attempt in outcome.attempts:
                subject = f"record/{outcome.item.record}"
                workspace.append_event(job.subject, "generate", subject, attempt)
        db.executemany(
            "UPDATE job_items SET state = ?, version = ?, attempts = attempts + ?, cached = ?, "
            "asked = ?, key = ?, broken = ?, reason = ? "
            "WHERE job = ? AND number = ? AND state = 'todo'",
            (
                (
                    o.state, o.version, len(o.attempts), o.cached, o.asked, o.key,
                    " ".join(o.broken), o.reason, job.id, o.item.number,
                )
                for o in outcomes
            ),
        )  # fmt: skip
        if seconds:
            add_seconds(db, job, seconds)
    return state


def find_answered(workspace: Workspace, asked: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{asked: (key, broken checks)} of what was asked in the same way before, in any job."""
    rows = workspace.read(
        "SELECT asked, key, broken FROM job_items WHERE asked IN (SELECT value FROM json_each(?)) "
        "AND asked != '' AND state = 'done'",
        (json.dumps(list(asked)),),
    )
    return {row["asked"]: (row["key"], row["broken"]) for row in rows}


@dataclass(frozen=True)
class Result:
    """An item with its record as it is now and its text, None where there is none (yet)."""

    item: Item
    record: StoredRecord | None
    generation: Generation | None

    @property
    def stale(self) -> bool:
        """Whether the record was changed since the text was made."""
        return self.record is None or self.record.version != self.item.version


def iterate_results(
    workspace: Workspace, job: Job, states: Sequence[str] = ("done",), record: int = 0
) -> Iterator[Result]:
    """The job's items in these states, in their order (or those of one record), part by part."""
    last = -1
    while True:
        rows = workspace.read(
            "SELECT job_items.*, generations.data AS data FROM job_items "
            "LEFT JOIN generations ON generations.key = job_items.key "
            "WHERE job = ? AND number > ? AND (? = 0 OR record = ?) "
            "AND state IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT ?",
            (job.id, last, record, record, json.dumps(list(states)), _TOGETHER),
        )
        if not rows:
            return
        ids = list(dict.fromkeys(row["record"] for row in rows))
        records = {stored.id: stored for stored in load_records(workspace, ids)}
        for row in rows:
            data = json.loads(row["data"]) if row["data"] else None
            generation = Generation.from_json(data) if data else None
            yield Result(_load(row), records.get(row["record"]), generation)
        last = rows[-1]["number"]


def _load(row: sqlite3.Row) -> Item:
    return Item(
        number=row["number"],
        record=row["record"],
        version=row["version"],
        source=row["source"],
        sample=row["sample"],
        state=row["state"],
        attempts=row["attempts"],
        cached=bool(row["cached"]),
        asked=row["asked"],
        key=row["key"],
        broken=tuple(row["broken"].split()),
        reason=row["reason"],
    )
