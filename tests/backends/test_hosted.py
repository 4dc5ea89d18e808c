"""A hosted model over a real socket: text, thinking, settings, stops, receipts, secrets."""

import json
import logging
import threading

import pytest

from qeu.backends.hosted import HostedModel
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from tests.backends.hosted_tools import (
    KEY,
    PATIENCE_S,
    TEXT,
    RawServer,
    chat,
    open_model,
    open_raw,
    reply,
    row,
    tagged,
    wait_for,
)
from tests.wire_server import WORDS, Fault, WireServer, rate_limited
from tests.wire_shapes import KINDS


def ask(model: HostedModel, *rows) -> list[Generation]:
    return model.generate(rows or [row()])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_server_streams_its_text_and_tells_its_tokens(kind):
    pieces = []
    with WireServer(kind, key=KEY) as server:
        done = open_model(server).generate([row()], pieces.append)[0]
    assert (done.text, done.answer, done.finish_reason, done.error) == (TEXT, TEXT, "stop", "")
    assert "".join(piece.text for piece in pieces) == TEXT
    assert len([piece for piece in pieces if piece.text]) >= len(WORDS) - 1
    assert (pieces[0].new_tokens, pieces[0].text, pieces[0].waits_s) == (0, "", 0.0)
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["stop"]
    assert (done.new_tokens, pieces[-1].new_tokens) == (len(WORDS), len(WORDS))
    assert done.prompt_tokens > 0
    assert done.ttft_s > 0
    assert done.tokens_per_s > 0


@pytest.mark.parametrize("kind", KINDS)
def test_thinking_arrives_apart_from_the_text(kind):
    with WireServer(kind, thinking=["Let", " me", " see."]) as server:
        done = ask(open_model(server))[0]
    assert (done.text, done.thinking, done.thinking_tokens) == (TEXT, "Let me see.", 3)
    assert done.reasoning == ""
    assert done.new_tokens == len(WORDS) + 3


def test_thinking_in_tags_is_taken_out_of_the_text():
    words = ["<thi", "nk>", "Hm.", "</think>", "\n\n", "Four."]
    with WireServer("openai", words=words) as server:
        done = ask(open_model(server))[0]
    assert (done.text, done.thinking) == ("Four.", "Hm.")
    assert done.thinking_tokens >= 1


@pytest.mark.parametrize(
    ("name", "asked"), [("qwen/qwen3-32b", "parsed"), ("llama-3.3-70b-versatile", None)]
)
def test_groq_is_asked_for_parsed_thinking_only_where_the_model_takes_it(name, asked):
    with WireServer("groq", models=[name], thinking=["Hm."]) as server:
        ask(open_model(server))
        assert server.completions[0].body.get("reasoning_format") == asked


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("groq", {"max_completion_tokens": 33, "temperature": 0.5, "top_p": 0.8, "seed": 3}),
        ("openai", {"max_tokens": 33, "temperature": 0.5, "top_p": 0.8, "seed": 3}),
        ("vllm", {"max_tokens": 33, "top_k": 9, "min_p": 0.1, "repetition_penalty": 1.2}),
        ("llama.cpp", {"max_tokens": 33, "top_k": 9, "min_p": 0.1, "repeat_penalty": 1.2}),
        ("ollama", {"max_tokens": 33, "temperature": 0.5, "top_p": 0.8, "seed": 3}),
    ],
)
def test_settings_reach_the_server_under_its_names_or_stand_in_the_receipt(kind, expected):
    asked = row(temperature=0.5, top_p=0.8, top_k=9, min_p=0.1, repetition_penalty=1.2,
                max_new_tokens=33, seed=3)  # fmt: skip
    with WireServer(kind) as server:
        done = ask(open_model(server), asked)[0]
        body = server.completions[0].body
    assert {name: body.get(name) for name in expected} == expected
    parameters = {p.name: p for p in done.receipt.parameters}
    assert set(parameters) == set(asked.sampling.to_json())
    if kind in ("groq", "openai", "ollama"):
        for name in ("top_k", "min_p", "repetition_penalty"):
            assert name not in body
            assert parameters[name].sent is None
            assert "does not take" in parameters[name].why
    else:
        assert all(p.sent == p.asked for p in parameters.values())


