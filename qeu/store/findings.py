"""What the last check of a data set found; a finding counts only while its record is unchanged."""

import json
import sqlite3
from collections.abc import Sequence

from qeu.core.record_checks import Finding
from qeu.store.datasets import Dataset
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

Found = Sequence[tuple[StoredRecord, Finding]]


def replace_findings(
    db: sqlite3.Connection, dataset: Dataset, checked: Sequence[int], found: Found
) -> None:
    """Put what was found in place of what was known of the checked records; in a transaction."""
    db.execute(
        "DELETE FROM findings WHERE record IN (SELECT value FROM json_each(?))",
        (json.dumps(list(checked)),),
    )
    db.executemany(
        "INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                stored.id,
                finding.name,
                dataset.id,
                stored.version,
                finding.place,
                json.dumps(finding.spans),
                finding.message,
            )
            for stored, finding in found
        ],
    )


def read_findings(workspace: Workspace, stored: StoredRecord) -> list[Finding]:
    """What the last check found in this record as it is."""
    rows = workspace.read(
        "SELECT * FROM findings WHERE record = ? AND version = ? ORDER BY place, name",
        (stored.id, stored.version),
    )
    return [
        Finding(
            row["name"], row["place"], tuple(map(tuple, json.loads(row["spans"]))), row["message"]
        )
        for row in rows
    ]
