"""Odd answers: halves of characters, whole bodies, depth, bare end tags, small contexts."""

import json

import pytest

from qeu.backends.hosted_text import HostedText, SurrogateMender
from tests.backends.hosted_tools import RawServer, open_model, open_raw, reply, row
from tests.wire_server import Fault, WireServer


def say(*events: str, body: bytes = b"", kind: str = "text/event-stream"):
    """(generation, pieces) of a server that answers with these events, or with this body."""
    data = body or "".join(f"data: {event}\n\n" for event in (*events, "[DONE]")).encode()

    def answer(connection, request):
        posted = request.startswith(b"POST")
        connection.sendall(
            reply("200 OK", data, kind=kind) if posted else reply("404 Not Found", b"{}")
        )

    pieces = []
    with RawServer(answer) as server:
        done = open_raw(server).generate([row()], pieces.append)[0]
        assert len([r for r in server.requests if r.startswith(b"POST")]) == 1
    return done, pieces


def delta(text: str, finish: str = "null", field: str = "content") -> str:
    return f'{{"choices": [{{"delta": {{"{field}": "{text}"}}, "finish_reason": {finish}}}]}}'


END = delta("", '"stop"')


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([r"a\ud800b"], "a\ufffdb"),
        ([r"a\udc00b"], "a\ufffdb"),
        ([r"a\u0000b"], "ab"),
        ([r"\ud83c\udf0d"], "🌍"),
        ([r"a\ud83c", r"\udf0db"], "a🌍b"),
        ([r"a\ud83c", "", r"\udf0db"], "a🌍b"),
        ([r"a\ud83c", "b"], "a\ufffdb"),
        ([r"\ud83c", r"\ud83c\udf0d"], "\ufffd🌍"),
        ([r"a\ud83c"], "a\ufffd"),
        ([r"a\ud83c\u0000\udf0d"], "a🌍"),
    ],
)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_halves_of_characters_are_joined_or_replaced(texts, expected, field):
    done, pieces = say(*[delta(text, field=field) for text in texts], END)
    assert (done.text or done.thinking, done.finish_reason) == (expected, "stop")
    assert "".join(piece.text for piece in pieces) == done.text
    json.dumps(done.to_json(), ensure_ascii=False).encode("utf-8")


def test_no_half_of_a_character_gets_into_the_rest_of_a_generation():
    event = (
        r'{"system_fingerprint": "f\ud800\u0000", "choices": [{"delta": {"content": "a"}, '
        r'"finish_reason": "odd\ud800"}]}'
    )
    done, _ = say(event)
    json.dumps(done.to_json(), ensure_ascii=False).encode("utf-8")
    assert "\0" not in json.dumps(done.to_json(), ensure_ascii=False)
    broken, _ = say(r'{"error": {"message": "bad \ud800\u0000 luck"}}')
    assert "bad \ufffd luck" in broken.error


def test_a_mender_keeps_what_is_whole():
    mender = SurrogateMender()
    assert [mender.push(text) for text in ("a🌍", "\ud83c", "\udf0d")] == ["a🌍", "", "🌍"]
    assert mender.finish() == ""


def whole(**more) -> bytes:
    message = {"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    return json.dumps({"choices": [choice], "usage": usage, **more}, indent=1).encode()


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "text/event-stream", "text/x"]
)
def test_a_whole_answer_in_place_of_a_stream_is_taken(kind):
    done, pieces = say(body=whole(), kind=kind)
    assert (done.text, done.thinking, done.finish_reason) == ("Four.", "Two and two.", "stop")
    assert (done.prompt_tokens, done.new_tokens, done.error) == (7, 5, "")
    assert "".join(piece.text for piece in pieces) == "Four."
    assert any("in one piece" in note for note in done.receipt.notes)


def test_a_whole_answer_needs_no_reason_and_no_count():
    done, _ = say(body=b'{"choices": [{"message": {"content": "Four."}}]}', kind="application/json")
    assert (done.text, done.finish_reason) == ("Four.", "stop")


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "No room left."}}',
        b'{"error": "No room left."}',
        b'{"detail": "No room left."}',
        b'{"object": "error", "message": "No room left."}',
    ],
)
def test_an_error_in_place_of_a_stream_is_told(body, kind):
    done, _ = say(body=body, kind=kind)
    assert (done.finish_reason, done.text, done.trouble) == ("error", "", "")
    assert "No room left." in done.error


