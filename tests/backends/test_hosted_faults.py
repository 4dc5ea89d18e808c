"""Faults at the socket: what is sent again, what never is, and the sentence that a person reads."""

import json
import threading
from dataclasses import replace

import pytest

from qeu.backends.catalog import find_model
from qeu.backends.hosted_errors import find_rejected
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from tests.backends.hosted_tools import (
    KEY,
    QUICK,
    TEXT,
    RawServer,
    open_model,
    open_raw,
    reply,
    row,
    tagged,
)
from tests.wire_server import WORDS, Fault, WireServer, rate_limited

BOTH = pytest.mark.parametrize("kind", ["groq", "openai"])


def ask(server, patience=QUICK, **settings):
    return open_model(server, patience=patience).generate([row(**settings)])[0]


@BOTH
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_an_error_before_the_answer_is_asked_again(kind, status):
    with WireServer(kind, faults=[Fault("status", status)] * 2) as server:
        done = ask(server)
        assert len(server.completions) == 3
        assert server.paid == 1
    assert (done.text, done.finish_reason) == (TEXT, "stop")


@BOTH
def test_after_some_attempts_it_ends_with_the_servers_own_words(kind):
    body = {"error": {"message": "Overloaded, alas."}}
    with WireServer(kind, faults=[Fault("status", 503, body=body)] * 9) as server:
        done = ask(server)
        assert len(server.completions) == QUICK.attempts
    assert done.finish_reason == "error"
    assert "(503): Overloaded, alas. Try again later." in done.error


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "refuses the request for some-model (400): No way."),
        (403, "does not let this key use some-model (403): No way."),
        (404, "has no model some-model, or its address is wrong (404): No way."),
        (413, "too large for some-model"),
        (422, "refuses the request for some-model (422): No way."),
        (418, "refuses the request for some-model (418): No way."),
        (504, "timed out (504): No way."),
        (408, "timed out (408): No way."),
        (524, "timed out (524): No way."),
        (520, "failed to answer for some-model (520): No way."),
    ],
)
def test_a_final_refusal_is_asked_once_and_names_server_model_and_reason(status, words):
    body = {"error": {"message": "No way."}}
    with WireServer("openai", faults=[Fault("status", status, body=body)]) as server:
        done = ask(server)
        assert len(server.completions) == 1
        assert server.address.removeprefix("http://") in done.error
    assert done.finish_reason == "error"
    assert words in done.error
    assert done.receipt is not None


def test_a_page_of_html_is_no_reason():
    page = "<html><body>Bad gateway <script>alert(1)</script></body></html>"
    with WireServer("openai", faults=[Fault("status", 400, body=page)]) as server:
        done = ask(server)
    assert "(400): no reason given." in done.error
    assert "<" not in done.error


