"""Ensembles of the texts of bulk jobs, kept by record and by how they were made."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from qeu.core.ensemble import Ensemble, Part
from qeu.store.workspace import Workspace, dump_json


@dataclass(frozen=True)
class StoredEnsemble:
    """An ensemble for one record; `method` is "medoid", "sentences" or the model that fused it.

    `made_of` is the hash of the texts that it was made of. `broken` names the checks that its own
    text fails; `key` is that of the generation, "" where no model wrote it.
    """

    record: int
    method: str
    made_of: str
    ensemble: Ensemble
    broken: tuple[str, ...] = ()
    key: str = ""


def put_ensembles(workspace: Workspace, jobs: str, made: Sequence[StoredEnsemble]) -> None:
    """Keep ensembles of a group of jobs (`job_reviews.group_name`); later ones replace earlier."""
    if not made:
        return
    rows = []
    for one in made:
        found = one.ensemble
        parts = [[part.start, part.end, list(part.sources)] for part in found.parts]
        dropped = {source: list(names) for source, names in found.dropped.items()}
        rows.append(
            (
                jobs, one.record, one.method, one.made_of, found.text, json.dumps(parts),
                found.agreement, dump_json(dropped), " ".join(one.broken), one.key,
            )
        )  # fmt: skip
    with workspace.change() as db:
        db.executemany(
            "INSERT OR REPLACE INTO job_ensembles (jobs, record, method, made_of, text, parts, "
            "agreement, dropped, broken, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def read_ensembles(workspace: Workspace, jobs: str, record: int) -> dict[str, StoredEnsemble]:
    """The ensembles of one record, by method."""
    rows = workspace.read(
        "SELECT * FROM job_ensembles WHERE jobs = ? AND record = ?", (jobs, record)
    )
    return {row["method"]: _load(row) for row in rows}


def known_ensembles(workspace: Workspace, jobs: str, method: str) -> dict[int, str]:
    """{record: the hash of what it was made of} of the ensembles made in this way."""
    rows = workspace.read(
        "SELECT record, made_of FROM job_ensembles WHERE jobs = ? AND method = ?", (jobs, method)
    )
    return {row[0]: row[1] for row in rows}


def list_methods(workspace: Workspace, jobs: str) -> dict[str, int]:
    """{method: how many records} of the ensembles there are."""
    rows = workspace.read(
        "SELECT method, count(*) FROM job_ensembles WHERE jobs = ? GROUP BY method ORDER BY method",
        (jobs,),
    )
    return {row[0]: row[1] for row in rows}


def _load(row: sqlite3.Row) -> StoredEnsemble:
    parts = tuple(Part(start, end, tuple(names)) for start, end, names in json.loads(row["parts"]))
    dropped = {source: tuple(names) for source, names in json.loads(row["dropped"]).items()}
    return StoredEnsemble(
        row["record"], row["method"], row["made_of"],
        Ensemble(row["text"], parts, row["agreement"], dropped),
        tuple(row["broken"].split()), row["key"],
    )  # fmt: skip
