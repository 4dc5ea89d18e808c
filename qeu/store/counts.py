"""How much of everything a workspace holds, counted without reading any text."""

from dataclasses import dataclass

from qeu.store.evaluations import last_verdict
from qeu.store.job_reviews import HOLDS
from qeu.store.jobs import OPEN_STATES, list_jobs
from qeu.store.workspace import Workspace

_THERE = "(SELECT id FROM datasets WHERE removed = '')"


@dataclass(frozen=True)
class WorkspaceCounts:
    """Removed data sets and their jobs are left out.

    `without_reasoning` are records that have none. `waiting` are records with finished texts that
    nobody has decided about, job by job; `accepted` are records that got an accepted text.
    `verdict` is that of the last finished evaluation, "" before there is one.
    """

    records: int = 0
    without_reasoning: int = 0
    open_jobs: int = 0
    waiting: int = 0
    accepted: int = 0
    votes: int = 0
    verdict: str = ""


def count_workspace(workspace: Workspace) -> WorkspaceCounts:
    """The counts as they stand; a few ms with 100,000 records, some 100 where
    each has several texts of a job."""
    there = {row[0] for row in workspace.read("SELECT id FROM datasets WHERE removed = ''")}
    jobs = [job for job in list_jobs(workspace) if job.dataset in there]
    decided = {
        row["job"]: row
        for row in workspace.read(
            "SELECT job, count(*) AS n, sum(decision != 'reject') AS accepted FROM job_reviews "
            f"WHERE {HOLDS} GROUP BY job"
        )
        if row["job"] in {job.id for job in jobs}
    }
    waiting = 0
    for job in jobs:
        # one text a record is counted from an index alone
        many = len(job.spec.sources) * job.spec.samples > 1
        count = "count(DISTINCT record)" if many else "count(*)"
        sql = f"SELECT {count} FROM job_items WHERE job = ? AND state = 'done'"
        seen = decided[job.id]["n"] if job.id in decided else 0
        waiting += max(0, _number(workspace, sql, job.id) - seen)
    accepted = sum(row["accepted"] for row in decided.values())
    if len(decided) > 1:  # a decision about several jobs stands once for each of them
        accepted = _number(
            workspace,
            "SELECT count(DISTINCT record) FROM job_reviews WHERE decision != 'reject' "
            f"AND job IN (SELECT id FROM jobs WHERE dataset IN {_THERE}) AND {HOLDS}",
        )
    return WorkspaceCounts(
        records=_number(workspace, f"SELECT count(*) FROM records WHERE dataset IN {_THERE}"),
        without_reasoning=_number(
            workspace,
            f"SELECT count(*) FROM records WHERE dataset IN {_THERE} AND reasoning_length = 0",
        ),
        open_jobs=sum(job.state in OPEN_STATES for job in jobs),
        waiting=waiting,
        accepted=accepted,
        votes=_number(workspace, "SELECT count(*) FROM votes"),
        verdict=last_verdict(workspace),
    )


def change_mark(workspace: Workspace) -> tuple[int, int]:
    """Changes with every change of the workspace, whoever makes it: nothing needs a new count.

    What this program changed over its connection, and what others did.
    """
    own = _number(workspace, "SELECT total_changes()")
    return own, _number(workspace, "PRAGMA data_version")


def _number(workspace: Workspace, sql: str, *values: object) -> int:
    return int(workspace.read(sql, values)[0][0] or 0)
