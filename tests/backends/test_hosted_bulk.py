"""Hosted rows of a bulk job: told one by one, failures by kind, clients kept while in use."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import find_model
from qeu.backends.hosted_pool import IDLE_S, HostedPool
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError
from tests.backends.hosted_tools import (
    KEY,
    PATIENCE_S,
    QUICK,
    TEXT,
    RawServer,
    keyring_for,
    open_model,
    open_raw,
    reply,
    row,
    wait_for,
)
from tests.wire_server import Fault, WireServer, rate_limited

LLAMA = "llama-3.3-70b-versatile"


def fail_with(fault: Fault, kind="openai", **patience):
    with WireServer(kind, faults=[fault] * 99) as server:
        model = open_model(server, patience=replace(QUICK, **patience))
        return model.generate([row()])[0]


class Asking:
    """A `generate` on a thread of its own."""

    def __init__(self, model, rows, **how):
        self.found = []
        self._thread = threading.Thread(
            target=lambda: self.found.extend(model.generate(rows, **how)), daemon=True
        )
        self._thread.start()

    def wait(self):
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.found


def test_every_row_is_told_as_soon_as_it_has_ended_on_the_asking_thread():
    told, threads, stop = [], set(), threading.Event()

    def on_done(index, generation):
        told.append((index, generation))
        threads.add(threading.current_thread())
        if len(told) == 2:
            stop.set()

    # of the two that are sent one hangs until the others have been told
    with WireServer("groq", faults=[Fault("hang")]) as server:
        rows = [row(stop=stop), row(temperature=99), row(stop=stop)]
        done = open_model(server).generate(rows, on_done=on_done, turn=None)
    assert threads == {threading.current_thread()}
    assert [generation for _, generation in sorted(told, key=lambda t: t[0])] == done
    assert told[0][0] == 1
    assert sorted(g.finish_reason for g in done) == ["cancelled", "error", "stop"]
    assert told[2][1].finish_reason == "cancelled"


def test_a_listener_that_fails_ends_all_and_is_heard():
    def on_done(index, generation):
        raise ValueError("disk full")

    with WireServer("groq") as server, pytest.raises(ValueError, match="disk full"):
        open_model(server).generate([row(), row()], on_done=on_done)


def test_an_identity_names_model_address_and_the_adapter_that_is_served():
    with WireServer("vllm", models=["base", "poems"]) as server:
        model = open_model(server, "base")
        assert model.identify(None) == EngineIdentity("server/base", "", "", None, server.address)
        assert model.identify("poems").adapter_hash == "poems"
        with pytest.raises(QeuError, match="cannot load the adapter 'other'"):
            model.identify("other")


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        (Fault("status", 400), ""),
        (Fault("status", 413), ""),
        (Fault("status", 422), ""),
        (Fault("cut"), ""),
        (Fault("cut", after_events=2, clean=True), ""),
        (Fault("malformed"), ""),
        (Fault("error_event"), ""),
        (Fault("long_line"), ""),
        (Fault("status", 401), "key"),
        (Fault("status", 402), "key"),
        (Fault("status", 403), "key"),
        (Fault("status", 404), "key"),
        (Fault("status", 307), "key"),
        (Fault("status", 429, body={"error": {"code": "insufficient_quota"}}), "key"),
        (Fault("status", 500), "engine"),
        (Fault("status", 503), "engine"),
        (Fault("status", 504), "engine"),
        (Fault("status", 408), "engine"),
        (Fault("status", 520), "engine"),
        (Fault("refuse"), "engine"),
        (Fault("hang"), "engine"),
        (rate_limited("minute", 0.01), "limit"),
        (rate_limited("day", 432.5), "limit"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else value,
)
def test_a_failure_tells_whether_the_next_request_would_meet_it_too(fault, trouble):
    done = fail_with(fault, first_byte_s=0.3)
    assert (done.finish_reason, done.trouble) == ("error", trouble)
    assert done.error
    assert bool(done.again_at) == (trouble == "limit")


def test_a_limit_tells_when_it_ends():
    before = datetime.now(UTC)
    with WireServer("groq", faults=[rate_limited("day", 3_600)] * 9) as server:
        model = open_model(server)
        # the second one is not even sent
        found = [model.generate([row()])[0] for _ in range(2)]
        assert len(server.completions) == 1
    for done in found:
        assert done.trouble == "limit"
        wait = datetime.fromisoformat(done.again_at) - before
        assert timedelta(seconds=3_600) <= wait < timedelta(seconds=3_600 + 90)


def test_a_server_that_is_gone_is_the_engines_trouble():
    with WireServer("openai") as server:
        model = open_model(server)
    done = model.generate([row()])[0]
    assert (done.trouble, done.again_at) == ("engine", "")


def test_silence_in_the_middle_is_this_texts_own_trouble():
    with WireServer("openai", words=["a ", "b "], delay_s=0.0) as server:

        def emit(piece):
            if piece.text:
                server.delay_s = 60.0

        server.words, server.delay_s = tuple(f"w{n} " for n in range(200)), 0.05
        model = open_model(server, patience=replace(QUICK, chunk_s=0.4))
        done = model.generate([row()], emit)[0]
    assert "sent nothing for 0.4 s" in done.error
    assert done.trouble == ""


def test_what_is_wrong_with_one_row_alone_is_no_trouble_of_others():
    with WireServer("openai") as server:
        done = open_model(server).generate([row(temperature=99)])[0]
    assert (done.finish_reason, done.trouble) == ("error", "")


def test_a_key_that_is_forgotten_leaves_what_runs_alone_and_goes_after_it():
    with WireServer("groq", key=KEY, faults=[rate_limited("minute", 0.4)]) as server:
        pool, keyring = HostedPool(QUICK), keyring_for(server)
        model = pool.open(find_model(f"groq/{LLAMA}"), keyring)
        # the first request was refused: it waits for the limit and holds no place meanwhile
        asking = Asking(model, [row()])
        wait_for(lambda: len(server.completions) == 1 and model._budget.under_way == 0)
        pool.forget("groq", keyring)
        assert model._client._key == KEY
        (done,) = asking.wait()
        assert (done.text, done.error) == (TEXT, "")
        assert model._client._key == ""


def test_a_model_whose_key_was_forgotten_says_so():
    with WireServer("groq", key=KEY) as server:
        pool, keyring = HostedPool(QUICK), keyring_for(server)
        model = pool.open(find_model(f"groq/{LLAMA}"), keyring)
        pool.forget("groq", keyring)
        with pytest.raises(QeuError, match="Groq was let go"):
            model.generate([row()])
        assert server.completions == []


def test_what_runs_for_long_is_not_unused():
    now = [100.0]
    with WireServer("groq", key=KEY) as server:
        pool, keyring = HostedPool(QUICK, lambda: now[0]), keyring_for(server)
        model = pool.open(find_model(f"groq/{LLAMA}"), keyring)

        def on_done(index, generation):
            now[0] += IDLE_S + 1
            pool.kind_of("groq", keyring_for(server, "other-key"))

        # the clock jumps while it runs, and what follows at once was used just before
        assert model.generate([row()], on_done=on_done)[0].error == ""
        pool.kind_of("groq", keyring_for(server, "third-key"))
        assert model.generate([row()])[0].error == ""
        now[0] += IDLE_S + 1
        pool.kind_of("groq", keyring_for(server, "other-key"))
        assert model._client._key == ""


def test_forgetting_during_a_list_lets_it_come():
    slow = threading.Event()

    def answer(connection, request):
        if b"/models" in request:
            slow.wait(PATIENCE_S)
            connection.sendall(reply("200 OK", b'{"data": [{"id": "m"}]}'))
        else:
            connection.sendall(reply("404 Not Found", b"{}"))

    with RawServer(answer) as server:
        pool = HostedPool(replace(QUICK, connect_s=60.0))
        keyring = Keyring({"server": KEY}, {"server": server.address})
        found = []
        thread = threading.Thread(
            target=lambda: found.extend(pool.list_models("server", keyring)), daemon=True
        )
        thread.start()
        wait_for(lambda: bool(server.requests))
        pool.forget("server", keyring)
        slow.set()
        thread.join(PATIENCE_S)
    assert [card.id for card in found] == ["m"]


def test_one_stop_among_many_rows_tells_each_row_once():
    told = []
    with WireServer("groq", faults=[Fault("status", 400), Fault("cut")]) as server:
        model = open_model(server)
        done = model.generate([row() for _ in range(20)], on_done=lambda i, g: told.append(i))
    assert sorted(told) == list(range(20))
    assert len(done) == 20


def test_open_raw_is_a_model_of_a_server_without_a_list():
    with RawServer(lambda c, r: c.sendall(reply("404 Not Found", b"{}"))) as server:
        assert open_raw(server).identify(None).base_url == server.address.removesuffix("/v1")