@BOTH
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("cut", after_events=2), "broke off before its end"),
        (Fault("cut", after_events=2, clean=True), "broke off before its end"),
        (Fault("cut_utf8", after_events=2), "broke off before its end"),
        (Fault("cut_utf8", after_events=2, clean=True), "cannot be read"),
        (Fault("malformed", after_events=2), "cannot be read"),
        (Fault("error_event", after_events=2), "failed while it answered: The model crashed."),
        (Fault("long_line", after_events=2), "a line of more than 1,000,000 bytes"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_stream_that_breaks_keeps_its_text_and_is_never_asked_again(kind, fault, words):
    with WireServer(kind, faults=[fault]) as server:
        done = ask(server)
        assert len(server.completions) == 1
    assert done.finish_reason == "error"
    assert done.text == "".join(WORDS[:2])
    assert words in done.error


@BOTH
def test_a_character_in_many_packets_is_whole(kind):
    with WireServer(kind, faults=[Fault("split_utf8")]) as server:
        assert ask(server).text == TEXT


@BOTH
def test_a_slow_first_byte_is_waited_for(kind):
    with WireServer(kind, faults=[Fault("slow_first_byte", seconds=0.3)]) as server:
        done = ask(server)
    assert done.text == TEXT
    assert done.ttft_s >= 0.3


@BOTH
def test_silence_after_the_request_is_told_and_never_asked_again(kind):
    with WireServer(kind, faults=[Fault("hang")]) as server:
        done = ask(server, replace(QUICK, first_byte_s=0.3))
        assert len(server.completions) == 1
    assert done.finish_reason == "error"
    assert "sent nothing for 0.3 s" in done.error


@BOTH
def test_silence_between_two_words_keeps_the_text(kind):
    with WireServer(kind, words=["a ", "b "], delay_s=0.0) as server:
        model = open_model(server, patience=replace(QUICK, chunk_s=0.4))
        pieces = []

        def emit(piece):
            pieces.append(piece)
            if piece.text:
                server.delay_s = 60.0

        server.words = tuple(f"w{n} " for n in range(200))
        server.delay_s = 0.05
        done = model.generate([row()], emit)[0]
    assert done.finish_reason == "error"
    assert done.text.startswith("w0 ")
    assert "sent nothing for 0.4 s" in done.error


def test_a_stream_that_goes_on_for_ever_is_ended():
    def drip(connection, request):
        if b"POST" not in request:
            connection.sendall(reply("404 Not Found", b"{}"))
            return
        connection.sendall(reply("200 OK", b"", kind="text/event-stream"))
        pause = threading.Event()
        while True:
            connection.sendall(b": still here\n\n")
            pause.wait(0.02)

    with RawServer(drip) as server:
        done = open_raw(server, replace(QUICK, total_s=0.5)).generate([row()])[0]
    assert "did not come to an end within 0.5 s" in done.error


@BOTH
def test_a_connection_reset_after_the_request_is_never_asked_again(kind):
    with WireServer(kind, faults=[Fault("refuse")]) as server:
        done = ask(server)
        assert len(server.completions) == 1
    assert done.finish_reason == "error"
    assert "closed the connection without an answer" in done.error


def test_nobody_listening_is_tried_again_and_then_told():
    with WireServer("openai") as server:
        model = open_model(server)
    waits = []
    done = model.generate([row()], lambda piece: waits.append(piece.waits_s))[0]
    assert "cannot be reached: it refuses the connection" in done.error
    assert done.finish_reason == "error"
    assert len([wait for wait in waits if wait]) >= QUICK.attempts - 1


def test_a_server_without_tls_is_told_as_such():
    with WireServer("openai") as server:
        keyring = Keyring({}, {"server": f"{server.tls_address}/v1"})
        model = HostedPool(QUICK)
        with pytest.raises(Exception, match="http:// instead of https://"):
            model.open(find_model("server/some-model"), keyring)
        assert server.completions == []


def test_a_name_that_nobody_knows_is_told_as_such():
    keyring = Keyring({}, {"server": "http://no-such-host.invalid/v1"})
    with pytest.raises(Exception, match="cannot be reached"):
        HostedPool(QUICK).open(find_model("server/any"), keyring)


@BOTH
def test_a_limit_a_minute_is_waited_for_and_told(kind):
    fault = rate_limited("minute", 0.2)
    pieces = []
    with WireServer(kind, faults=[fault], headers={}) as server:
        done = open_model(server).generate([row()], pieces.append)[0]
        assert (len(server.completions), server.paid) == (2, 1)
    assert done.text == TEXT
    assert max(piece.waits_s for piece in pieces) > 0
    assert done.wait_s >= 0.15


def test_a_storm_of_limits_ends_with_a_sentence():
    with WireServer("groq", faults=[rate_limited("minute", 0.01)] * 99) as server:
        done = ask(server)
        assert len(server.completions) == QUICK.rate_attempts
        assert server.paid == 0
    assert done.finish_reason == "error"
    assert "Groq limits how much may be asked of llama-3.3-70b-versatile in a minute" in done.error


def test_a_limit_for_the_day_ends_at_once_for_all_rows_and_for_later_ones():
    with WireServer("groq", faults=[rate_limited("day", 432.5)] * 99) as server:
        model = open_model(server)
        done = model.generate([row(), row(), row(), row(), row(), row()])
        asked = len(server.completions)
        later = model.generate([row()])[0]
        assert asked <= model.provider.concurrency
        assert len(server.completions) == asked
    for generation in (*done, later):
        assert generation.finish_reason == "error"
        assert "limit for one day at Groq is used up" in generation.error


def test_no_credit_is_no_limit_to_wait_for():
    body = {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}
    with WireServer("openai", faults=[Fault("status", 429, body=body)]) as server:
        done = ask(server)
        assert len(server.completions) == 1
    assert "no credit left" in done.error


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_parameter_is_left_out_once_and_remembered(status):
    with WireServer("vllm", rejects=["min_p", "top_k"], rejects_status=status) as server:
        model = open_model(server)
        first, second = model.generate([row()])[0], model.generate([row()])[0]
        bodies = [seen.body for seen in server.completions]
        assert server.paid == 2
    assert len(bodies) == 4
    assert {"min_p", "top_k"} <= set(bodies[0])
    assert not {"min_p", "top_k"} & (set(bodies[2]) | set(bodies[3]))
    for done in (first, second):
        assert done.text == TEXT
        parameters = {p.name: p for p in done.receipt.parameters}
        assert parameters["top_k"].sent is None
        assert "refuses top_k" in parameters["top_k"].why


def test_newer_names_of_the_token_limit_are_tried():
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."  # noqa: E501
    fault = Fault("status", 400, body={"error": {"message": said, "param": "max_tokens"}})
    with WireServer("openai", faults=[fault]) as server:
        done = ask(server, max_new_tokens=44)
        assert server.completions[1].body["max_completion_tokens"] == 44
        assert "max_tokens" not in server.completions[1].body
    assert done.text == TEXT
    assert next(p for p in done.receipt.parameters if p.name == "max_new_tokens").sent == 44


def test_a_complaint_about_a_value_drops_no_token_limit():
    said = "'max_tokens' is too large: 4096. This model's maximum context length is 2048 tokens."
    with WireServer("vllm", faults=[Fault("status", 400, body={"error": {"message": said}})]) as s:
        done = ask(s)
        assert len(s.completions) == 1
    assert "maximum context length is 2048" in done.error


@pytest.mark.parametrize(
    ("body", "said", "found"),
    [
        ({"error": {"param": "top_k"}}, "Bad value.", ("top_k", False)),
        ({}, "property 'top_k' is unsupported", ("top_k", True)),
        ({}, "Unexpected fields in the request: {'seed'}", ("seed", True)),
        ({}, "body.stop: Extra inputs are not permitted", ("stop", True)),
        ({}, "Please stop sending rubbish; the seed is rotten.", ("", False)),
        ({}, "The last message must not be from the assistant", ("prefill", True)),
        ({}, "Assistant response prefill is incompatible with thinking.", ("prefill", True)),
        ({}, "stream_options is not supported", ("stream_options", True)),
        ({}, "the prompt is too long", ("", False)),
    ],
)
def test_a_refusal_is_searched_for_the_parameter_that_it_means(body, said, found):
    taken = ("top_k", "seed", "stop", "prefill", "stream_options", "max_tokens")
    assert find_rejected(body, said, taken) == found


def test_a_refused_beginning_of_the_answer_is_left_out():
    said = {
        "error": {"message": "Assistant response prefill is incompatible with enable_thinking."}
    }
    with WireServer("llama.cpp", faults=[Fault("status", 400, body=said)]) as server:
        model = open_model(server)
        done = model.generate([row(tagged("both", layout="chat"))])[0]
        assert [s.body["messages"][-1]["role"] for s in server.completions] == ["assistant", "user"]
    assert done.text == TEXT
    assert any("cannot be made to begin with" in note for note in done.receipt.notes)


def test_a_server_that_refuses_everything_comes_to_an_end():
    def no(connection, request):
        body = b'{"error": {"message": "unknown parameter \'temperature\'"}}'
        connection.sendall(reply("400 Bad Request", body))

    with RawServer(no) as server:
        done = open_raw(server).generate([row()])[0]
        posts = [r for r in server.requests if r.startswith(b"POST")]
    assert done.finish_reason == "error"
    assert len(posts) == 2


@pytest.mark.parametrize(
    "event",
    [
        "[]", "null", "7", '"text"', "{}", '{"choices": "no"}', '{"choices": [7]}',
        '{"choices": [{"delta": {"content": 7}}]}', '{"choices": [{"delta": "x"}]}',
        '{"choices": [{"delta": {"content": ["a"]}}]}', '{"error": "all is lost"}',
        '{"choices": [], "usage": {"prompt_tokens": "many", "completion_tokens": -1}}',
    ],
)  # fmt: skip
def test_events_of_any_shape_end_in_a_sentence(event):
    def answer(connection, request):
        if b"POST" not in request:
            connection.sendall(reply("404 Not Found", b"{}"))
            return
        data = f"data: {event}\n\ndata: [DONE]\n\n".encode()
        connection.sendall(reply("200 OK", data, kind="text/event-stream"))

    with RawServer(answer) as server:
        done = open_raw(server).generate([row()])[0]
    assert done.finish_reason == "error"
    assert done.error.endswith(".")
    assert "Traceback" not in done.error


def test_a_compressed_answer_is_refused():
    def answer(connection, request):
        if b"POST" not in request:
            connection.sendall(reply("404 Not Found", b"{}"))
            return
        connection.sendall(reply("200 OK", b"bomb", "Content-Encoding: gzip"))

    with RawServer(answer) as server:
        done = open_raw(server).generate([row()])[0]
    assert "a compressed answer" in done.error


def test_many_rows_with_many_faults_all_end_and_none_is_paid_twice():
    kinds = [Fault("status", 500), Fault("cut"), Fault("malformed"), Fault("refuse"),
             Fault("status", 503), Fault("cut_utf8"), Fault("error_event"),
             rate_limited("minute", 0.01)]  # fmt: skip
    faults = [kinds[n // 3 % len(kinds)] if n % 3 == 0 else Fault("none") for n in range(300)]
    with WireServer("groq", faults=faults, headers={}) as server:
        model = open_model(server, patience=replace(QUICK, rate_attempts=50))
        done = model.generate([row() for _ in range(90)])
        paid = server.paid
    assert len(done) == 90
    assert {g.finish_reason for g in done} == {"stop", "error"}
    assert all(g.error for g in done if g.finish_reason == "error")
    assert all(g.text == TEXT for g in done if g.finish_reason == "stop")
    # each text was paid once: whole ones, and broken ones that had begun
    assert paid == len([g for g in done if g.text])
    json.dumps([g.to_json() for g in done])


def test_no_thread_and_no_place_is_left_behind():
    with WireServer("groq", faults=[Fault("hang"), Fault("cut"), Fault("status", 400)]) as server:
        model = open_model(server, patience=replace(QUICK, first_byte_s=0.2))
        model.generate([row() for _ in range(6)])
        pause = threading.Event()
        for _ in range(1_000):
            left = [t for t in threading.enumerate() if t.name == "qeu-hosted-row"]
            if not left:
                break
            pause.wait(0.01)
    assert left == []
    assert model._budget.under_way == 0
    assert KEY not in repr(model)
