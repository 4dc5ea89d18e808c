"""Bulk jobs as they stand in the workspace: what was ordered, who works on it, how far it is.

A job is worked on by one process at a time, its owner: a name that tells whether it still lives
(owner.py). Every write of an owner checks that it still is the owner.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.store.datasets import find_dataset
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.workspace import Workspace, dump_json, now

# queued → running → done; a person pauses, resumes and stops; sleeping waits for a named hour.
STATES = ("queued", "running", "sleeping", "paused", "stopped", "done", "failed")
OPEN_STATES = ("queued", "running", "sleeping")
ITEM_STATES = ("todo", "done", "failed", "skipped")


@dataclass(frozen=True)
class Job:
    """A job; `note` says in a sentence why it stands as it does, `wakes` when it goes on (UTC).

    `seconds` is the time that was spent computing for it.
    """

    id: int
    at: str
    dataset: int
    spec: JobSpec
    state: str
    note: str
    owner: str
    wakes: str
    seconds: float

    @property
    def subject(self) -> str:
        """What events of the job name as their actor."""
        return f"job/{self.id}"


@dataclass(frozen=True)
class Counts:
    """How far a job is: items by state, those that were cached, those that break their contract."""

    todo: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    cached: int = 0
    broken: int = 0

    @property
    def total(self) -> int:
        """All items of the job."""
        return self.todo + self.done + self.failed + self.skipped


class NotOwner(QeuError):
    """Somebody else works on the job now; what is not stored is theirs to make."""


def create_job(workspace: Workspace, spec: JobSpec) -> Job:
    """Order a job: its records are chosen now, in their order; QeuError where there are none."""
    spec = spec.checked()
    dataset = find_dataset(workspace, spec.dataset)
    ids = matching_ids(workspace, dataset, Filter.from_json(spec.where))
    if spec.limit:
        ids = ids[: spec.limit]
    if not ids:
        raise QeuError(
            f"No record of {dataset.name!r} matches the filter: there is nothing to generate. "
            "Widen the filter, or choose another data set."
        )
    with workspace.change() as db:
        number = db.execute(
            "INSERT INTO jobs (at, dataset, spec, state) VALUES (?, ?, ?, 'queued')",
            (now(), dataset.id, dump_json(spec.to_json())),
        ).lastrowid
        assert number is not None
        db.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (place INTEGER PRIMARY KEY, id INTEGER)")
        db.execute("DELETE FROM chosen")
        db.executemany("INSERT INTO chosen (id) VALUES (?)", ((i,) for i in ids))
        width = len(spec.sources) * spec.samples
        for source in range(len(spec.sources)):
            for sample in range(spec.samples):
                db.execute(
                    "INSERT INTO job_items (job, number, record, version, source, sample) "
                    "SELECT ?, (place - 1) * ? + ?, records.id, records.version, ?, ? "
                    "FROM chosen JOIN records ON records.id = chosen.id",
                    (number, width, source * spec.samples + sample, source, sample),
                )
        db.execute("DELETE FROM chosen")
    return get_job(workspace, number)


def get_job(workspace: Workspace, number: int) -> Job:
    """One job; QeuError where there is none of this number."""
    rows = workspace.read("SELECT * FROM jobs WHERE id = ?", (number,))
    if not rows:
        raise QeuError(f"There is no job {number}. List them to see which there are.")
    return _load(rows[0])


def list_jobs(workspace: Workspace, states: Iterable[str] = STATES) -> list[Job]:
    """Jobs in these states, the latest first."""
    wanted = json.dumps(list(states))
    sql = "SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) ORDER BY id DESC"
    return [_load(row) for row in workspace.read(sql, (wanted,))]


def count_items(workspace: Workspace, job: Job) -> Counts:
    """How far the job is."""
    rows = workspace.read(
        "SELECT state, count(*), sum(cached), sum(broken != '') FROM job_items "
        "WHERE job = ? GROUP BY state",
        (job.id,),
    )
    by_state = {row[0]: row[1] for row in rows}
    return Counts(
        **by_state, cached=sum(row[2] for row in rows), broken=sum(row[3] for row in rows)
    )


def count_reasons(workspace: Workspace, job: Job) -> list[tuple[str, str, int]]:
    """(state, reason, how many) of what failed or was skipped, the most frequent first."""
    rows = workspace.read(
        "SELECT state, reason, count(*) AS n FROM job_items WHERE job = ? "
        "AND state IN ('failed', 'skipped') GROUP BY state, reason ORDER BY n DESC, reason",
        (job.id,),
    )
    return [(row[0], row[1], row[2]) for row in rows]


def claim_job(workspace: Workspace, job: Job, owner: str, lives: Callable[[str], bool]) -> bool:
    """Make `owner` the one that works on it; False where another that lives already does.

    `lives` says of an owner whether its process still runs.
    """
    with workspace.change() as db:
        row = db.execute("SELECT state, owner FROM jobs WHERE id = ?", (job.id,)).fetchone()
        if row is None or row["state"] not in OPEN_STATES:
            return False
        if row["owner"] and row["owner"] != owner and lives(row["owner"]):
            return False
        db.execute(
            "UPDATE jobs SET state = 'running', owner = ?, note = '', wakes = '' WHERE id = ?",
            (owner, job.id),
        )
    return True


def release_job(
    workspace: Workspace, job: Job, owner: str, state: str, note: str = "", wakes: str = ""
) -> None:
    """The owner lets go of it; what a person has decided meanwhile (paused, stopped) stays."""
    with workspace.change() as db:
        db.execute(
            "UPDATE jobs SET owner = '', note = ?, wakes = ?, "
            "state = CASE WHEN state IN ('paused', 'stopped') THEN state ELSE ? END "
            "WHERE id = ? AND owner = ?",
            (note, wakes, state, job.id, owner),
        )


def set_state(workspace: Workspace, number: int, state: str) -> Job:
    """What a person wants of a job: paused, stopped, or queued again; QeuError if it cannot be."""
    job = get_job(workspace, number)
    allowed = {
        "paused": OPEN_STATES,
        "stopped": (*OPEN_STATES, "paused"),
        "queued": ("paused", "stopped", "sleeping", "failed"),
    }[state]
    with workspace.change() as db:
        changed = db.execute(
            "UPDATE jobs SET state = ?, note = '', wakes = '' WHERE id = ? "
            "AND state IN (SELECT value FROM json_each(?))",
            (state, number, json.dumps(allowed)),
        ).rowcount
    if not changed and job.state != state:
        raise QeuError(f"Job {number} is {job.state}; it cannot become {state}.")
    return get_job(workspace, number)


def retry_failed(workspace: Workspace, number: int) -> int:
    """Put what failed or was skipped back to be done, and queue the job; how many there are."""
    with workspace.change() as db:
        count = db.execute(
            "UPDATE job_items SET state = 'todo', reason = '' "
            "WHERE job = ? AND state IN ('failed', 'skipped')",
            (number,),
        ).rowcount
        if count:
            db.execute(
                "UPDATE jobs SET state = 'queued', note = '' WHERE id = ? "
                "AND state NOT IN ('running', 'queued')",
                (number,),
            )
    return count


def hold(db: sqlite3.Connection, job: Job, owner: str) -> str:
    """Inside a transaction: the job's state, if `owner` still works on it; raises NotOwner."""
    row = db.execute("SELECT state, owner FROM jobs WHERE id = ?", (job.id,)).fetchone()
    if row is None or row["owner"] != owner:
        raise NotOwner(f"Job {job.id} is worked on by another process now.")
    return str(row["state"])


def add_seconds(db: sqlite3.Connection, job: Job, seconds: float) -> None:
    """Count time that was spent computing."""
    db.execute("UPDATE jobs SET seconds = seconds + ? WHERE id = ?", (seconds, job.id))


def _load(row: sqlite3.Row) -> Job:
    return Job(
        row["id"],
        row["at"],
        row["dataset"],
        JobSpec.from_json(json.loads(row["spec"])),
        row["state"],
        row["note"],
        row["owner"],
        row["wakes"],
        row["seconds"],
    )
