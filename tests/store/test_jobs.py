"""Jobs in the workspace: chosen records, one owner, outcomes as a whole, results with records."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.job_spec import JobSpec
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.generations import find_generations, known_keys
from qeu.store.job_items import (
    Outcome,
    find_answered,
    iterate_results,
    next_items,
    store_outcomes,
)
from qeu.store.jobs import (
    Counts,
    Job,
    NotOwner,
    claim_job,
    count_items,
    count_reasons,
    create_job,
    get_job,
    list_jobs,
    release_job,
    retry_failed,
    set_state,
)
from qeu.store.queries import get_record
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill

ME, OTHER = "1:1", "2:2"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a data set of nine rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 9)
    return workspace


def order(workspace: Workspace, **changes: object) -> Job:
    spec = replace(JobSpec("demo", ("a", "b"), samples=2), **changes)  # type: ignore[arg-type]
    return create_job(workspace, spec)


def written(text: str, **changes: object) -> Generation:
    generation = Generation(
        text, text, "", "stop", 3, 2, 0.1, 9.0, "a", "r", None, None, "chat", "reasoning", 7, None
    )
    return replace(generation, **changes)  # type: ignore[arg-type]


def claimed(workspace: Workspace, **changes: object) -> Job:
    job = order(workspace, **changes)
    assert claim_job(workspace, job, ME, lambda owner: True)
    return get_job(workspace, job.id)


def done(item, key: str, text: str = "Think.", **changes: object) -> Outcome:
    outcome = Outcome(
        item, "done", item.version, asked=f"asked {key}", key=key,
        generations={key: written(text)}, attempts=({
            "key": key, "attempt": 1, "model": "a", "target": "reasoning",
            "finish_reason": "stop", "text": text, "error": "",
        },),
    )  # fmt: skip
    return replace(outcome, **changes)  # type: ignore[arg-type]


def test_a_job_takes_the_records_that_match_in_their_order(workspace: Workspace):
    job = order(workspace, where={"language": ["en"]}, limit=2)
    items = [next_items(workspace, job, source, 99) for source in (0, 1)]
    assert [(i.record & 0xFFFF, i.sample) for i in items[0]] == [(0, 0), (0, 1), (3, 0), (3, 1)]
    assert [(i.record & 0xFFFF, i.sample) for i in items[1]] == [(0, 0), (0, 1), (3, 0), (3, 1)]
    assert [i.number for i in items[0] + items[1]] == [0, 1, 4, 5, 2, 3, 6, 7]
    assert count_items(workspace, job) == Counts(todo=8)
    assert job.spec.where == {"language": ["en"]}


def test_where_nothing_matches_no_job_is_made(workspace: Workspace):
    with pytest.raises(QeuError, match="nothing to generate"):
        order(workspace, where={"category": ["code"]})
    with pytest.raises(QeuError, match="no data set 'other'"):
        order(workspace, dataset="other")
    assert list_jobs(workspace) == []


def test_one_process_works_on_a_job(workspace: Workspace):
    job = order(workspace)
    alive = {ME, OTHER}
    assert claim_job(workspace, job, ME, alive.__contains__)
    assert not claim_job(workspace, job, OTHER, alive.__contains__)
    assert claim_job(workspace, job, ME, alive.__contains__)
    alive.discard(ME)  # killed
    assert claim_job(workspace, job, OTHER, alive.__contains__)
    item = next_items(workspace, job, 0, 1)[0]
    with pytest.raises(NotOwner):
        store_outcomes(workspace, job, ME, [done(item, "k")])
    assert known_keys(workspace, ["k"]) == set()


def test_outcomes_are_kept_as_a_whole(workspace: Workspace):
    job = claimed(workspace)
    first, second = next_items(workspace, job, 0, 2)
    bad = done(second, "k2", generations={"k2": written("x", finish_reason="error")})
    with pytest.raises(ValueError, match="attempt, no value"):
        store_outcomes(workspace, job, ME, [done(first, "k1"), bad])
    assert count_items(workspace, job).done == 0
    assert workspace.events(f"record/{first.record}") == []
    failed = replace(bad, state="failed", generations={}, key="", reason="No answer.")
    broken = done(first, "k1", broken=("lines", "leak_commit"))
    assert store_outcomes(workspace, job, ME, [broken, failed], 1.5) == "running"
    counts = count_items(workspace, job)
    assert (counts.done, counts.failed, counts.broken, counts.todo) == (1, 1, 1, 34)
    assert count_reasons(workspace, job) == [("failed", "No answer.", 1)]
    assert get_job(workspace, job.id).seconds == 1.5
    event = workspace.events(f"record/{first.record}")[0]
    assert (event.actor, event.kind, event.data["key"]) == (f"job/{job.id}", "generate", "k1")


def test_the_same_key_keeps_its_first_text(workspace: Workspace):
    job = claimed(workspace)
    first, second = next_items(workspace, job, 0, 2)
    store_outcomes(workspace, job, ME, [done(first, "k", "One.")])
    store_outcomes(workspace, job, ME, [done(second, "k", "Two.")])
    assert find_generations(workspace, ["k", "none"])["k"].text == "One."
    assert find_answered(workspace, ["asked k", "asked x", ""]) == {"asked k": ("k", "")}


def test_an_item_has_one_outcome(workspace: Workspace):
    job = claimed(workspace)
    item = next_items(workspace, job, 0, 1)[0]
    store_outcomes(workspace, job, ME, [done(item, "k1")])
    store_outcomes(workspace, job, ME, [done(item, "k2")])
    assert [r.item.key for r in iterate_results(workspace, job)] == ["k1"]


def test_results_come_with_their_records_as_they_are_now(workspace: Workspace):
    job = claimed(workspace)
    items = next_items(workspace, job, 0, 99)
    store_outcomes(workspace, job, ME, [done(i, f"k{i.number}", f"T{i.number}") for i in items])
    dataset = find_dataset(workspace, "demo")
    stored = get_record(workspace, dataset, items[0].record)
    edit_record(workspace, dataset, items[0].record, stored.version, "instruction", "Other words?")
    results = list(iterate_results(workspace, job))
    assert [r.generation.text for r in results] == [f"T{i.number}" for i in items]
    assert [r.stale for r in results] == [True, True] + [False] * 16
    one = list(iterate_results(workspace, job, record=items[4].record))
    assert [r.item.number for r in one] == [items[4].number, items[5].number]
    todo = list(iterate_results(workspace, job, ("todo",)))
    assert len(todo) == 18
    assert todo[0].generation is None


def test_pause_resume_stop_and_what_cannot_be(workspace: Workspace):
    job = claimed(workspace)
    item = next_items(workspace, job, 0, 1)[0]
    set_state(workspace, job.id, "paused")
    assert store_outcomes(workspace, job, ME, [done(item, "k")]) == "paused"
    release_job(workspace, job, ME, "queued")
    assert get_job(workspace, job.id).state == "paused"
    assert not claim_job(workspace, job, ME, lambda owner: True)
    assert set_state(workspace, job.id, "queued").state == "queued"
    assert claim_job(workspace, job, ME, lambda owner: True)
    release_job(workspace, job, ME, "done")
    with pytest.raises(QeuError, match="is done; it cannot become paused"):
        set_state(workspace, job.id, "paused")


def test_what_failed_can_be_tried_again(workspace: Workspace):
    job = claimed(workspace)
    items = next_items(workspace, job, 0, 3)
    outcomes = [
        done(items[0], "k"),
        Outcome(items[1], "failed", 1, reason="Down."),
        Outcome(items[2], "skipped", 1, reason="Too long."),
    ]
    store_outcomes(workspace, job, ME, outcomes)
    release_job(workspace, job, ME, "done", "2 failed")
    assert retry_failed(workspace, job.id) == 2
    assert get_job(workspace, job.id).state == "queued"
    assert [i.number for i in next_items(workspace, job, 0, 2)] == [
        items[1].number,
        items[2].number,
    ]
    assert retry_failed(workspace, job.id) == 0


def test_a_job_sleeps_until_a_named_hour(workspace: Workspace):
    job = claimed(workspace)
    release_job(
        workspace, job, ME, "sleeping", "Groq's day is used up.", "2026-11-22T00:00:00+00:00"
    )
    slept = get_job(workspace, job.id)
    assert (slept.state, slept.wakes[:10], slept.owner) == ("sleeping", "2026-11-22", "")
    assert claim_job(workspace, job, OTHER, lambda owner: True)
    assert get_job(workspace, job.id).wakes == ""


def test_an_unknown_job_is_told(workspace: Workspace):
    with pytest.raises(QeuError, match="no job 7"):
        get_job(workspace, 7)
