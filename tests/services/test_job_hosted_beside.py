"""Bulk jobs on servers beside each other: at the same time, under one budget, told as they wait."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qeu.backends.hosted_pool import HostedPool
from qeu.backends.providers import PROVIDERS
from qeu.services.job_runner import JobWorker
from qeu.store.job_items import Outcome
from qeu.store.jobs import (
    Counts,
    claim_job,
    count_items,
)
from qeu.store.workspace import Workspace
from tests.backends.hosted_tools import QUICK, wait_for
from tests.services.hosted_jobs import (
    COUNT,
    GOOD,
    GROQ,
    NEXT,
    PATIENT,
    SERVER,
    at_request,
    engines_for,
    finish,
    order,
    serve,
    start,
    worker_for,
)
from tests.services.job_engine import JobModel
from tests.store.dataset_rows import fill
from tests.wire_server import Fault, WireServer, rate_limited

LOCAL = "smollm2-135m"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with forty rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, COUNT, category="open_qa")
    yield workspace
    workspace.close()


def test_two_hosted_sources_work_at_the_same_time(workspace: Workspace):
    both = threading.Barrier(2, timeout=30)

    def meet() -> Iterator[Fault]:
        return at_request(0, both.wait)

    with serve("groq", faults=meet()) as groq, serve("openai", faults=meet()) as other:
        job = order(workspace, GROQ, SERVER)
        job = worker_for(workspace, job, engines_for(groq, other)).run()
        assert (job.state, groq.paid, other.paid) == ("done", COUNT, COUNT)
    assert count_items(workspace, job) == Counts(done=2 * COUNT)


def test_a_local_and_a_hosted_source_work_side_by_side(workspace: Workspace):
    both = threading.Barrier(2, timeout=30)

    def write(prompt: str) -> str:
        if len(model.asked) == 1:
            both.wait()
        return GOOD

    model = JobModel(LOCAL, write)
    with serve("groq", faults=at_request(0, both.wait)) as server:
        job = order(workspace, LOCAL, GROQ)
        job = worker_for(workspace, job, engines_for(server, models=[model])).run()
        assert (job.state, server.paid, len(model.asked)) == ("done", COUNT, COUNT)
    assert count_items(workspace, job) == Counts(done=2 * COUNT)


def test_jobs_with_one_key_share_its_limits_and_tell_that_they_wait(workspace: Workspace):
    spent = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "80s",
    }
    pool = HostedPool(PATIENT)
    with serve("groq", headers=spent) as server:
        first = order(workspace, GROQ, limit=1)
        assert worker_for(workspace, first, engines_for(server, pool=pool)).run().state == "done"
        second = order(workspace, GROQ, view="Be brief.")
        waiting = worker_for(workspace, second, engines_for(server, pool=pool))
        thread = start(waiting)
        wait_for(lambda: waiting.tally.waiting != "")
        assert waiting.tally.waiting.startswith(f"{GROQ} is asked again in ")
        assert len(server.completions) == 1
        other = order(workspace, GROQ, limit=1, view="Be quick.")
        engines = engines_for(server, pool=pool, key="another-key")
        assert worker_for(workspace, other, engines).run().state == "done"
        waiting.stop()
        finish(thread)
        assert waiting.tally.waiting == ""
        assert len(server.completions) == 2


def test_two_jobs_with_one_key_have_no_more_under_way_than_one(workspace: Workspace):
    pool = HostedPool(PATIENT)
    with serve("openai", delay_s=0.005) as server:
        threads = [
            start(worker_for(workspace, job, engines_for(server, pool=pool)))
            for job in (order(workspace, SERVER), order(workspace, SERVER, view="Be brief."))
        ]
        for thread in threads:
            finish(thread)
        assert server.paid == 2 * COUNT
        # the server counts a request a moment longer than the client
        most = PROVIDERS["openai"].concurrency
        assert most <= server.in_flight_max < 1.5 * most


def test_finished_texts_are_stored_while_another_is_still_awaited(workspace: Workspace):
    with serve("openai", faults=at_request(3, Fault("hang"))) as server:
        job = order(workspace, SERVER)
        engines = engines_for(server, pool=HostedPool(QUICK))
        worker = worker_for(workspace, job, engines)
        thread = start(worker)
        wait_for(lambda: count_items(workspace, job).done == COUNT - 1)
        assert server.in_flight == 1
        worker.stop()
        finish(thread)
    assert count_items(workspace, job) == Counts(done=COUNT - 1, todo=1)


class Overheard(JobWorker):
    """Keeps what the tally tells while something is stored."""

    told: tuple[str, ...] = ()

    def _store(self, outcomes: Sequence[Outcome], seconds: float = 0.0) -> None:
        self.told += (self.tally.waiting,)
        super()._store(outcomes, seconds)


def overhear(workspace: Workspace, server: WireServer) -> Overheard:
    job = order(workspace, GROQ, limit=1)
    assert claim_job(workspace, job, NEXT, lambda other: False)
    return Overheard(workspace, engines_for(server), job, NEXT)


def test_a_wait_for_a_limit_is_told_while_it_lasts(workspace: Workspace):
    with serve("groq", faults=[rate_limited("minute", 0.2)]) as server:
        worker = overhear(workspace, server)
        thread = start(worker)
        wait_for(lambda: worker.tally.waiting == f"{GROQ} is asked again in 1 s.")
        finish(thread)
    assert count_items(workspace, worker.job) == Counts(done=1)
    assert set(worker.told) == {""}


def test_a_wait_that_ends_in_a_failure_is_told_no_longer(workspace: Workspace):
    with serve("groq", faults=[Fault("status", 503), Fault("status", 400)]) as server:
        worker = overhear(workspace, server)
        worker.run()
    assert count_items(workspace, worker.job) == Counts(failed=1)
    assert set(worker.told) == {""}
