"""Comparisons that were run: stored, searched, restored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.text import clean_text, fold
from qeu.store.workspace import Workspace, dump_json, now

# SQLite's largest integer; a larger one is nobody's number and would not reach the database.
LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class StoredComparison:
    """One run: the settings it can be restored from, and each side's generation and checks."""

    id: int
    at: str
    question: str
    settings: Mapping[str, object]
    results: Mapping[str, object]

    def to_json(self) -> dict[str, object]:
        """Plain values, as exported."""
        return {
            "id": self.id,
            "at": self.at,
            "question": self.question,
            "settings": dict(self.settings),
            "results": dict(self.results),
        }


def add_comparison(
    workspace: Workspace,
    question: str,
    settings: Mapping[str, object],
    results: Mapping[str, object],
    visitor: str = "",
) -> StoredComparison:
    """Store a run; `visitor` is empty on a person's own machine.

    Searches look through question, texts and model names.
    """
    at, question = now(), clean_text(question)
    found = [question]
    for side in results.values():
        if isinstance(side, Mapping):
            found += [str(side.get(name) or "") for name in ("text", "model", "adapter")]
    row = (
        at,
        visitor,
        question,
        fold(clean_text("\n".join(found))),
        dump_json(settings),
        dump_json(results),
    )
    with workspace.change() as db:
        number = db.execute(
            "INSERT INTO comparisons (at, visitor, question, folded, settings, results) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        workspace.append_event(_actor(visitor), "compare", f"comparison/{number}", {})
    return StoredComparison(number or 0, at, question, settings, results)


def search_comparisons(
    workspace: Workspace, term: str = "", visitor: str = "", limit: int = 50
) -> list[StoredComparison]:
    """The newest runs that contain the term (any substring, case ignored), newest first."""
    rows = workspace.read(
        "SELECT * FROM comparisons WHERE visitor = ? AND instr(folded, ?) > 0 "
        "ORDER BY id DESC LIMIT ?",
        (visitor, fold(clean_text(term.strip())), limit),
    )
    return [_load(row) for row in rows]


def get_comparison(workspace: Workspace, number: int, visitor: str = "") -> StoredComparison:
    """One run by its number; raises QeuError where there is none for this visitor."""
    rows = (
        workspace.read("SELECT * FROM comparisons WHERE id = ? AND visitor = ?", (number, visitor))
        if 0 < number <= LARGEST_NUMBER
        else []
    )
    if not rows:
        raise QeuError(f"There is no run number {number} in the history. Search for another.")
    return _load(rows[0])


def forget_visitor(workspace: Workspace, visitor: str) -> None:
    """Delete what one visitor of a public page ran and voted; their visit is over."""
    if not visitor:
        raise ValueError("a person's own history is never deleted as a visitor's")
    with workspace.change() as db:
        db.execute("DELETE FROM comparisons WHERE visitor = ?", (visitor,))
        db.execute("DELETE FROM votes WHERE visitor = ?", (visitor,))
        db.execute("DELETE FROM events WHERE actor = ?", (_actor(visitor),))


def _actor(visitor: str) -> str:
    """Who the log names: only a visitor's events can be deleted again."""
    return f"visitor/{visitor}" if visitor else "user"


def _load(row: Mapping[str, object]) -> StoredComparison:
    return StoredComparison(
        int(row["id"]),  # type: ignore[call-overload]
        str(row["at"]),
        str(row["question"]),
        json.loads(str(row["settings"])),
        json.loads(str(row["results"])),
    )