def test_settings_that_are_off_are_sent_where_the_servers_default_may_be_on():
    off = row(top_k=0, min_p=0.0, repetition_penalty=1.0, top_p=1.0)
    with WireServer("vllm") as server:
        done = ask(open_model(server), off)[0]
        body = server.completions[0].body
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    top_k = next(p for p in done.receipt.parameters if p.name == "top_k")
    assert (top_k.asked, top_k.sent) == (0, -1)


def test_greedy_is_asked_for_as_temperature_0_and_draws_nothing():
    with WireServer("vllm") as server:
        done = ask(open_model(server), row(greedy=True))[0]
        body = server.completions[0].body
    assert body["temperature"] == 0
    assert not {"top_p", "top_k", "min_p", "seed"} & set(body)
    sent = {p.name: p.sent for p in done.receipt.parameters}
    assert (sent["greedy"], sent["temperature"], sent["seed"]) == (True, 0, None)


def test_a_temperature_that_groq_does_not_take_is_lowered_and_said():
    with WireServer("groq") as server:
        done = ask(open_model(server), row(temperature=3.5))[0]
        assert server.completions[0].body["temperature"] == 2.0
    temperature = next(p for p in done.receipt.parameters if p.name == "temperature")
    assert (temperature.asked, temperature.sent) == (3.5, 2.0)
    assert "no more than 2" in temperature.why


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "openai"])
def test_a_tagged_layout_is_continued_as_plain_text_where_the_server_can(kind):
    prompt = tagged("reasoning")
    with WireServer(kind) as server:
        model = open_model(server)
        done = ask(model, row(prompt))[0]
        sent = server.completions[0]
    assert sent.path == "/v1/completions"
    assert sent.body["prompt"] == prompt.text
    assert sent.body["stop"] == ["<|response|>", "<|endoftext|>"]
    assert (done.reasoning, done.receipt.notes) == (TEXT.strip(), ())
    assert model.prepare(prompt).text == done.prompt_text == prompt.text
    assert model.prepare(prompt).spans == prompt.spans


def test_a_tagged_layout_goes_to_groq_as_one_user_message_with_a_note():
    prompt = tagged()
    with WireServer("groq") as server:
        model = open_model(server)
        done = ask(model, row(prompt))[0]
        assert server.completions[0].body["messages"] == [{"role": "user", "content": prompt.text}]
    assert any("one user message" in note for note in done.receipt.notes)
    assert prompt.text in done.prompt_text


def test_a_server_without_text_completions_gets_a_message_instead_and_is_not_asked_again():
    missing = Fault("status", 404, body={"error": {"message": "Unknown request URL"}})
    with WireServer("openai", faults=[missing]) as server:
        model = open_model(server)
        first, second = ask(model, row(tagged()))[0], ask(model, row(tagged()))[0]
        paths = [seen.path for seen in server.completions]
    assert paths == ["/v1/completions", "/v1/chat/completions", "/v1/chat/completions"]
    assert (first.text, second.text) == (TEXT, TEXT)
    assert all(any("one user message" in n for n in g.receipt.notes) for g in (first, second))


@pytest.mark.parametrize("kind", ["vllm", "groq", "openai"])
def test_the_beginning_of_an_answer_is_given_where_the_server_continues_it(kind):
    prompt = tagged("both", layout="chat")
    assert prompt.prefill
    with WireServer(kind) as server:
        done = ask(open_model(server), row(prompt))[0]
        body = server.completions[0].body
    given = body["messages"][-1] == {"role": "assistant", "content": prompt.prefill}
    assert given == (kind != "openai")
    assert body.get("continue_final_message") == (True if kind == "vllm" else None)
    assert body.get("add_generation_prompt") == (False if kind == "vllm" else None)
    assert any("Reasoning:" in note for note in done.receipt.notes) == (kind == "openai")


