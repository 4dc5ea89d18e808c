"""Data sets of a workspace: make, find, list them; one connection of their own for long work."""

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
    """A named set of records; `revision` grows by one with every change of it."""

    id: int
    name: str
    created: str
    revision: int

    @property
    def subject(self) -> str:
        """What events of the whole data set are about."""
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
        raise QeuError(f"There is already a data set {name!r}. Choose another name.") from error
    return Dataset(number or 0, name, at, 0)


def find_dataset(workspace: Workspace, name: str) -> Dataset:
    """The data set of this name (case ignored); raises QeuError that lists those there are."""
    rows = workspace.read("SELECT * FROM datasets WHERE name = ?", (clean_value(name),))
    if rows:
        return _load(rows[0])
    known = [d.name for d in list_datasets(workspace)]
    there = f"There are: {', '.join(known[:20])}." if known else "There is none yet: import one."
    raise QeuError(f"There is no data set {name!r}. {there}")


def list_datasets(workspace: Workspace) -> list[Dataset]:
    """All data sets, by name."""
    return [_load(row) for row in workspace.read("SELECT * FROM datasets ORDER BY name")]


def count_records(workspace: Workspace, dataset: Dataset) -> int:
    """Records in it now."""
    return int(
        workspace.read("SELECT count(*) FROM records WHERE dataset = ?", (dataset.id,))[0][0]
    )


def touch(db: sqlite3.Connection, dataset: int) -> None:
    """Say that the data set changed, so that nobody uses counts of before."""
    db.execute("UPDATE datasets SET revision = revision + 1 WHERE id = ?", (dataset,))


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


def _load(row: sqlite3.Row) -> Dataset:
    return Dataset(row["id"], row["name"], row["created"], row["revision"])
