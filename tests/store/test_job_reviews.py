"""Decisions about the texts of jobs: kept, listed, true as long as their change is not undone."""

from pathlib import Path

import pytest

from qeu.core.ensemble import Ensemble, Part
from qeu.core.job_spec import JobSpec
from qeu.store.changes import edit_record
from qeu.store.datasets import Dataset
from qeu.store.job_ensembles import StoredEnsemble, put_ensembles, read_ensembles
from qeu.store.job_items import Outcome, next_items, store_outcomes
from qeu.store.job_reviews import (
    Review,
    Waiting,
    count_decisions,
    count_reviewed,
    delete_review,
    group_name,
    insert_reviews,
    last_review,
    list_waiting,
    mean_distances,
    read_review,
)
from qeu.store.jobs import Job, claim_job, create_job
from qeu.store.queries import get_record
from qeu.store.undo import redo, undo
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill

ME = "1:1"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "qeu.db")


@pytest.fixture
def dataset(workspace: Workspace) -> Dataset:
    """Four rows."""
    return fill(workspace, 4)


@pytest.fixture
def job(workspace: Workspace, dataset: Dataset) -> Job:
    """A job of one source, done; its second text breaks its contract."""
    return ended(workspace)


def ended(workspace: Workspace, **changes: object) -> Job:
    job = create_job(workspace, JobSpec("demo", ("a",), **changes))  # type: ignore[arg-type]
    assert claim_job(workspace, job, ME, lambda owner: False)
    outcomes = [
        Outcome(item, "done", 1, key=f"k{item.number}", broken=("lines",) * (at == 1))
        for at, item in enumerate(next_items(workspace, job, 0, 99))
    ]
    store_outcomes(workspace, job, ME, outcomes)
    return job


def review(job: Job, record: int, event: int = 0, **changes: object) -> Review:
    values = {"decision": "accept", "source": "k", "text": "T", "distances": {"0.0": 0.0}}
    return Review(job.id, record, event=event, **values | changes)  # type: ignore[arg-type]


def keep(workspace: Workspace, reviews: list[Review]) -> None:
    with workspace.change() as db:
        insert_reviews(db, reviews)


def test_what_waits_comes_first(workspace: Workspace, dataset: Dataset, job: Job):
    records = [line.record for line in list_waiting(workspace, [job.id])]
    assert len(records) == 4
    keep(workspace, [review(job, records[0])])
    again = list_waiting(workspace, [job.id])
    assert [line.record for line in again] == [*records[1:], records[0]]
    assert [line.reviewed for line in again] == [False, False, False, True]
    assert len(list_waiting(workspace, [job.id], "unreviewed")) == 3
    assert [line.record for line in list_waiting(workspace, [job.id], "broken")] == [records[1]]
    assert count_reviewed(workspace, [job.id]) == 1


def test_a_decision_holds_as_long_as_its_change(workspace: Workspace, dataset: Dataset, job: Job):
    number = list_waiting(workspace, [job.id])[0].record
    stored = get_record(workspace, dataset, number)
    edit_record(workspace, dataset, number, stored.version, "reasoning", "T")
    event = workspace.events(f"record/{number}")[-1].id
    keep(workspace, [review(job, number, event)])
    assert read_review(workspace, [job.id], number).event == event
    undo(workspace, dataset)
    assert read_review(workspace, [job.id], number) is None
    assert last_review(workspace, [job.id]) is None
    assert not any(line.reviewed for line in list_waiting(workspace, [job.id]))
    assert (count_decisions(workspace, job.id), mean_distances(workspace, job.id)) == ({}, {})
    redo(workspace, dataset)
    assert read_review(workspace, [job.id], number).event == event


def test_a_later_decision_takes_the_place_of_an_earlier_one(workspace: Workspace, job: Job):
    number = list_waiting(workspace, [job.id])[0].record
    keep(workspace, [review(job, number)])
    keep(workspace, [review(job, number, decision="reject", distances={})])
    assert count_decisions(workspace, job.id) == {"reject": 1}
    delete_review(workspace, [job.id], number, "user")
    assert read_review(workspace, [job.id], number) is None
    event = workspace.events(f"record/{number}")[-1]
    assert (event.kind, event.data["decision"]) == ("review", "")


def test_means_are_by_source(workspace: Workspace, job: Job):
    one, two, *_ = (line.record for line in list_waiting(workspace, [job.id]))
    keep(
        workspace,
        [
            review(job, one, distances={"0.0": 0.2, "0.1": 0.4, "1.0": 1.0}),
            review(job, two, distances={"0.0": 0.6}),
        ],
    )
    assert mean_distances(workspace, job.id) == {0: (pytest.approx(0.4), 3), 1: (1.0, 1)}


def test_with_several_jobs_all_of_them_count(workspace: Workspace, job: Job):
    other = ended(workspace, limit=1, view="Be brief.")
    first = list_waiting(workspace, [job.id])[0].record
    keep(workspace, [review(job, first)])
    together = list_waiting(workspace, [job.id, other.id])
    assert not any(line.reviewed for line in together)
    assert count_reviewed(workspace, [job.id, other.id]) == 0
    keep(workspace, [review(other, first)])
    together = list_waiting(workspace, [job.id, other.id])
    assert [line.record for line in together if line.reviewed] == [first]


def test_the_disputed_are_those_compared_and_found_apart(workspace: Workspace, job: Job):
    one, two, *_ = (line.record for line in list_waiting(workspace, [job.id]))
    name = group_name([job.id])
    made = [
        StoredEnsemble(one, "medoid", "h", Ensemble("T", (), 0.2, {})),
        StoredEnsemble(two, "medoid", "h", Ensemble("T", (), 0.9, {})),
        StoredEnsemble(two, "sentences", "h", Ensemble("T", (), 0.1, {})),
    ]
    put_ensembles(workspace, name, made)
    assert list_waiting(workspace, [job.id], "disputed", 0.37) == [Waiting(one, False, False, 0.2)]


def test_an_ensemble_comes_back_as_it_was(workspace: Workspace):
    found = Ensemble("A b.\nC.", (Part(0, 4, ("A", "B")), Part(5, 7, ())), 0.5, {"C": ("lines",)})
    made = StoredEnsemble(7, "phi-2", "hash", found, ("length", "loop"), "key")
    put_ensembles(workspace, "1,2", [made])
    put_ensembles(workspace, "1,2", [])
    assert read_ensembles(workspace, "1,2", 7) == {"phi-2": made}
    assert read_ensembles(workspace, "1", 7) == {}


def test_jobs_are_named_in_their_order():
    assert group_name([5, 3, 5]) == "3,5"
