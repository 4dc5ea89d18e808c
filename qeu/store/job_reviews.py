"""What a person decided about the texts of bulk jobs, and which records still wait for it."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.store.workspace import Workspace, dump_json, now

DECISIONS = ("accept", "merged", "edited", "reject")
SHOWN = ("all", "unreviewed", "disputed", "broken")
# A decision holds as long as the change of the record that it made does: undo takes both back.
HOLDS = (
    "(job_reviews.event = 0 OR EXISTS (SELECT 1 FROM steps "
    "WHERE steps.event = job_reviews.event AND steps.state = 'done'))"
)


@dataclass(frozen=True)
class Review:
    """One decision about a record, as one job sees it.

    `source` is the key of the text that it is about, or how it was merged; `text` what was
    accepted. `event` is the change of the record, 0 where it was none. `distances` are, by
    "SOURCE.SAMPLE", the shares of words that differ between a text of this job and the accepted.
    """

    job: int
    record: int
    decision: str
    source: str
    text: str
    event: int
    distances: Mapping[str, float]
    at: str = ""


@dataclass(frozen=True)
class Waiting:
    """A record with texts to look at; `agreement` None where nobody has compared them yet."""

    record: int
    reviewed: bool
    broken: bool
    agreement: float | None


def insert_reviews(db: sqlite3.Connection, reviews: Sequence[Review]) -> None:
    """Keep decisions, inside a transaction that is under way.

    A later decision about the same record takes the place of an earlier one.
    """
    at = now()
    db.executemany(
        "INSERT OR REPLACE INTO job_reviews "
        "(job, record, at, decision, source, text, event, distances) VALUES (?,?,?,?,?,?,?,?)",
        (
            (r.job, r.record, at, r.decision, r.source, r.text, r.event, dump_json(r.distances))
            for r in reviews
        ),
    )


def read_review(workspace: Workspace, jobs: Sequence[int], record: int) -> Review | None:
    """The decision about a record that stands, whichever of these jobs it was made for."""
    rows = workspace.read(
        "SELECT * FROM job_reviews WHERE record = ? "
        f"AND job IN (SELECT value FROM json_each(?)) AND {HOLDS} ORDER BY job",
        (record, json.dumps(list(jobs))),
    )
    return _load(rows[0]) if rows else None


def last_review(workspace: Workspace, jobs: Sequence[int]) -> Review | None:
    """The latest decision that stands; of several made at once, any."""
    rows = workspace.read(
        f"SELECT * FROM job_reviews WHERE job IN (SELECT value FROM json_each(?)) AND {HOLDS} "
        "ORDER BY at DESC, record DESC LIMIT 1",
        (json.dumps(list(jobs)),),
    )
    return _load(rows[0]) if rows else None


def delete_review(workspace: Workspace, jobs: Sequence[int], record: int, actor: str) -> None:
    """Take back a decision that changed no record; the log keeps both."""
    with workspace.change() as db:
        db.execute(
            "DELETE FROM job_reviews WHERE record = ? "
            "AND job IN (SELECT value FROM json_each(?)) AND event = 0",
            (record, json.dumps(list(jobs))),
        )
        data = {"decision": "", "source": "", "text": "", "distance": 0, "jobs": list(jobs)}
        workspace.append_event(actor, "review", f"record/{record}", data)


def list_waiting(
    workspace: Workspace, jobs: Sequence[int], show: str = "all", disputed_below: float = 0.0
) -> list[Waiting]:
    """Records with finished texts, those not reviewed first, then in the job's order.

    `show` "disputed" are those whose texts were compared and agree less than `disputed_below`.
    A record counts as reviewed where it was for every one of the jobs that wrote for it.
    """
    group = json.dumps(list(jobs))
    conditions = {
        "all": "1",
        "unreviewed": "NOT reviewed",
        "disputed": "agreement < ?",
        "broken": "broken",
    }[show]
    values: tuple[object, ...] = (group, group, group_name(jobs))
    if show == "disputed":
        values += (disputed_below,)
    rows = workspace.read(
        "WITH texts AS (SELECT record, count(DISTINCT job) AS jobs, min(number) AS place, "
        "max(broken != '') AS broken FROM job_items WHERE state = 'done' "
        "AND job IN (SELECT value FROM json_each(?)) GROUP BY record), "
        "seen AS (SELECT record, count(*) AS jobs FROM job_reviews "
        f"WHERE job IN (SELECT value FROM json_each(?)) AND {HOLDS} GROUP BY record), "
        "lines AS (SELECT texts.record, coalesce(seen.jobs, 0) >= texts.jobs AS reviewed, "
        "texts.broken, job_ensembles.agreement, texts.place FROM texts "
        "LEFT JOIN seen ON seen.record = texts.record "
        "LEFT JOIN job_ensembles ON job_ensembles.jobs = ? "
        "AND job_ensembles.record = texts.record AND job_ensembles.method = 'medoid') "
        f"SELECT * FROM lines WHERE {conditions} ORDER BY reviewed, place, record",
        values,
    )
    return [
        Waiting(row["record"], bool(row["reviewed"]), bool(row["broken"]), row["agreement"])
        for row in rows
    ]


def count_reviewed(workspace: Workspace, jobs: Sequence[int]) -> int:
    """How many records are reviewed; of a single job without looking at its texts."""
    if len(jobs) > 1:
        return sum(line.reviewed for line in list_waiting(workspace, jobs))
    return sum(sum(count_decisions(workspace, number).values()) for number in jobs)


def mean_distances(workspace: Workspace, job: int) -> dict[int, tuple[float, int]]:
    """{source: (mean distance to what was accepted, of how many texts)} of decisions that stand."""
    rows = workspace.read(
        "SELECT CAST(each.key AS INTEGER) AS source, avg(each.value) AS mean, count(*) AS n "
        f"FROM job_reviews, json_each(job_reviews.distances) AS each WHERE job = ? AND {HOLDS} "
        "GROUP BY 1",
        (job,),
    )
    return {row["source"]: (row["mean"], row["n"]) for row in rows}


def count_decisions(workspace: Workspace, job: int) -> dict[str, int]:
    """{decision: how many} of those that stand."""
    rows = workspace.read(
        f"SELECT decision, count(*) FROM job_reviews WHERE job = ? AND {HOLDS} GROUP BY decision",
        (job,),
    )
    return {row[0]: row[1] for row in rows}


def group_name(jobs: Sequence[int]) -> str:
    """Several jobs looked at together, as one name: their numbers in order."""
    return ",".join(str(number) for number in sorted(set(jobs)))


def _load(row: sqlite3.Row) -> Review:
    return Review(
        row["job"], row["record"], row["decision"], row["source"], row["text"], row["event"],
        json.loads(row["distances"]), row["at"],
    )  # fmt: skip
