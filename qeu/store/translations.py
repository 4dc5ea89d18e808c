"""Translations that a model made, found again by what was asked of which model."""

from dataclasses import dataclass

from qeu.store.workspace import Workspace, now


@dataclass(frozen=True)
class StoredTranslation:
    """One finished translation: its text, and who made it when."""

    text: str
    model: str
    revision: str
    at: str


def find_translation(
    workspace: Workspace, key: str, revision: str | None = None
) -> StoredTranslation | None:
    """The translation under a key by this revision of its model; None takes the newest of any."""
    rows = workspace.read(
        "SELECT * FROM translations WHERE key = ? AND revision = coalesce(?, revision) "
        "ORDER BY at DESC, rowid DESC LIMIT 1",
        (key, revision),
    )
    return _load(rows[0]) if rows else None


def add_translation(
    workspace: Workspace, key: str, text: str, model: str, revision: str
) -> StoredTranslation:
    """Keep a finished translation; one of the same key and revision gives way to it."""
    stored = StoredTranslation(text, model, revision, now())
    with workspace.change() as db:
        db.execute(
            "INSERT OR REPLACE INTO translations (key, revision, model, at, text) "
            "VALUES (?, ?, ?, ?, ?)",
            (key, revision, model, stored.at, text),
        )
    return stored


def _load(row: object) -> StoredTranslation:
    return StoredTranslation(row["text"], row["model"], row["revision"], row["at"])  # type: ignore[index]
