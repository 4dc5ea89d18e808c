"""Votes on runs of the history: each an event in the log and a row beside it, in one step."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields, replace

from qeu.core.errors import QeuError
from qeu.core.votes import Vote
from qeu.store.history import LARGEST_NUMBER, get_comparison
from qeu.store.workspace import Workspace, dump_json, now


def add_vote(workspace: Workspace, vote: Vote, visitor: str = "") -> tuple[Vote, bool]:
    """Store a vote; (the vote that stands, whether it is this one).

    A voter has one vote a run: a second one, as of a double click, changes nothing. Raises QeuError
    where the visitor has no such run.
    """
    if wrong := vote.problems():
        raise ValueError(wrong[0])
    with workspace.change() as db:
        get_comparison(workspace, vote.run, visitor)
        if found := find_vote(workspace, vote.run, vote.voter):
            return found, False
        vote = replace(vote, at=now(), id=0)
        told = _told(vote)
        event = workspace.append_event(_actor(visitor), "vote", _subject(vote.run), told)
        db.execute(
            "INSERT INTO votes (event, at, visitor, voter, run, data) VALUES (?, ?, ?, ?, ?, ?)",
            (event.id, vote.at, visitor, vote.voter, vote.run, dump_json(told)),
        )
    return replace(vote, id=event.id), True


def undo_vote(workspace: Workspace, voter: str = "", visitor: str = "") -> Vote:
    """Take a voter's last vote back; the log keeps both. Raises QeuError where there is none."""
    with workspace.change() as db:
        rows = workspace.read(
            "SELECT * FROM votes WHERE voter = ? AND visitor = ? ORDER BY event DESC LIMIT 1",
            (voter, visitor),
        )
        if not rows:
            raise QeuError("There is no vote of yours to take back.")
        vote = _load(rows[0])
        db.execute("DELETE FROM votes WHERE event = ?", (vote.id,))
        workspace.append_event(_actor(visitor), "undo", _subject(vote.run), {"undoes": vote.id})
    return vote


def find_vote(workspace: Workspace, run: int, voter: str) -> Vote | None:
    """A voter's vote on a run, if it stands."""
    if not 0 < run <= LARGEST_NUMBER:
        return None
    rows = workspace.read("SELECT * FROM votes WHERE run = ? AND voter = ?", (run, voter))
    return _load(rows[0]) if rows else None


def list_votes(workspace: Workspace, visitor: str = "") -> list[Vote]:
    """All votes that stand, oldest first."""
    rows = workspace.read("SELECT * FROM votes WHERE visitor = ? ORDER BY event", (visitor,))
    return [_load(row) for row in rows]


def _told(vote: Vote) -> dict[str, object]:
    """What the log tells of a vote: all of it but what its event tells anyway."""
    data = vote.to_json()
    for name in ("id", "at", "run"):
        del data[name]
    return data


def _load(row: sqlite3.Row) -> Vote:
    data: dict[str, object] = json.loads(row["data"])
    acceptable = data.pop("acceptable")
    assert isinstance(acceptable, Mapping)
    known = {f.name for f in fields(Vote)}
    values = {name: value for name, value in data.items() if name in known}
    values |= {f"{side}_ok": acceptable.get(side) for side in ("left", "right")}
    values |= {"id": row["event"], "at": row["at"], "run": row["run"]}
    return Vote(**values)  # type: ignore[arg-type]


def _actor(visitor: str) -> str:
    return f"visitor/{visitor}" if visitor else "user"


def _subject(run: int) -> str:
    return f"comparison/{run}"