def test_a_thinking_model_is_not_given_the_beginning_of_its_answer():
    with WireServer("groq", models=["openai/gpt-oss-120b"]) as server:
        ask(open_model(server), row(tagged("both", layout="chat")))
        assert server.completions[0].body["messages"][-1]["role"] == "user"


def test_a_stop_text_ends_the_row_even_if_the_server_does_not_know_it():
    prompt = tagged("reasoning")
    words = ["Think", " of it.", " <|resp", "onse|>", "42"] + [" more"] * 50
    with WireServer("openai", words=words, rejects=["stop"]) as server:
        done = ask(open_model(server), row(prompt))[0]
        assert "stop" not in server.completions[1].body
    assert (done.text, done.finish_reason) == ("Think of it. ", "stop")
    assert any("refuses stop" in note for note in done.receipt.notes)


def test_a_loop_ends_the_row_and_the_request():
    with WireServer("groq", words=["on and on we go "] * 4_000, delay_s=0.001) as server:
        done = ask(open_model(server), row(max_new_tokens=4_000))[0]
    assert done.finish_reason == "loop"
    assert len(done.text) < 2_000
    assert any("pieces of the stream are counted" in note for note in done.receipt.notes)


def test_the_token_limit_of_the_server_is_length():
    with WireServer("groq") as server:
        done = ask(open_model(server), row(max_new_tokens=2))[0]
    assert (done.text, done.finish_reason, done.new_tokens) == ("".join(WORDS[:2]), "length", 2)


def test_when_thinking_takes_all_tokens_the_receipt_says_so():
    with WireServer("groq", thinking=["a ", "b ", "c "]) as server:
        done = ask(open_model(server), row(max_new_tokens=2))[0]
    assert (done.text, done.finish_reason, done.thinking) == ("", "length", "a b ")
    assert any("own thinking" in note for note in done.receipt.notes)


def test_rows_run_in_parallel_up_to_what_the_provider_allows():
    with WireServer("groq", delay_s=0.01) as server:
        model = open_model(server)
        done = ask(model, *[row() for _ in range(12)])
        most = server.in_flight_max
    assert [g.text for g in done] == [TEXT] * 12
    assert 1 < most <= model.provider.concurrency == 4


def test_one_row_that_fails_leaves_the_others_alone():
    with WireServer(
        "openai", faults=[Fault("status", 400, body={"error": {"message": "No."}})]
    ) as s:
        done = ask(open_model(s), row(), row(), row(temperature=99))
    assert sorted(g.finish_reason for g in done[:2]) == ["error", "stop"]
    assert done[2].finish_reason == "error"
    assert "temperature is 99" in done[2].error


def stop_when(server: WireServer, model: HostedModel, when, prompt=None) -> Generation:
    """Ask in a thread and set the row's stop once `when(piece)` is true."""
    stop, found = threading.Event(), []

    def emit(piece):
        if when(piece):
            stop.set()

    thread = threading.Thread(
        target=lambda: found.extend(model.generate([row(prompt, stop, max_new_tokens=4_000)], emit))
    )
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return found[0]


def test_a_stop_while_it_writes_keeps_the_text_and_hangs_up():
    with WireServer("groq", words=[f"word{n} " for n in range(5_000)], delay_s=0.02) as server:
        done = stop_when(server, open_model(server), lambda piece: piece.new_tokens == 3)
        wait_for(lambda: server.in_flight == 0)
        assert server.paid == 1
    assert done.finish_reason == "cancelled"
    assert done.text.startswith("word0 word1 word2 ")
    assert done.error == ""


