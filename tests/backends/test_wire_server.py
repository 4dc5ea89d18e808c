"""The wire server as the real groq and openai clients meet it."""

import re
import threading
import time

import groq
import openai
import pytest

from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from tests.wire_server import WORDS, Fault, WireProcess, WireServer, rate_limited

TEXT = "".join(WORDS)
ASK = [{"role": "user", "content": "Say hello."}]
GROQ_MODEL = "llama-3.3-70b-versatile"


def groq_client(server: WireServer, **options):
    return groq.Groq(
        base_url=server.address, api_key="k", max_retries=0, **{"timeout": 5, **options}
    )


def openai_client(server: WireServer, **options):
    return openai.OpenAI(
        base_url=f"{server.address}/v1", api_key="k", max_retries=0, **{"timeout": 5, **options}
    )


def stream_groq(server: WireServer, **request):
    request = {"model": GROQ_MODEL, "messages": ASK, **request}
    return list(groq_client(server).chat.completions.create(stream=True, **request))


def stream_openai(server: WireServer, **request):
    request = {"model": server.cards[0]["id"], "messages": ASK, **request}
    return list(openai_client(server).chat.completions.create(stream=True, **request))


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_groq_streams_text_thinking_and_usage_in_its_last_chunk():
    with WireServer("groq", thinking=["hm", "m"]) as server:
        chunks = stream_groq(server)
    assert text_of(chunks) == TEXT
    assert "".join(c.choices[0].delta.reasoning or "" for c in chunks) == "hmm"
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    used = chunks[-1].x_groq.usage
    assert used.completion_tokens == len(WORDS) + 2
    assert used.completion_tokens_details.reasoning_tokens == 2
    assert server.paid == 1


def test_groq_lists_models_and_tells_its_limits():
    with WireServer("groq") as server:
        client = groq_client(server)
        listed = client.models.list().data
        raw = client.chat.completions.with_raw_response.create(
            model=GROQ_MODEL, messages=ASK, stream=True
        )
        list(raw.parse())
    assert GROQ_MODEL in [model.id for model in listed]
    assert listed[0].model_extra["context_window"] == 131_072
    assert raw.headers["x-ratelimit-remaining-tokens"] == "15702"
    assert [seen.path for seen in server.seen] == [
        "/openai/v1/models",
        "/openai/v1/chat/completions",
    ]


@pytest.mark.parametrize("kind", ["openai", "vllm", "llama.cpp", "ollama"])
def test_other_servers_send_usage_only_when_asked_and_without_choices(kind):
    with WireServer(kind, thinking=["hm"]) as server:
        plain = stream_openai(server)
        asked = stream_openai(server, stream_options={"include_usage": True})
    assert text_of(plain) == text_of(asked) == TEXT
    assert all(c.usage is None for c in plain)
    assert not asked[-1].choices
    assert asked[-1].usage.completion_tokens == len(WORDS) + 1


@pytest.mark.parametrize(
    ("kind", "path", "field"),
    [("vllm", "/version", "version"), ("llama.cpp", "/props", "default_generation_settings"),
     ("ollama", "/api/version", "version")],
)  # fmt: skip
def test_each_kind_can_be_told_by_its_own_path(kind, path, field):
    with WireServer(kind) as server, WireServer("openai") as other:
        told = openai_client(server).with_options(base_url=server.address).get(path, cast_to=object)
        with pytest.raises(openai.NotFoundError):
            openai_client(other).with_options(base_url=other.address).get(path, cast_to=object)
        owners = {model.owned_by for model in openai_client(server).models.list()}
    assert field in told
    assert owners == {{"vllm": "vllm", "llama.cpp": "llamacpp", "ollama": "library"}[kind]}


def test_each_kind_is_found_out_by_our_own_look():
    for kind in ("groq", "openai", "vllm", "llama.cpp", "ollama", "transformers"):
        with WireServer(kind) as server:
            provider = "groq" if kind == "groq" else "server"
            keyring = Keyring({"groq": "k"}, {"groq": server.address})
            keyring = keyring.with_server(f"{server.address}/v1")
            assert HostedPool().kind_of(provider, keyring).kind == kind


