"""Bulk jobs on real clients against a faulty server: one result a record, nothing paid twice."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.backends.providers import PROVIDERS
from qeu.store.job_items import iterate_results
from qeu.store.jobs import (
    Counts,
    Job,
    claim_job,
    count_items,
    count_reasons,
    get_job,
    retry_failed,
    set_state,
)
from qeu.store.workspace import Workspace
from tests.backends.hosted_tools import KEY, QUICK, RawServer, reply, wait_for
from tests.services.hosted_jobs import (
    COUNT,
    GOOD,
    GROQ,
    NEXT,
    REFS,
    SERVER,
    at_request,
    begun_texts,
    by_record,
    engines_for,
    finish,
    order,
    paid,
    port_of,
    serve,
    start,
    stop_listening,
    texts,
    worker_for,
)
from tests.store.dataset_rows import fill
from tests.wire_server import Fault, rate_limited

BOTH = pytest.mark.parametrize("kind", ["groq", "openai"])
FAULTS = (
    *(Fault("status", status) for status in (400, 408, 500, 502, 503, 504)),
    Fault("status", 503, body="<html>Bad gateway</html>"),
    rate_limited("minute", 0.02),
    Fault("slow_first_byte", seconds=0.05),
    Fault("cut", after_events=0),
    Fault("cut", after_events=3),
    Fault("cut", after_events=3, clean=True),
    Fault("cut_utf8", after_events=2),
    Fault("split_utf8"),
    Fault("malformed", after_events=3),
    Fault("error_event", after_events=0),
    Fault("error_event", after_events=3),
    Fault("long_line", after_events=2, size=1_100_000),
    Fault("hang"),
    Fault("refuse"),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with forty rows."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, COUNT, category="open_qa")
    yield workspace
    workspace.close()


@BOTH
@pytest.mark.parametrize("seed", [1, 2])
def test_faults_of_all_kinds_end_in_one_result_a_record_and_none_is_paid_twice(
    kind: str, seed: int, workspace: Workspace
):
    draw = random.Random(seed)
    faults = (draw.choice(FAULTS) if draw.random() < 0.3 else Fault("none") for _ in range(5_000))
    with serve(kind, faults=faults) as server:
        job = order(workspace, REFS[kind])
        job = worker_for(workspace, job, engines_for(server)).run()
        assert {seen.fault for seen in server.completions} - {"none"}
        counts = count_items(workspace, job)
        assert (job.state, counts.todo, counts.done + counts.failed) == ("done", 0, COUNT)
        assert counts.done > counts.failed
        assert set(paid(server).values()) == {1}
        assert server.paid == begun_texts(workspace, job)
    assert set(texts(workspace, job)) == {GOOD}
    reasons = count_reasons(workspace, job)
    assert sum(count for _, _, count in reasons) == counts.failed
    assert all(reason.endswith(".") for _, reason, _ in reasons)


def test_an_engine_that_is_gone_for_a_while_is_waited_for(workspace: Workspace):
    first = serve("openai", delay_s=0.01)
    with first:
        job = order(workspace, SERVER)
        worker = worker_for(workspace, job, engines_for(first), patience_s=(0.05,) * 400)
        thread = start(worker)
        wait_for(lambda: count_items(workspace, job).done > 0)
        stop_listening(first)
        wait_for(lambda: "cannot be reached" in worker.tally.waiting)
    before = count_items(workspace, job)
    assert (before.done, before.failed) == (first.paid, 0)
    assert before.todo > 0
    assert get_job(workspace, job.id).state == "running"
    with serve("openai", port=port_of(first)) as again:
        finish(thread)
        assert again.paid == before.todo
    assert (get_job(workspace, job.id).state, worker.tally.waiting) == ("done", "")
    assert count_items(workspace, job) == Counts(done=COUNT)


def test_a_server_that_is_not_there_yet_is_waited_for(workspace: Workspace):
    with serve("openai") as gone:
        port = port_of(gone)
    job = order(workspace, SERVER)
    worker = worker_for(workspace, job, engines_for(gone), patience_s=(0.02,) * 500)
    thread = start(worker)
    wait_for(lambda: "refuses the connection" in worker.tally.waiting)
    with serve("openai", port=port):
        finish(thread)
    assert get_job(workspace, job.id).state == "done"
    assert count_items(workspace, job) == Counts(done=COUNT)


def test_a_server_that_stays_away_pauses_the_job_with_its_sentence(workspace: Workspace):
    with serve("openai") as gone:
        engines = engines_for(gone)
    job = worker_for(workspace, order(workspace, SERVER), engines).run()
    assert job.state == "paused"
    assert "cannot be reached: it refuses the connection" in job.note
    assert count_items(workspace, job) == Counts(todo=COUNT)


def test_the_last_text_is_not_blamed_for_a_server_that_went_away(workspace: Workspace):
    with serve("openai") as server:
        engines = engines_for(server)
        engines.load(SERVER)  # its list of models is known from now on
    job = worker_for(workspace, order(workspace, SERVER, limit=1), engines).run()
    assert job.state == "paused"
    assert count_items(workspace, job) == Counts(todo=1)


@pytest.mark.parametrize("asked", ["groq/llama-3.3-70b-versatile", "server/other-model"])
def test_a_missing_key_and_an_unknown_model_pause_at_once(asked: str, workspace: Workspace):
    with serve("openai") as server:
        job, engines = order(workspace, asked), engines_for(server)
        finish(start(worker_for(workspace, job, engines, patience_s=(600.0,))))
    job = get_job(workspace, job.id)
    said = {"groq": "No key for Groq.", "server": "does not offer 'other-model'"}
    assert job.state == "paused"
    assert said[asked.partition("/")[0]] in job.note


def test_a_key_that_is_refused_from_the_start_pauses_at_once(workspace: Workspace):
    with serve("groq", key="gsk_another") as server:
        job, engines = order(workspace, GROQ), engines_for(server)
        finish(start(worker_for(workspace, job, engines, patience_s=(600.0,))))
        assert server.completions == []
    job = get_job(workspace, job.id)
    assert job.state == "paused"
    assert "refuses the key (401)" in job.note


@BOTH
def test_a_key_refused_halfway_pauses_and_another_key_goes_on(kind: str, workspace: Workspace):
    with serve(kind, key=KEY, delay_s=0.002) as server:
        slow = Fault("slow_first_byte", seconds=0.2)
        server._faults = at_request(10, lambda: setattr(server, "key", "gsk_another"), then=slow)
        job = order(workspace, REFS[kind])
        job = worker_for(workspace, job, engines_for(server)).run()
        assert job.state == "paused"
        assert "refuses the key (401)" in job.note
        assert KEY not in job.note
        done = server.paid
        assert 0 < done <= 10
        assert count_items(workspace, job) == Counts(done=done, todo=COUNT - done)
        # what waited for its place was not sent with a key that is refused
        assert len(server.completions) <= 10 + 2 * PROVIDERS[kind].concurrency
        server._faults = iter(())
        set_state(workspace, job.id, "queued")
        job = worker_for(workspace, job, engines_for(server, key="gsk_another")).run()
        assert job.state == "done"
        assert sorted(paid(server).values()) == [1] * COUNT
    assert count_items(workspace, job) == Counts(done=COUNT)


def test_a_days_limit_lets_the_job_sleep_until_the_named_hour(workspace: Workspace):
    faults = at_request(10, rate_limited("day", 3_600))
    with serve("groq", faults=faults, delay_s=0.002) as server:
        job = order(workspace, GROQ)
        began = datetime.now(UTC)
        job = worker_for(workspace, job, engines_for(server)).run()
        assert job.state == "sleeping"
        assert "limit for one day at Groq is used up" in job.note
        wakes = datetime.fromisoformat(job.wakes)
        assert timedelta(minutes=59) < wakes - began < timedelta(minutes=62)
        # what was under way came to its end and is kept; nothing else was sent
        assert count_items(workspace, job).done == server.paid
        assert len(server.completions) <= 10 + 2 * PROVIDERS["groq"].concurrency
        job = worker_for(workspace, job, engines_for(server)).run()
        assert (job.state, sorted(paid(server).values())) == ("done", [1] * COUNT)


def test_whoever_goes_on_after_a_dead_process_asks_for_nothing_that_was_stored(
    workspace: Workspace,
):
    with serve("openai", delay_s=0.01) as server:
        job = order(workspace, SERVER)
        left = start(worker_for(workspace, job, engines_for(server)))
        wait_for(lambda: count_items(workspace, job).done >= 5)
        assert claim_job(workspace, job, NEXT, lambda other: False)
        stored = {r.record.record.no - 1 for r in iterate_results(workspace, job) if r.record}
        engines = engines_for(server, key="other-key")
        ended = worker_for(workspace, job, engines, owner=NEXT).run()
        finish(left)
        asked = by_record(
            s for s in server.completions if s.headers["authorization"] == "Bearer other-key"
        )
    assert ended.state == "done"
    assert count_items(workspace, job) == Counts(done=COUNT)
    assert asked.keys() == set(range(COUNT)) - stored
    assert {len(seen) for seen in asked.values()} == {1}


def test_a_silence_ends_no_text_that_is_being_written(workspace: Workspace):
    faults = at_request(2, Fault("refuse"))
    with serve("openai", faults=faults, delay_s=0.02) as server:
        job = order(workspace, SERVER)
        job = worker_for(workspace, job, engines_for(server)).run()
        assert (job.state, len(server.completions)) == ("done", COUNT + 1)
        assert server.paid == COUNT


@pytest.mark.parametrize("count", [1, COUNT])
def test_a_text_that_no_server_bears_fails_alone(count: int, workspace: Workspace):
    events = b"".join(
        b'data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": %s}]}\n\n' % part
        for part in ((GOOD.encode(), b"null"), (b"", b'"stop"'))
    )
    well = reply("200 OK", events + b"data: [DONE]\n\n", kind="text/event-stream")

    def answer(connection: object, request: bytes) -> None:
        status = "404 Not Found" if b"POST" not in request else "504 Gateway Timeout"
        ill = b"POST" not in request or b"(0)" in request
        connection.sendall(reply(status, b"{}") if ill else well)  # type: ignore[attr-defined]

    with RawServer(answer) as server:
        engines = engines_for()
        engines.keyring = Keyring({}, {"server": server.address})
        job = order(workspace, SERVER, limit=count)
        job = worker_for(workspace, job, engines).run()
        asked = [request for request in server.requests if b"POST" in request]
    assert job.state == "done"
    assert count_items(workspace, job) == Counts(done=count - 1, failed=1)
    assert "timed out (504)" in count_reasons(workspace, job)[0][1]
    assert len([request for request in asked if b"(0)" in request]) == 3
    assert len(asked) == count + 2
    assert all(b"(0)" in request for request in asked[-2:])  # after all others


def test_what_a_text_was_found_for_is_not_asked_again_by_a_retry(workspace: Workspace):
    """After a crash between the first text and the second: the first one is there."""
    bad = ("The answer", " is 12.")
    with serve("openai", words=bad, faults=at_request(1, Fault("status", 400))) as server:
        job = order(workspace, SERVER, limit=1, retries=1)
        engines = engines_for(server)
        job = worker_for(workspace, job, engines).run()
        assert count_items(workspace, job) == Counts(failed=1)
        retry_failed(workspace, job.id)
        job = worker_for(workspace, job, engines).run()
        assert [seen.paid for seen in server.completions] == [True, False, True]
    assert count_items(workspace, job) == Counts(done=1, broken=1)


def test_a_broken_contract_is_asked_again_with_its_rule_on_a_server_too(workspace: Workspace):
    with serve("openai", words=("The answer", " is 12.")) as server:
        job: Job = order(workspace, SERVER, limit=4, retries=1)
        job = worker_for(workspace, job, engines_for(server)).run()
        asked = by_record(server.completions)
    assert count_items(workspace, job) == Counts(done=4, broken=4)
    assert {len(seen) for seen in asked.values()} == {2}
    assert all("broke these rules" in str(seen[1].body) for seen in asked.values())


def test_a_paused_job_gives_its_rows_up_and_goes_on_later(workspace: Workspace):
    with serve("openai", faults=[Fault("hang")] * 99) as server:
        job = order(workspace, SERVER)
        engines = engines_for(server, pool=HostedPool(replace(QUICK, first_byte_s=90.0)))
        worker = worker_for(workspace, job, engines)
        thread = start(worker)
        wait_for(lambda: server.in_flight > 0)
        set_state(workspace, job.id, "paused")
        worker.stop()
        finish(thread)
        assert get_job(workspace, job.id).state == "paused"
        assert count_items(workspace, job) == Counts(todo=COUNT)
        server._faults = iter(())
        set_state(workspace, job.id, "queued")
        assert worker_for(workspace, job, engines).run().state == "done"
