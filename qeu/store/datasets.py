"""Data sets of a workspace: make, find, rename, remove them; a connection for long work.

A removed data set is hidden, with its records and history, until it is restored; its name is free.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.text import clean_value
from qeu.store.workspace import Workspace, now

MOST_NAME_CHARACTERS = 100
# Page and command line wait for each other's change this long: an import of a large file.
BUSY_WAIT_S = 120


@dataclass(frozen=True)
class Dataset:
    """A named set of records; `revision` grows by one with every change of it.

    `removed` is when it was removed, "" where it was not.
    """

    id: int
    name: str
    created: str
    revision: int
    removed: str = ""

    @property
    def subject(self) -> str:
        """What events of the whole data set are about; earlier ones may bear an earlier name."""
        return f"dataset/{self.name}"


class Stopped(QeuError):
    """The person stopped it; the transaction is rolled back and nothing has changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was stopped; nothing has changed.")


def create_dataset(workspace: Workspace, name: str) -> Dataset:
    """A new, empty data set; raises QeuError for a bad name or one that is taken."""
    name = check_name(name)
    with workspace.change() as db:
        return insert_dataset(db, name)


def check_name(name: str) -> str:
    """The name as stored; raises QeuError where it cannot be one."""
    name = clean_value(name)
    if not name or len(name) > MOST_NAME_CHARACTERS or "\n" in name:
        raise QeuError(
            f"A data set's name has 1 to {MOST_NAME_CHARACTERS} characters on one line; "
            f"this one has {len(name)}. Choose another."
        )
    return name


def insert_dataset(db: sqlite3.Connection, name: str) -> Dataset:
    """The same inside a transaction that is under way."""
    at = now()
    try:
        number = db.execute(
            "INSERT INTO datasets (name, created) VALUES (?, ?)", (name, at)
        ).lastrowid
    except sqlite3.IntegrityError as error:
        raise _taken(name) from error
    return Dataset(number or 0, name, at, 0)


def find_dataset(workspace: Workspace, name: str) -> Dataset:
    """The data set of this name (case ignored); raises QeuError that lists those there are."""
    name = clean_value(name)
    rows = workspace.read("SELECT * FROM datasets WHERE name = ? AND removed = ''", (name,))
    if rows:
        return _load(rows[0])
    known = [d.name for d in list_datasets(workspace)]
    there = f"There are: {', '.join(known[:20])}." if known else "There is none yet: import one."
    if name and list_removed(workspace, name):
        there = "One of this name was removed; restore it to work on it."
    raise QeuError(f"There is no data set {name!r}. {there}")


def list_datasets(workspace: Workspace) -> list[Dataset]:
    """All data sets but removed ones, by name."""
    rows = workspace.read("SELECT * FROM datasets WHERE removed = '' ORDER BY name")
    return [_load(row) for row in rows]


def list_removed(workspace: Workspace, name: str = "") -> list[Dataset]:
    """Removed data sets (of that name only), the latest first."""
    sql = "SELECT * FROM datasets WHERE removed != '' AND (name = ? OR ? = '') "
    rows = workspace.read(sql + "ORDER BY removed DESC, id DESC", (name, name))
    return [_load(row) for row in rows]


def rename_dataset(
    workspace: Workspace, dataset: Dataset, name: str, actor: str = "user"
) -> Dataset:
    """The data set under another name; raises QeuError for a bad name or one that is taken."""
    name = check_name(name)
    with change_or_tell(workspace) as db:
        try:
            db.execute("UPDATE datasets SET name = ? WHERE id = ?", (name, dataset.id))
        except sqlite3.IntegrityError as error:
            raise _taken(name) from error
        _log(workspace, actor, dataset, {"do": "rename data set", "to": name})
        touch(db, dataset.id)
        return _reload(db, dataset)


