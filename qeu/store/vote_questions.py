"""Records drawn at random as questions to vote on, and questions that are not to be trained on."""

from collections.abc import Sequence

from qeu.core.record import Record
from qeu.core.text import clean_text
from qeu.store.datasets import Dataset, list_datasets
from qeu.store.queries import load_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# So many are drawn; a workspace in which all of them were asked before starts over.
_DRAWN = 20
# What is held out comes first: no adapter has seen it. Exports leave it out in turn.
HELD_OUT = ("validation", "test")
_ORDER = (*HELD_OUT, "", "train")


def draw_record(
    workspace: Workspace, datasets: Sequence[Dataset], visitor: str = ""
) -> tuple[Dataset, StoredRecord] | None:
    """A record whose question is not in the visitor's history yet; None where none is drawn."""
    by_id = {dataset.id: dataset for dataset in datasets}
    marks = ",".join("?" * len(by_id))
    for split in _ORDER if by_id else ():
        rows = workspace.read(
            f"SELECT id, dataset FROM records WHERE split = ? AND dataset IN ({marks}) "
            f"ORDER BY random() LIMIT {_DRAWN}",
            (split, *by_id),
        )
        places = {row["id"]: row["dataset"] for row in rows}
        for stored in load_records(workspace, list(places)):
            asked = workspace.read(
                "SELECT 1 FROM comparisons WHERE visitor = ? AND question = ? LIMIT 1",
                (visitor, stored.record.question),
            )
            if not asked:
                return by_id[places[stored.id]], stored
    return None


def held_out_questions(workspace: Workspace) -> frozenset[str]:
    """Questions kept for testing, of all data sets: what is learned from them proves nothing."""
    ids = [dataset.id for dataset in list_datasets(workspace)]
    rows = workspace.read(
        f"SELECT instruction, input FROM records WHERE split IN {HELD_OUT} "
        f"AND dataset IN ({','.join('?' * len(ids))})",
        tuple(ids),
    )
    return frozenset(clean_text(Record(instruction=row[0], input=row[1]).question) for row in rows)
