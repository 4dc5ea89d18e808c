"""Sweeps that were ordered: what was asked, and each cell's samples as soon as it is whole."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.store.workspace import Workspace, dump_json, now

OPEN, FINISHED = "open", "finished"


@dataclass(frozen=True)
class StoredSweep:
    """One sweep without its cells; `asked` is the order as plain values, `title` says it briefly.

    `cells` is how many there are (0 before it is known), `done` of them are whole.
    `seconds_a_token` is what a text took for each new token that it could have had, 0 where too
    few were made to tell.
    """

    id: int
    at: str
    title: str
    asked: Mapping[str, object]
    state: str
    cells: int
    done: int
    seconds_a_token: float


def add_sweep(
    workspace: Workspace,
    title: str,
    asked: Mapping[str, object],
    prompts: Sequence[Mapping[str, object]],
    matching: int,
) -> int:
    """Keep an order with its prompts as they are now; its number."""
    material = {"prompts": list(prompts), "matching": matching}
    with workspace.change() as db:
        number = db.execute(
            "INSERT INTO sweeps (at, title, asked, material) VALUES (?, ?, ?, ?)",
            (now(), title, dump_json(asked), dump_json(material)),
        ).lastrowid
    assert number is not None
    return number


def count_cells(workspace: Workspace, number: int, cells: int) -> None:
    """Keep how many cells there are; those beyond are of another time."""
    with workspace.change() as db:
        db.execute("DELETE FROM sweep_cells WHERE sweep = ? AND number > ?", (number, cells))
        db.execute("UPDATE sweeps SET cells = ? WHERE id = ?", (cells, number))


def put_cells(
    workspace: Workspace,
    number: int,
    found: Mapping[int, Mapping[str, object]],
    seconds_a_token: float = 0.0,
) -> bool:
    """Keep cells by their numbers, in the place of what stood there; False if the sweep is gone."""
    rows = [(number, cell, dump_json(data)) for cell, data in found.items()]
    with workspace.change() as db:
        if not db.execute("SELECT 1 FROM sweeps WHERE id = ?", (number,)).fetchone():
            return False
        db.executemany(
            "INSERT OR REPLACE INTO sweep_cells (sweep, number, data) VALUES (?, ?, ?)", rows
        )
        if seconds_a_token:
            db.execute(
                "UPDATE sweeps SET seconds_a_token = ? WHERE id = ?", (seconds_a_token, number)
            )
    return True


def set_sweep_state(workspace: Workspace, number: int, state: str) -> None:
    """OPEN or FINISHED."""
    with workspace.change() as db:
        db.execute("UPDATE sweeps SET state = ? WHERE id = ?", (state, number))


def list_sweeps(workspace: Workspace, limit: int = 100) -> list[StoredSweep]:
    """The latest ones first, whatever their state."""
    return [_load(row) for row in workspace.read(f"{_SWEEPS} ORDER BY id DESC LIMIT ?", (limit,))]


def get_sweep(workspace: Workspace, number: int) -> StoredSweep:
    """The sweep; raises QeuError where there is none of this number."""
    rows = workspace.read(f"{_SWEEPS} WHERE id = ?", (number,))
    if not rows:
        raise QeuError(f"There is no sweep {number}. See the list of sweeps for their numbers.")
    return _load(rows[0])


def read_material(workspace: Workspace, number: int) -> tuple[list[dict[str, object]], int]:
    """(prompts as plain records, how many records matched) of a sweep, as it was ordered."""
    rows = workspace.read("SELECT material FROM sweeps WHERE id = ?", (number,))
    material = json.loads(rows[0]["material"]) if rows else {"prompts": [], "matching": 0}
    return material["prompts"], material["matching"]


def read_cells(
    workspace: Workspace, number: int, cell: int | None = None
) -> dict[int, dict[str, object]]:
    """The whole cells by number, or one of them."""
    sql, values = "SELECT number, data FROM sweep_cells WHERE sweep = ?", (number,)
    rows = (
        workspace.read(f"{sql} ORDER BY number", values)
        if cell is None
        else workspace.read(f"{sql} AND number = ?", (*values, cell))
    )
    return {row["number"]: json.loads(row["data"]) for row in rows}


def delete_sweep(workspace: Workspace, number: int) -> None:
    """Forget a sweep; its texts stay with all others. Raises QeuError where there is none."""
    get_sweep(workspace, number)
    with workspace.change() as db:
        db.execute("DELETE FROM sweep_cells WHERE sweep = ?", (number,))
        db.execute("DELETE FROM sweeps WHERE id = ?", (number,))


_SWEEPS = (
    "SELECT id, at, title, asked, state, cells, seconds_a_token, "
    "(SELECT count(*) FROM sweep_cells WHERE sweep = sweeps.id) AS done FROM sweeps"
)


def _load(row: sqlite3.Row) -> StoredSweep:
    return StoredSweep(**{**dict(row), "asked": json.loads(row["asked"])})