def remove_dataset(workspace: Workspace, dataset: Dataset, actor: str = "user") -> Dataset:
    """Hide the data set; nothing of it is deleted, and `restore_dataset` brings all of it back."""
    with change_or_tell(workspace) as db:
        _log(workspace, actor, dataset, {"do": "remove data set"})
        touch(db, dataset.id)
        db.execute("UPDATE datasets SET removed = ? WHERE id = ?", (now(), dataset.id))
        return _reload(db, dataset)


def restore_dataset(workspace: Workspace, name: str, actor: str = "user") -> Dataset:
    """Bring back the data set of this name that was removed last, as it was.

    Raises QeuError where there is none, or where another one has the name by now.
    """
    name = clean_value(name)
    with change_or_tell(workspace) as db:
        if not (found := list_removed(workspace, name) if name else []):
            names = ", ".join(dict.fromkeys(d.name for d in list_removed(workspace))) or "none"
            raise QeuError(f"No data set {name!r} was removed. Removed are: {names}.")
        dataset = found[0]
        try:
            db.execute("UPDATE datasets SET removed = '' WHERE id = ?", (dataset.id,))
        except sqlite3.IntegrityError as error:
            raise QeuError(
                f"There is another data set {name!r} by now. Rename that one, then restore."
            ) from error
        _log(workspace, actor, dataset, {"do": "restore data set"})
        touch(db, dataset.id)
        return _reload(db, dataset)


def count_records(workspace: Workspace, dataset: Dataset) -> int:
    """Records in it now."""
    return int(
        workspace.read("SELECT count(*) FROM records WHERE dataset = ?", (dataset.id,))[0][0]
    )


def touch(db: sqlite3.Connection, dataset: int) -> None:
    """Say that the data set changed, so that nobody uses counts of before.

    Raises QeuError where it was removed meanwhile: nothing is changed that nobody can see.
    """
    sql = "UPDATE datasets SET revision = revision + 1 WHERE id = ? AND removed = ''"
    if not db.execute(sql, (dataset,)).rowcount:
        raise QeuError(
            "The data set was removed meanwhile, perhaps in another window; this change was not "
            "stored. Restore the data set first."
        )


@contextmanager
def change_or_tell(workspace: Workspace) -> Iterator[sqlite3.Connection]:
    """One transaction; where another process holds the workspace too long, the way out."""
    try:
        with workspace.change() as db:
            yield db
    except QeuError as error:
        if not isinstance(error.__cause__, sqlite3.OperationalError) or "lock" not in str(error):
            raise
        raise QeuError(
            "A long change of this workspace is under way (an import or a rule run, perhaps in "
            "another window); yours was not stored. Try again when it has finished."
        ) from error


@contextmanager
def own_connection(workspace: Workspace) -> Iterator[Workspace]:
    """A second connection for long work: others go on reading meanwhile.

    A workspace in memory has one connection only; then it is that.
    """
    if workspace.path is None:
        yield workspace
        return
    own = Workspace(workspace.path)
    try:
        own.read(f"PRAGMA busy_timeout = {BUSY_WAIT_S * 1000}")
        own.read("PRAGMA cache_size = -65536")
        # the log of a large import is cut down again when it has been worked in
        own.read("PRAGMA journal_size_limit = 67108864")
        yield own
    finally:
        own.close()


def _taken(name: str) -> QeuError:
    return QeuError(f"There is already a data set {name!r}. Choose another name.")


def _log(workspace: Workspace, actor: str, dataset: Dataset, rule: dict[str, object]) -> None:
    data = {"rules": [rule], "changed": count_records(workspace, dataset)}
    workspace.append_event(actor, "rule", dataset.subject, data)


def _reload(db: sqlite3.Connection, dataset: Dataset) -> Dataset:
    row = db.execute("SELECT * FROM datasets WHERE id = ?", (dataset.id,)).fetchone()
    return _load(row)


def _load(row: sqlite3.Row) -> Dataset:
    return Dataset(row["id"], row["name"], row["created"], row["revision"], row["removed"])
