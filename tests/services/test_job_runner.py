"""Bulk jobs at work: exactly one result a record, whatever fails, stops or comes back."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.job_prompts import RETRY
from qeu.core.job_spec import JobSpec
from qeu.services.job_runner import JobWorker
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.job_items import iterate_results, next_items
from qeu.store.jobs import (
    Counts,
    Job,
    claim_job,
    count_items,
    count_reasons,
    create_job,
    get_job,
    retry_failed,
    set_state,
)
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel, failed
from tests.store.dataset_rows import fill

ME = "1:1"
GOOD = "List what is known. Then choose a rule."
A, HOSTED = "smollm2-135m", "groq/some-70b"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with twelve rows, four of them English."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 12, category="open_qa")
    return workspace


def order(workspace: Workspace, **changes: object) -> Job:
    return create_job(workspace, replace(JobSpec("demo", (A,), layout="bonsai-v2"), **changes))  # type: ignore[arg-type]


def work(workspace: Workspace, job: Job, *models: JobModel, **how: object) -> Job:
    assert claim_job(workspace, job, ME, lambda owner: False)
    return JobWorker(workspace, FakeShelf(*models), job, ME, **how).run()  # type: ignore[arg-type]


def texts(workspace: Workspace, job: Job) -> list[str]:
    return [result.generation.text for result in iterate_results(workspace, job)]


def test_every_record_gets_one_text(workspace: Workspace):
    model = JobModel(A, lambda prompt: GOOD)
    job = work(workspace, order(workspace, samples=2), model)
    assert (job.state, job.owner, job.note) == ("done", "", "")
    assert count_items(workspace, job) == Counts(done=24)
    assert texts(workspace, job) == [GOOD] * 24
    assert len(model.asked) == 24
    keys = [result.item.key for result in iterate_results(workspace, job)]
    assert len(set(keys)) == 24


def test_the_same_job_again_asks_for_nothing(workspace: Workspace):
    model = JobModel(A, lambda prompt: GOOD)
    work(workspace, order(workspace), model)
    again = work(workspace, order(workspace), model)
    assert len(model.asked) == 12
    assert count_items(workspace, again) == Counts(done=12, cached=12)
    other = work(workspace, order(workspace, view="Be brief."), model)
    assert count_items(workspace, other).cached == 0


def test_a_changed_weight_or_adapter_is_another_request(workspace: Workspace):
    model = JobModel(A, lambda prompt: GOOD)
    work(workspace, order(workspace), model)
    model.revision = "r2"
    assert count_items(workspace, work(workspace, order(workspace), model)).cached == 0
    with_adapter = order(workspace, sources=(f"{A}@poems",))
    assert count_items(workspace, work(workspace, with_adapter, model)).cached == 0
    assert len(model.asked) == 36


def test_a_broken_contract_is_asked_again_with_the_rule_and_then_kept(workspace: Workspace):
    wrong = "The answer is 12."

    def write(prompt: str) -> str:
        return GOOD if "broke these rules" in prompt and "(0)" in prompt else wrong

    model = JobModel(A, write)
    job = work(workspace, order(workspace, limit=2, retries=2), model)
    first, second = iterate_results(workspace, job)
    assert (first.generation.text, first.item.broken, first.item.attempts) == (GOOD, (), 2)
    assert second.generation.text == wrong
    assert "leak_commit" in second.item.broken
    assert second.item.attempts == 3
    assert sum(RETRY.split("{")[0] in prompt for prompt in model.asked) == 3
    events = workspace.events(f"record/{second.item.record}")
    assert [e.data["attempt"] for e in events if e.kind == "generate"] == [1, 2, 3]
    # the same job finds the end result at once, without its attempts
    again = work(workspace, order(workspace, limit=2, retries=2), model)
    assert [r.item.key for r in iterate_results(workspace, again)] == [
        first.item.key,
        second.item.key,
    ]
    assert len(model.asked) == 5


def test_answers_are_not_held_to_a_reasonings_contract(workspace: Workspace):
    model = JobModel(A, lambda prompt: "The answer is 12.")
    job = work(workspace, order(workspace, target="answer", limit=3), model)
    assert [r.item.broken for r in iterate_results(workspace, job)] == [(), (), ()]
    assert len(model.asked) == 3


def test_one_failed_row_leaves_the_others_and_can_be_tried_again(workspace: Workspace):
    ill = {"now": True}

    def write(prompt: str):
        return failed("Too long.") if "(6)" in prompt and ill["now"] else GOOD

    model = JobModel(A, write)
    job = work(workspace, order(workspace), model)
    assert job.state == "done"
    assert count_items(workspace, job) == Counts(done=11, failed=1)
    assert count_reasons(workspace, job) == [("failed", "Too long.", 1)]
    ill["now"] = False
    assert retry_failed(workspace, job.id) == 1
    job = work(workspace, job, model)
    assert count_items(workspace, job) == Counts(done=12)
    assert len(model.asked) == 13


def test_what_cannot_be_asked_is_skipped_with_its_reason(workspace: Workspace):
    dataset = find_dataset(workspace, "demo")
    item = next_items(workspace, order(workspace), 0, 1)[0]
    edit_record(workspace, dataset, item.record, item.version, "output", "")
    job = work(workspace, order(workspace, hinted=True), JobModel(A, lambda prompt: GOOD))
    assert count_items(workspace, job) == Counts(done=11, skipped=1)
    assert count_reasons(workspace, job)[0][:2] == (
        "skipped",
        "The record has no answer to write a reasoning from (hinted).",
    )


def test_a_pause_keeps_what_is_done_and_goes_on_from_there(workspace: Workspace):
    job = order(workspace)

    def write(prompt: str) -> str:
        if len(model.asked) == 5:
            set_state(workspace, job.id, "paused")
            worker.stop()
        return GOOD

    model = JobModel(A, write)
    assert claim_job(workspace, job, ME, lambda owner: False)
    worker = JobWorker(workspace, FakeShelf(model), job, ME)  # type: ignore[arg-type]
    paused = worker.run()
    assert (paused.state, paused.owner) == ("paused", "")
    assert count_items(workspace, job) == Counts(done=5, todo=7)
    set_state(workspace, job.id, "queued")
    assert work(workspace, job, model).state == "done"
    assert len(model.asked) == 12


def test_a_pause_from_elsewhere_is_noticed(workspace: Workspace):
    job = order(workspace)
    seen = threading.Event()

    def write(prompt: str) -> str:
        if len(model.asked) == 1:
            set_state(workspace, job.id, "paused")
            seen.wait(10)
        return GOOD

    model = JobModel(A, write)
    assert claim_job(workspace, job, ME, lambda owner: False)
    worker = JobWorker(workspace, FakeShelf(model), job, ME)  # type: ignore[arg-type]
    threading.Thread(target=lambda: (worker._over.wait(10), seen.set())).start()
    assert worker.run().state == "paused"
    assert len(model.asked) == 1


def test_another_owner_ends_the_work_without_a_second_text(workspace: Workspace):
    job = order(workspace)

    def write(prompt: str) -> str:
        if len(model.asked) == 2:
            assert claim_job(workspace, job, "2:2", lambda owner: False)
        return GOOD

    model = JobModel(A, write)
    assert claim_job(workspace, job, ME, lambda owner: False)
    JobWorker(workspace, FakeShelf(model), job, ME).run()  # type: ignore[arg-type]
    now = get_job(workspace, job.id)
    assert (now.owner, now.state) == ("2:2", "running")
    assert count_items(workspace, job).done == 0


def test_an_engine_that_is_gone_comes_back(workspace: Workspace):
    calls = {"n": 0}

    def write(prompt: str):
        calls["n"] += 1
        return failed("It refuses the connection.", "engine") if 4 <= calls["n"] <= 5 else GOOD

    model = JobModel(HOSTED, write)
    job = order(workspace, sources=(HOSTED,))
    job = work(workspace, job, model, patience_s=(0.01, 0.01, 0.01))
    assert job.state == "done"
    assert count_items(workspace, job) == Counts(done=12)
    assert len(model.asked) == 14


def test_an_engine_that_stays_gone_pauses_the_job_with_its_sentence(workspace: Workspace):
    model = JobModel(HOSTED, lambda prompt: failed("It refuses the connection.", "engine"))
    job = order(workspace, sources=(HOSTED,))
    job = work(workspace, job, model, patience_s=(0.01, 0.01))
    assert (job.state, job.note) == ("paused", "It refuses the connection.")
    assert count_items(workspace, job) == Counts(todo=12)
    assert len(model.asked) == 3


def test_a_refused_key_pauses_at_once_and_the_local_model_goes_on(workspace: Workspace):
    keyless = JobModel(HOSTED, lambda prompt: failed("The key is refused.", "key"))
    job = order(workspace, sources=(HOSTED, A))
    job = work(workspace, job, keyless, JobModel(A, lambda prompt: GOOD))
    assert (job.state, job.note) == ("paused", "The key is refused.")
    assert count_items(workspace, job) == Counts(done=12, todo=12)
    assert len(keyless.asked) == 1


def test_a_used_up_day_lets_the_job_sleep_until_the_named_hour(workspace: Workspace):
    later = "2026-11-22T00:00:00+00:00"
    model = JobModel(HOSTED, lambda prompt: failed("The day is used up.", "limit", later))
    job = work(workspace, order(workspace, sources=(HOSTED,)), model)
    assert (job.state, job.wakes, job.note) == ("sleeping", later, "The day is used up.")


def test_a_model_that_cannot_be_loaded_pauses_the_job(workspace: Workspace):
    class Full(FakeShelf):
        def load(self, model_id, **how):
            raise QeuError("It needs 9 GB.")

    job = order(workspace)
    assert claim_job(workspace, job, ME, lambda owner: False)
    job = JobWorker(workspace, Full(), job, ME).run()  # type: ignore[arg-type]
    assert (job.state, job.note) == ("paused", "It needs 9 GB.")


def test_a_record_edited_while_its_job_runs_keeps_the_text_with_the_old_wording(
    workspace: Workspace,
):
    dataset = find_dataset(workspace, "demo")
    job = order(workspace, limit=2)
    items = next_items(workspace, job, 0, 2)

    def write(prompt: str) -> str:
        if len(model.asked) == 1:
            edit_record(workspace, dataset, items[1].record, 1, "instruction", "Other words?")
        return GOOD

    model = JobModel(A, write)
    work(workspace, job, model)
    first, second = iterate_results(workspace, job)
    assert (first.stale, second.stale) == (False, True)
    assert "Other words" not in second.generation.prompt_text


def test_what_an_engine_raises_fails_the_job_and_not_the_process(workspace: Workspace):
    def write(prompt: str) -> str:
        raise RuntimeError("segment 7")

    job = work(workspace, order(workspace), JobModel(A, write))
    assert (job.state, job.note) == ("failed", f"{A}: RuntimeError: segment 7")