@pytest.mark.parametrize("kind", ["groq", "openai"])
def test_a_stop_before_the_first_byte_hangs_up(kind):
    with WireServer(kind, faults=[Fault("hang")]) as server:
        model = open_model(server)
        stop = threading.Event()
        found = []
        thread = threading.Thread(target=lambda: found.extend(model.generate([row(stop=stop)])))
        thread.start()
        wait_for(lambda: server.in_flight == 1)
        stop.set()
        thread.join(PATIENCE_S)
        # the server sees the connection go, although nothing was answered yet
        wait_for(lambda: server.in_flight == 0)
        assert server.paid == 0
    assert (found[0].finish_reason, found[0].text) == ("cancelled", "")


def test_a_stop_while_a_limit_is_waited_for_sends_nothing():
    told = []
    with WireServer("groq", faults=[rate_limited("minute", 60)] * 9) as server:
        model = open_model(server)

        def when(piece):
            told.append(piece.waits_s)
            return piece.waits_s > 0

        done = stop_when(server, model, when)
        assert len(server.completions) == 1
    assert done.finish_reason == "cancelled"
    assert 50 < max(told) < 70
    assert model._budget.under_way == 0


def test_what_was_stopped_before_is_never_sent():
    stop = threading.Event()
    stop.set()
    with WireServer("groq") as server:
        done = ask(open_model(server), row(stop=stop))[0]
        assert server.completions == []
    assert done.finish_reason == "cancelled"


def test_an_emit_that_fails_ends_all_and_is_heard():
    def emit(piece):
        if piece.text:
            raise ValueError("no room")

    # more words than the test has patience: the server must see the connections go
    with WireServer("groq", words=["w "] * 5_000, delay_s=0.02) as server:
        with pytest.raises(ValueError, match="no room"):
            open_model(server).generate([row(max_new_tokens=4_000)] * 2, emit)
        wait_for(lambda: server.in_flight == 0)


def test_exact_is_refused_with_the_way_out():
    with WireServer("groq") as server, pytest.raises(QeuError, match="promises no text twice"):
        open_model(server).generate([row()], exact=True)


def test_an_adapter_is_refused_unless_the_server_lists_it():
    from dataclasses import replace

    with WireServer("vllm", models=["base", "poems"]) as server:
        model = open_model(server, "base")
        done = ask(model, replace(row(), adapter="poems"), replace(row(), adapter="other"))
        assert [seen.body["model"] for seen in server.completions] == ["poems"]
    assert (done[0].text, done[0].adapter) == (TEXT, "poems")
    assert done[1].finish_reason == "error"
    assert "cannot load the adapter 'other'" in done[1].error


def test_the_receipt_says_where_it_ran_and_nothing_secret():
    with WireServer("groq", key=KEY) as server:
        model = open_model(server)
        done = ask(model)[0]
    receipt = done.receipt
    assert (receipt.engine, receipt.dtype, receipt.device) == ("groq", "", "127.0.0.1")
    assert (receipt.exact, receipt.batch) == (False, 1)
    assert {"qeu", "groq", "system_fingerprint"} == set(receipt.versions)
    assert Generation.from_json(json.loads(json.dumps(done.to_json()))).text == TEXT
    assert done.model == "groq/llama-3.3-70b-versatile"
    assert KEY not in json.dumps(done.to_json()) + repr(model) + repr(vars(model))


def test_a_prompt_for_the_eye_names_every_field():
    prompt = tagged("both", layout="chat")
    with WireServer("groq") as server:
        prepared = open_model(server).prepare(prompt)
    said = {span.field: prepared.text[span.start : span.end] for span in prepared.spans}
    assert prepared.text.startswith("System: ")
    assert said["instruction"] == "Say hello."
    assert prepared.text.endswith("Assistant: Reasoning:\n")
    assert prepared.tokens == 0
    assert any("own chat template" in n or "chat template" in n for n in prepared.notes)


