"""A list of models that is late, broken or refused: every wait ends, in words of its own."""

import logging
import threading
from dataclasses import replace

import pytest

from qeu.backends.catalog import find_model
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError
from tests.backends.hosted_tools import KEY, PATIENCE_S, QUICK, RawServer, open_raw, reply

HASTY = replace(QUICK, connect_s=0.4)
GOOD = b'{"data": [{"id": "m"}]}'


def drip(connection, begin: bytes, more: bytes) -> None:
    """Send a byte every now and then until the client leaves, for longer than a test waits."""
    pause = threading.Event()
    connection.sendall(begin)
    for _ in range(int(2 * PATIENCE_S / 0.05)):
        connection.sendall(more)
        pause.wait(0.05)


def drip_head(connection) -> None:
    drip(connection, b"HTTP/1.1 200 OK\r\nx-slow: ", b"a")


def drip_body(connection) -> None:
    drip(connection, reply("200 OK", b"["), b" ")


def list_of(answer, patience=QUICK):
    """What the list's failure says to a person."""
    with RawServer(answer) as server:
        keyring = Keyring({"server": KEY}, {"server": server.address})
        with pytest.raises(QeuError) as found:
            HostedPool(patience).list_models("server", keyring)
    return str(found.value)


def in_time(work):
    """Run it on a thread of its own, for as long as a test waits."""
    found = []

    def go():
        try:
            found.append(work())
        except QeuError as error:
            found.append(error)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return found[0]


@pytest.mark.parametrize("slow", [drip_head, drip_body])
def test_a_list_that_comes_byte_by_byte_is_left(slow):
    with RawServer(lambda connection, request: slow(connection)) as server:
        keyring = Keyring({}, {"server": server.address})
        pool = HostedPool(HASTY)
        listed = in_time(lambda: pool.list_models("server", keyring))
        opened = in_time(lambda: pool.open(find_model("server/any"), keyring))
    for error in (listed, opened):
        assert "did not give its list of models within 0.8 s" in str(error)
        assert "is kept" not in str(error)


@pytest.mark.parametrize("slow", [drip_head, drip_body])
def test_questions_for_the_kind_that_are_answered_byte_by_byte_are_left(slow):
    def answer(connection, request):
        if b"/models" in request:
            connection.sendall(reply("200 OK", b'{"data": [{"id": "any"}]}'))
        else:
            slow(connection)

    with RawServer(answer) as server:
        assert in_time(lambda: open_raw(server)).provider.kind == "openai"


def test_a_list_that_comes_in_time_is_not_cut_later():
    with RawServer(lambda connection, request: connection.sendall(reply("200 OK", GOOD))) as server:
        keyring = Keyring({}, {"server": server.address})
        cards = HostedPool(HASTY).list_models("server", keyring)
    assert [card.id for card in cards] == ["m"]
    # the thread of a called-off timer may still be on its way out
    limits = [t for t in threading.enumerate() if t.name == "qeu-hosted-limit"]
    assert all(limit.finished.is_set() for limit in limits)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply("404 Not Found", b"{}"), "has no list of models at this address (404)"),
        (reply("403 No", b'{"error": "Not you"}'), "does not show this key its models (403): Not"),
        (reply("401 No", b'{"error": "Bad key"}'), "refuses the key (401): Bad key"),
        (reply("429 Slow", b'{"error": "Slow down"}'), "did not list its models (429): Slow down."),
        (reply("503 No", b'{"error": "Loading"}'), "did not list its models (503): Loading."),
        (reply("504 No", b"<html>"), "did not list its models (504): no reason given."),
        (b"", "ended the connection before its list of models was there"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "before its list of models was"),
        (b"SSH-2.0-OpenSSH\r\n", "it does not speak HTTP"),
        (reply("200 OK", b"<html>Hi</html>", kind="text/html"), "cannot be read: no JSON"),
        (reply("200 OK", b"plain words", kind="text/plain"), "cannot be read: no JSON"),
        (reply("200 OK", b"plain words"), "cannot be read: no JSON"),
        (reply("200 OK", b"[" * 200_000), "cannot be read: no JSON"),
        (reply("200 OK", b"[]"), "cannot be read: JSON of another shape"),
        (reply("200 OK", b'{"error": {"message": "Not today."}}'), "the error: Not today."),
    ],
)  # fmt: skip
def test_a_list_that_fails_speaks_of_the_list(answer, words, caplog):
    caplog.set_level(logging.INFO)
    said = list_of(lambda connection, request: connection.sendall(answer))
    assert words in said
    assert said.endswith(".")
    for of_a_completion in ("What came", "is kept", "computed", "the prompt"):
        assert of_a_completion not in said
    assert "AttributeError" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_list_is_read_whatever_its_type_is_said_to_be():
    answer = reply("200 OK", GOOD, kind="text/plain")
    with RawServer(lambda connection, request: connection.sendall(answer)) as server:
        keyring = Keyring({}, {"server": server.address})
        cards = HostedPool(QUICK).list_models("server", keyring)
    assert [card.id for card in cards] == ["m"]


def test_names_that_cannot_be_shown_are_left_out():
    body = rb'{"data": [{"id": "a\ud800"}, {"id": "b\u0000"}, {"id": "c\n"}, {"id": "good"}]}'
    with RawServer(lambda connection, request: connection.sendall(reply("200 OK", body))) as server:
        keyring = Keyring({}, {"server": server.address})
        cards = HostedPool(QUICK).list_models("server", keyring)
    assert [card.id for card in cards] == ["good"]


def test_a_deep_answer_to_a_question_for_the_kind_is_no_failure():
    def answer(connection, request):
        deep = b"[" * 200_000
        connection.sendall(reply("200 OK", GOOD if b"/models" in request else deep))

    with RawServer(answer) as server:
        keyring = Keyring({}, {"server": server.address})
        assert HostedPool(QUICK).kind_of("server", keyring).kind == "openai"
