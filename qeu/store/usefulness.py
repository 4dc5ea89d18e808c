"""Losses that a student was measured at, by the hash of all they depend on; donors' lengths."""

import json
from collections.abc import Iterator, Mapping, Sequence

from qeu.core.usefulness import Candidate
from qeu.store.datasets import Dataset
from qeu.store.workspace import Workspace, now

_TOGETHER = 500
# (mean loss per token in nats, tokens)
Loss = tuple[float, int]


def add_losses(workspace: Workspace, model: str, found: Mapping[str, Loss]) -> None:
    """Keep losses by key; the first one of a key stays. `model` is who they were measured on."""
    at = now()
    with workspace.change() as db:
        db.executemany(
            "INSERT OR IGNORE INTO losses (key, at, model, loss, tokens) VALUES (?, ?, ?, ?, ?)",
            [(key, at, model, loss, tokens) for key, (loss, tokens) in found.items()],
        )


def find_losses(workspace: Workspace, keys: Sequence[str]) -> dict[str, Loss]:
    """The kept losses of these keys."""
    found: dict[str, Loss] = {}
    for at in range(0, len(keys), _TOGETHER):
        rows = workspace.read(
            "SELECT key, loss, tokens FROM losses WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(keys[at : at + _TOGETHER]),),
        )
        found |= {row["key"]: (row["loss"], row["tokens"]) for row in rows}
    return found


def iterate_candidates(workspace: Workspace, dataset: Dataset) -> Iterator[Candidate]:
    """All records of a data set that have a reasoning, as donors; lengths in characters."""
    rows = workspace.read(
        "SELECT id, category, language, reasoning_length FROM records "
        "WHERE dataset = ? AND reasoning_length > 0",
        (dataset.id,),
    )
    for row in rows:
        yield Candidate(row["id"], row["id"], row["category"], row["language"], row[3])
