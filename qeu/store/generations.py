"""Finished generations, found again by the hash of their whole request: nothing is made twice."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from qeu.core.generation import Generation
from qeu.store.workspace import Workspace, dump_json, now

# What may be kept as a value; a stopped or failed one is an attempt, and is asked for again.
KEPT_ENDS = ("stop", "length", "loop")
_TOGETHER = 500


def insert_generations(db: sqlite3.Connection, found: Mapping[str, Generation]) -> None:
    """Keep finished generations by key, inside a transaction; the first one of a key stays."""
    at = now()
    rows = []
    for key, generation in found.items():
        if generation.finish_reason not in KEPT_ENDS:
            raise ValueError(f"a {generation.finish_reason} generation is an attempt, no value")
        rows.append((key, at, generation.model, dump_json(generation.to_json())))
    db.executemany(
        "INSERT OR IGNORE INTO generations (key, at, model, data) VALUES (?, ?, ?, ?)", rows
    )


def known_keys(workspace: Workspace, keys: Sequence[str]) -> set[str]:
    """Those of the keys that a generation is kept for."""
    found: set[str] = set()
    for part in _parts(keys):
        rows = workspace.read(
            "SELECT key FROM generations WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(part),),
        )
        found |= {row[0] for row in rows}
    return found


def find_generations(workspace: Workspace, keys: Sequence[str]) -> dict[str, Generation]:
    """The kept generations of these keys."""
    found: dict[str, Generation] = {}
    for part in _parts(keys):
        rows = workspace.read(
            "SELECT key, data FROM generations WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(part),),
        )
        found |= {row["key"]: Generation.from_json(json.loads(row["data"])) for row in rows}
    return found


def _parts(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[at : at + _TOGETHER] for at in range(0, len(keys), _TOGETHER))