@pytest.mark.parametrize("kind", ["groq", "openai"])
@pytest.mark.parametrize("fault", ["none", "status", "cut", "hang"])
def test_the_key_is_in_no_log_and_no_sentence(kind, fault, caplog):
    caplog.set_level(logging.DEBUG)
    said = {"error": {"message": f"Bad key {KEY} for this model, sorry."}}
    faults = [Fault(fault, status=400, body=said)]
    from dataclasses import replace

    from tests.backends.hosted_tools import QUICK

    with WireServer(kind, faults=faults, key=KEY) as server:
        done = ask(open_model(server, patience=replace(QUICK, first_byte_s=0.2)))[0]
        sent = server.completions[0].headers["authorization"]
    assert sent == f"Bearer {KEY}"
    assert caplog.text
    assert KEY not in caplog.text
    assert KEY not in json.dumps(done.to_json())
    if fault == "status":
        assert "Bad key … for" in done.error


def test_only_the_headers_that_are_needed_leave_this_machine(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: s\nAuthorization: Bearer sk-other")
    with WireServer("openai") as server:
        assert ask(open_model(server, key=""))[0].text == TEXT
        assert server.seen
        for seen in server.seen:
            assert set(seen.headers) <= {
                "host", "accept", "accept-encoding", "connection", "user-agent", "content-type",
                "content-length",
            }  # fmt: skip


def test_a_server_that_never_ends_is_cut_and_left():
    def endless(connection, request):
        if b"POST" not in request:
            connection.sendall(reply("404 Not Found", b"{}"))
            return
        connection.sendall(reply("200 OK", b"", kind="text/event-stream"))
        number = 0
        while True:
            number += 1
            event = {"choices": [{"delta": {"content": f"{number * 7919 % 99991} "}}]}
            connection.sendall(b"data: " + json.dumps(event).encode() + b"\n\n")

    with RawServer(endless) as server:
        done = open_raw(server).generate([row(max_new_tokens=5)])[0]
    assert done.finish_reason == "length"
    assert len(done.text) == 1_000 + 32 * 5


def test_chat_prompts_go_turn_by_turn():
    with WireServer("groq") as server:
        ask(open_model(server), row(chat("Why?")))
        assert server.completions[0].body["messages"] == [{"role": "user", "content": "Why?"}]


def test_a_text_that_became_a_message_has_its_thinking_taken_apart():
    missing = Fault("status", 404, body={"error": {"message": "Unknown request URL"}})
    with WireServer("openai", faults=[missing], words=["<think>Hm.</think>", "Four."]) as server:
        done = ask(open_model(server), row(tagged()))[0]
        again = ask(open_model(server), row(tagged()))[0]
    assert (done.text, done.thinking) == ("Four.", "Hm.")
    assert (again.text, again.thinking) == ("<think>Hm.</think>Four.", "")


def test_a_row_that_is_stopped_hangs_up_while_another_goes_on():
    stops = [threading.Event(), threading.Event()]
    words = [f"word{n} " for n in range(5_000)]
    with WireServer("groq", words=words, delay_s=0.02) as server:
        model = open_model(server)
        rows = [row(None, stop, max_new_tokens=4_000) for stop in stops]
        found = []
        thread = threading.Thread(target=lambda: found.extend(model.generate(rows)))
        thread.start()
        wait_for(lambda: server.paid == 2)
        stops[0].set()
        wait_for(lambda: server.in_flight == 1)
        assert thread.is_alive()
        stops[1].set()
        thread.join(PATIENCE_S)
    assert [g.finish_reason for g in found] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("fault", ["none", "cut"])
def test_what_was_held_back_is_text_in_the_end(fault):
    pieces = []
    words = ["Think", " of <|resp", "never"]
    limit = 2 if fault == "none" else 50
    with WireServer("vllm", words=words, faults=[Fault(fault, after_events=2)]) as server:
        asked = row(tagged("reasoning"), max_new_tokens=limit)
        done = open_model(server).generate([asked], pieces.append)[0]
    assert done.text == "".join(piece.text for piece in pieces) == "Think of <|resp"
    assert done.finish_reason == ("length" if fault == "none" else "error")
