"""The queue of jobs: in order, once, over restarts; sleeping ones wake; keys of who ordered."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qeu.core.job_spec import JobSpec
from qeu.services import job_queue
from qeu.services.job_queue import JobQueue, is_awake
from qeu.store.jobs import Job, claim_job, count_items, create_job, get_job, release_job
from qeu.store.owner import my_owner, owner_lives
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel
from tests.store.dataset_rows import fill

A = "smollm2-135m"
GOOD = "List what is known. Then choose a rule."
SPEC = JobSpec("demo", (A,), layout="bonsai-v2", limit=4)
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for jobs all the time."""
    monkeypatch.setattr(job_queue, "LOOK_S", 0.02)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Eight rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 8, category="open_qa")
    return workspace


@pytest.fixture
def model() -> JobModel:
    """One that writes the same good reasoning to all."""
    return JobModel(A, lambda prompt: GOOD)


@pytest.fixture
def queue(workspace: Workspace, model: JobModel) -> Iterator[JobQueue]:
    """A queue that is closed at the end."""
    queue = JobQueue(workspace, lambda: FakeShelf(model))  # type: ignore[arg-type,return-value]
    yield queue
    queue.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def state(workspace: Workspace, job: Job) -> str:
    return get_job(workspace, job.id).state


def test_jobs_are_done_one_after_the_other_in_their_order(queue: JobQueue, workspace: Workspace):
    first = create_job(workspace, SPEC)
    second = queue.order(replace(SPEC, view="Be brief."))
    until(lambda: state(workspace, second) == "done")
    assert state(workspace, first) == "done"
    generated = workspace.read("SELECT actor FROM events WHERE kind = 'generate' ORDER BY id")
    assert [row[0] for row in generated] == ["job/1"] * 4 + ["job/2"] * 4


def test_a_job_left_by_a_process_that_is_gone_is_taken_up(queue: JobQueue, workspace: Workspace):
    job = create_job(workspace, SPEC)
    assert claim_job(workspace, job, "999999:1.00", lambda owner: False)
    queue.start()
    until(lambda: state(workspace, job) == "done")


def test_a_job_of_a_living_process_is_left_alone(
    queue: JobQueue, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    job = create_job(workspace, SPEC)
    assert claim_job(workspace, job, "2:2", lambda owner: False)
    monkeypatch.setattr(job_queue, "owner_lives", lambda owner: True)
    other = queue.order(SPEC)
    until(lambda: state(workspace, other) == "done")
    assert get_job(workspace, job.id).owner == "2:2"


def test_pause_resume_and_stop(queue: JobQueue, workspace: Workspace, model: JobModel):
    began, go_on = threading.Event(), threading.Event()

    def write(prompt: str) -> str:
        began.set()
        go_on.wait(PATIENCE_S)
        return GOOD

    model.write = write
    job = queue.order(SPEC)
    assert began.wait(PATIENCE_S)
    assert queue.pause(job.id).state == "paused"
    go_on.set()
    until(lambda: queue.worker is None)
    assert count_items(workspace, job).done == 1
    queue.resume(job.id)
    until(lambda: state(workspace, job) == "done")
    assert len(model.asked) == 4
    other = create_job(workspace, replace(SPEC, view="x"))
    queue.stop(other.id)
    assert state(workspace, other) == "stopped"


def test_whoever_orders_brings_their_own_keys(queue: JobQueue, workspace: Workspace):
    own = JobModel(A, lambda prompt: "Write down what is asked.")
    job = queue.order(SPEC, FakeShelf(own))  # type: ignore[arg-type]
    until(lambda: state(workspace, job) == "done")
    assert len(own.asked) == 4


def test_a_sleeping_job_wakes_at_its_hour(queue: JobQueue, workspace: Workspace):
    job = create_job(workspace, SPEC)
    owner = "3:3"
    assert claim_job(workspace, job, owner, lambda owner: False)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    release_job(workspace, job, owner, "sleeping", "The day is used up.", later)
    other = queue.order(replace(SPEC, view="x"))
    until(lambda: state(workspace, other) == "done")
    assert state(workspace, job) == "sleeping"
    with workspace.change() as db:
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        db.execute("UPDATE jobs SET wakes = ? WHERE id = ?", (past, job.id))
    until(lambda: state(workspace, job) == "done")


def test_an_hour_that_cannot_be_read_has_come():
    job = Job(1, "", 1, SPEC, "sleeping", "", "", "soon", 0.0)
    assert is_awake(job)
    assert is_awake(replace(job, wakes=""))


def test_closing_leaves_the_job_for_the_next_start(
    queue: JobQueue, workspace: Workspace, model: JobModel
):
    began, go_on = threading.Event(), threading.Event()

    def write(prompt: str) -> str:
        began.set()
        go_on.wait(PATIENCE_S)
        return GOOD

    model.write = write
    job = queue.order(SPEC)
    assert began.wait(PATIENCE_S)
    threading.Timer(0.1, go_on.set).start()
    queue.close(PATIENCE_S)
    assert (state(workspace, job), count_items(workspace, job).done) == ("queued", 1)
    following = JobQueue(workspace, lambda: FakeShelf(model))  # type: ignore[arg-type,return-value]
    following.start()
    until(lambda: state(workspace, job) == "done")
    following.close()
    assert len(model.asked) == 4


def test_a_process_knows_itself_and_the_dead():
    assert owner_lives(my_owner())
    pid = my_owner().partition(":")[0]
    assert not owner_lives(f"{pid}:1.00")  # the number was used again
    assert not owner_lives("99999999:1.00")
    assert not owner_lives("")


def test_keys_of_whoever_ordered_are_let_go_when_the_job_is_done(
    queue: JobQueue, workspace: Workspace
):
    own = JobModel(A, lambda prompt: GOOD)
    job = queue.order(SPEC, FakeShelf(own))  # type: ignore[arg-type]
    until(lambda: state(workspace, job) == "done")
    until(lambda: queue.worker is None)
    assert queue._own == {}