def test_text_completions_stream_too():
    with WireServer("vllm") as server:
        pieces = list(
            openai_client(server).completions.create(
                model=server.cards[0]["id"], prompt="a b c", stream=True, max_tokens=2
            )
        )
    assert "".join(p.choices[0].text for p in pieces) == "".join(WORDS[:2])
    assert pieces[-1].choices[0].finish_reason == "length"


def test_limits_stops_and_whole_answers_are_honoured():
    with WireServer("vllm") as server:
        stopped = stream_openai(server, stop=["wor"])
        whole = openai_client(server).chat.completions.create(
            model=server.cards[0]["id"], messages=ASK, max_tokens=3, logprobs=True
        )
    assert text_of(stopped) == "Hello, "
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (
        "Hello, world",
        "length",
    )
    assert whole.usage.completion_tokens == 3


def test_a_wrong_key_an_unknown_model_and_a_foreign_parameter_are_refused():
    with WireServer("groq", key="right") as server:
        with pytest.raises(groq.AuthenticationError, match="Invalid API Key"):
            stream_groq(server)
        server.key = "k"
        with pytest.raises(groq.NotFoundError, match="nothing-8b"):
            stream_groq(server, model="nothing-8b")
        with pytest.raises(groq.BadRequestError, match="'top_k'"):
            stream_groq(server, extra_body={"top_k": 5})
    with WireServer("openai", rejects=("seed",), rejects_status=422) as server:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            stream_openai(server, seed=3)
        assert "seed" in caught.value.response.text  # the exception's own words do not say it
        assert text_of(stream_openai(server, extra_body={"top_k": 5})) == TEXT
    assert server.paid == 1


def test_groq_says_whether_the_minute_or_the_day_is_used_up():
    with WireServer("groq", faults=[rate_limited("minute", 2), rate_limited("day", 578)]) as server:
        with pytest.raises(groq.RateLimitError, match=r"per minute \(TPM\).* in 2s") as minute:
            stream_groq(server)
        with pytest.raises(groq.RateLimitError, match=r"per day \(TPD\).* in 9m38s"):
            stream_groq(server)
        assert text_of(stream_groq(server)) == TEXT
    assert minute.value.response.headers["retry-after"] == "2"
    assert minute.value.body["error"]["code"] == "rate_limit_exceeded"
    assert [seen.fault for seen in server.completions] == ["status", "status", "none"]
    assert [seen.paid for seen in server.completions] == [False, False, True]


@pytest.mark.parametrize("stream", [stream_groq, stream_openai])
@pytest.mark.parametrize(
    ("fault", "paid"),
    [
        (Fault("status", 503, body="<html>Bad gateway</html>"), 0),
        (Fault("cut", after_events=0), 0),
        (Fault("cut", after_events=3), 1),
        (Fault("cut_utf8"), 1),
        (Fault("malformed"), 1),
        (Fault("error_event", after_events=2), 1),
        (Fault("refuse"), 0),
    ],
    ids=lambda fault: fault.kind if isinstance(fault, Fault) else "",
)
def test_a_fault_reaches_the_client_as_an_error_and_is_used_up(stream, fault, paid):
    kind = "groq" if stream is stream_groq else "openai"
    with WireServer(kind, faults=[fault]) as server:
        with pytest.raises(Exception) as caught:
            stream(server)
        assert server.paid == paid
        assert text_of(stream(server)) == TEXT
    assert not isinstance(caught.value, AssertionError)
    assert server.counts()["in_flight"] == 0


@pytest.mark.parametrize(
    "fault", [Fault("cut", clean=True), Fault("cut", after_events=3, clean=True)]
)
def test_a_clean_cut_raises_nothing_but_gives_no_finish_reason(fault):
    with WireServer("openai", faults=[fault]) as server:
        chunks = stream_openai(server)
    assert text_of(chunks) == "".join(WORDS[: fault.after_events])
    assert not any(c.choices[0].finish_reason for c in chunks)


