"""Evaluations that were ordered: what was asked, and what came of it, the latest first."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from qeu.store.workspace import Workspace, dump_json, now

OPEN, FINISHED = "open", "finished"


@dataclass(frozen=True)
class StoredEvaluation:
    """One evaluation without its result; `asked` is the order as plain values.

    `verdict` is that of its first pair. `seconds_a_text` is what a text and its losses took for
    each new token that it could have had, 0 where too few were made to tell.
    """

    id: int
    at: str
    base: str
    asked: Mapping[str, object]
    state: str
    verdict: str
    seconds_a_text: float


def open_evaluation(workspace: Workspace, base: str, asked: Mapping[str, object]) -> int:
    """Keep an order whose work begins, in the place of one that was not finished; its number."""
    with workspace.change() as db:
        db.execute("DELETE FROM evaluations WHERE state = ?", (OPEN,))
        number = db.execute(
            "INSERT INTO evaluations (at, base, asked) VALUES (?, ?, ?)",
            (now(), base, dump_json(asked)),
        ).lastrowid
    assert number is not None
    return number


def finish_evaluation(
    workspace: Workspace,
    number: int,
    verdict: str,
    seconds_a_text: float,
    result: Mapping[str, object],
) -> None:
    """Keep what came of it."""
    with workspace.change() as db:
        db.execute(
            "UPDATE evaluations SET state = ?, at = ?, verdict = ?, seconds_a_text = ?, result = ? "
            "WHERE id = ?",
            (FINISHED, now(), verdict, seconds_a_text, dump_json(result), number),
        )


def list_evaluations(workspace: Workspace, limit: int = 20) -> list[StoredEvaluation]:
    """The latest ones first, whatever their state."""
    rows = workspace.read(
        "SELECT id, at, base, asked, state, verdict, seconds_a_text FROM evaluations "
        "ORDER BY id DESC LIMIT ?",
        (limit,),
    )
    return [_load(row) for row in rows]


def read_result(workspace: Workspace, number: int) -> dict[str, object] | None:
    """What came of an evaluation; None where it is not there or not finished."""
    rows = workspace.read(
        "SELECT result FROM evaluations WHERE id = ? AND state = ?", (number, FINISHED)
    )
    return json.loads(rows[0]["result"]) if rows else None


def last_verdict(workspace: Workspace) -> str:
    """The verdict of the last finished evaluation, "" where there is none."""
    rows = workspace.read(
        "SELECT verdict FROM evaluations WHERE state = ? ORDER BY id DESC LIMIT 1", (FINISHED,)
    )
    return str(rows[0]["verdict"]) if rows else ""


def _load(row: sqlite3.Row) -> StoredEvaluation:
    return StoredEvaluation(**{**dict(row), "asked": json.loads(row["asked"])})