@pytest.mark.parametrize(
    "body",
    [b"[1, 2]", b'{"a": 1}', b'{"choices": []}', b'{"choices": [7]}', b"{", b"<html>Hi</html>",
     b'{"choices": [{"message": {"content": ["a"]}}]}', b'{"choices": [{"message": 7}]}',
     b"[" * 200_000, b'{"a":' * 100_000, b'{"error": ' * 100_000],
    ids=lambda body: body[:20].decode(),
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "text/html", "text/event-stream"])
def test_a_body_that_is_no_answer_cannot_be_read(body, kind):
    done, _ = say(body=body, kind=kind)
    assert done.finish_reason == "error"
    assert "cannot be read" in done.error


@pytest.mark.parametrize("depth", [200_000, 990, 900])
@pytest.mark.parametrize("form", ["{deep}", '{{"error": {deep}}}', '{{"choices": {deep}}}'])
def test_an_event_of_any_depth_ends_in_a_sentence(depth, form):
    deep = "[" * depth + ("" if depth > 10_000 else "]" * depth)
    done, _ = say(delta("a"), form.format(deep=deep))
    assert (done.finish_reason, done.text) == ("error", "a")
    assert "failed here" not in done.error
    if depth > 10_000:
        assert "cannot be read" in done.error


def test_a_refusal_of_any_depth_ends_in_a_sentence():
    for depth in (200_000, 990, 900):
        body = {"error": {"message": None}}
        text = json.dumps(body).replace("null", "[" * depth + "]" * depth)
        with WireServer("openai", faults=[Fault("status", 400, body=text)]) as server:
            done = open_model(server).generate([row()])[0]
        assert "refuses the request" in done.error


THOUGHT = "Two and two.\n</think>\n\nFour."


@pytest.mark.parametrize("kind", ["openai", "vllm", "transformers"])
def test_thinking_that_the_template_opened_is_taken_out(kind):
    words = ["Two", " and two.", "\n</th", "ink>", "\n", "\nFour", "."]
    with WireServer(kind, words=words) as server:
        done = open_model(server).generate([row()])[0]
    assert (done.text, done.thinking) == ("Four.", "Two and two.\n")
    assert (done.answer, done.reasoning) == ("Four.", "")
    assert 0 < done.thinking_tokens < done.new_tokens


@pytest.mark.parametrize(
    ("whole", "text", "thinking"),
    [
        (THOUGHT, "Four.", "Two and two.\n"),
        ("</think>\n\nFour.", "Four.", ""),
        ("Two and two.\n</think>", "", "Two and two.\n"),
        ("Two.\n</think>\nFour.\n</think>\nFive.", "Four.\n</think>\nFive.", "Two.\n"),
        ("The tag </think> ends it.", "The tag </think> ends it.", ""),
        ("See <think>\na\n</think>\nb", "See <think>\na\n</think>\nb", ""),
        ("<think>a</think>b\n</think>\nc", "b\n</think>\nc", "a"),
    ],
)
def test_a_bare_end_of_thinking_counts_on_a_line_of_its_own_only(whole, text, thinking):
    for pieces in ([whole], list(whole), [whole[:9], whole[9:]]):
        found = HostedText(50, bare_end=True)
        for piece in pieces:
            found.push(piece)
        found.finish()
        assert (found.text, found.thinking) == (text, thinking), pieces


def test_thinking_that_takes_the_whole_text_is_counted():
    with WireServer("openai", words=["Two", " and two.", "\n</think>"]) as server:
        done = open_model(server).generate([row()])[0]
    assert (done.text, done.thinking) == ("", "Two and two.\n")
    assert done.thinking_tokens == done.new_tokens == 3


def test_groq_gives_thinking_apart_so_a_bare_end_is_text():
    with WireServer("groq", words=[THOUGHT]) as server:
        assert open_model(server).generate([row()])[0].text == THOUGHT


@pytest.mark.parametrize(
    ("asked", "context", "sent"), [(2_048, 2_048, None), (4_000, 512, None), (500, 512, 500)]
)
def test_more_new_tokens_than_a_model_can_read_are_cut_and_said(asked, context, sent):
    with WireServer("vllm", models=[{"id": "small", "max_model_len": context}]) as server:
        done = open_model(server).generate([row(max_new_tokens=asked)])[0]
        on_wire = server.completions[0].body["max_tokens"]
    parameter = next(p for p in done.receipt.parameters if p.name == "max_new_tokens")
    assert (parameter.asked, parameter.sent) == (asked, on_wire)
    if sent:
        assert (on_wire, parameter.why) == (sent, "")
    else:
        assert context // 2 < on_wire < context
        assert f"reads {context} tokens" in parameter.why
    assert done.error == ""


def test_where_no_context_is_known_what_is_asked_is_sent():
    with WireServer("openai") as server:
        open_model(server).generate([row(max_new_tokens=4_096)])
        assert server.completions[0].body["max_tokens"] == 4_096