@pytest.mark.parametrize("stream", [stream_groq, stream_openai])
def test_half_a_character_at_the_end_of_a_whole_answer_is_no_error_of_the_sdks_own(stream):
    kind = "groq" if stream is stream_groq else "openai"
    faults = [Fault("cut_utf8", clean=True)]
    with WireServer(kind, faults=faults) as server, pytest.raises(UnicodeDecodeError):
        stream(server)


def test_split_characters_slow_bytes_and_long_lines_arrive_whole():
    faults = [
        Fault("split_utf8"),
        Fault("slow_first_byte", seconds=0.05),
        Fault("long_line", size=50_000),
    ]
    with WireServer("groq", faults=faults) as server:
        assert text_of(stream_groq(server)) == TEXT
        assert text_of(stream_groq(server)) == TEXT
        assert text_of(stream_groq(server)) == TEXT.replace("Hello", "Hello" + "x" * 50_000)


@pytest.mark.parametrize("fault", [Fault("hang"), Fault("slow_first_byte", seconds=60)])
def test_a_client_that_gives_up_waiting_has_paid_nothing(fault):
    with WireServer("openai", faults=[fault]) as server:
        with pytest.raises(openai.APITimeoutError):
            openai_client(server, timeout=0.1).chat.completions.create(
                model="some-model", messages=ASK, stream=True
            )
        wait_until(lambda: server.counts()["in_flight"] == 0)
    assert (server.paid, len(server.completions)) == (0, 1)


def test_a_client_that_leaves_ends_its_answer():
    with WireServer("openai", words=["x "] * 1000, delay_s=0.01) as server:
        stream = openai_client(server).chat.completions.create(
            model="some-model", messages=ASK, stream=True
        )
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        stream.close()
        wait_until(lambda: server.counts()["in_flight"] == 0)
    assert server.paid == 1


def test_closing_the_server_frees_a_client_that_waits():
    ended = []

    def ask(server):
        with pytest.raises(openai.APIConnectionError):
            stream_openai(server)
        ended.append(True)

    with WireServer("openai", faults=[Fault("hang")]) as server:
        thread = threading.Thread(target=ask, args=(server,))
        thread.start()
        wait_until(lambda: server.counts()["in_flight"] == 1)
    thread.join(10)
    assert ended


def test_https_is_refused_at_once():
    with WireServer("groq") as server:
        client = groq.Groq(base_url=server.tls_address, api_key="k", max_retries=0, timeout=5)
        with pytest.raises(groq.APIConnectionError) as caught:
            client.models.list()
    assert "SSL" in str(caught.value.__cause__)


def test_requests_at_the_same_time_are_counted():
    with WireServer("groq", delay_s=0.02) as server:
        threads = [threading.Thread(target=stream_groq, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.counts() == {"requests": 3, "paid": 3, "in_flight": 0, "in_flight_max": 3}


def test_it_runs_as_a_process_of_its_own():
    with WireProcess("groq", words=5) as server, WireProcess(words=2, stamps=True) as stamped:
        assert text_of(stream_groq(server)) == " word0 word1 word2 word3 word4"
        assert server.counts()["paid"] == 1
        start = time.monotonic_ns()
        pieces = openai_client(stamped).chat.completions.create(
            model="some-model", messages=ASK, stream=True
        )
        found = re.fullmatch(r"\[(\d+)\] word0\[(\d+)\] word1", text_of(pieces))
    assert found
    assert start < int(found[1]) < int(found[2]) < time.monotonic_ns()


def test_transformers_serve_gives_usage_unasked_and_no_last_line():
    with WireServer("transformers") as server:
        chunks = stream_openai(server, stream_options={"include_usage": True})
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            stream_openai(server, extra_body={"min_p": 0.1})
    assert (chunks[-1].choices[0].finish_reason, text_of(chunks)) == ("stop", TEXT)
    assert chunks[-1].usage.completion_tokens == len(WORDS)
    assert caught.value.response.json() == {"detail": "Unexpected fields in the request: {'min_p'}"}


def wait_until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
