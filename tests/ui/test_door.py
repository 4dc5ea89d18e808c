"""Who comes in and with what."""

import asyncio
import json

import pytest

from qeu.core.settings import Settings
from qeu.ui import door
from qeu.ui.app import access_warning
from qeu.ui.door import MOST_BODY_BYTES, MOST_MISSES, PublicDoor, holds_address, password_check


def ask(path="/gradio_api/queue/join", body=b"", method="POST", pieces=1):
    """(status, what the page behind the door got to read or None)."""
    got: list[bytes] = []
    sent: list[dict] = []
    size = max(1, -(-len(body) // pieces))
    chunks = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)}
        for i, chunk in enumerate(chunks)
    ]

    async def page(scope, receive, send):
        if scope["type"] == "http":
            got.append((await receive()).get("body", b""))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method}
    asyncio.run(PublicDoor(page)(scope, receive, send))
    return sent[0]["status"], got[0] if got else None


def file_at(address):
    """A form whose file is named by an address."""
    return json.dumps(
        {"data": [[{"path": address, "meta": {"_type": "gradio.FileData"}}]]}
    ).encode()


def test_a_body_comes_through_whole_however_it_arrives():
    body = json.dumps({"data": ["path", "https://example.com is a nice page", {"x": 1}]}).encode()
    assert ask(body=body, pieces=7) == (200, body)
    assert ask(method="GET") == (200, b"")
    assert ask(body=b"no json \xff") == (200, b"no json \xff")


@pytest.mark.parametrize("address", ["http://x/a", "HTTPS://x/a", " https:/x", "http:x"])
def test_a_file_named_by_an_address_is_refused_wherever_it_stands(address):
    assert ask(body=file_at(address), pieces=3) == (403, None)
    assert holds_address(json.dumps([{"a": {"b": [{"path": address}]}}]).encode())


def test_a_file_that_was_uploaded_is_let_in_with_its_own_address_beside_it():
    file = {"path": "/tmp/gradio/x.json", "url": "http://127.0.0.1:7860/gradio_api/file=/tmp/x"}
    assert ask(body=json.dumps({"data": [file]}).encode())[0] == 200


def test_nesting_that_no_form_has_does_not_break_the_door():
    assert ask(body=b"[" * 200_000)[0] == 200


@pytest.mark.parametrize("target", ["http://x/a", "https:/x/a", "HTTP://x"])
def test_addresses_after_file_are_not_fetched(target):
    for method in ("GET", "HEAD"):
        assert ask(f"/gradio_api/file={target}", method=method) == (403, None)
        assert ask(f"/below/gradio_api/file={target}", method=method) == (403, None)
    assert ask("/gradio_api/file=/tmp/gradio/x.json", method="GET")[0] == 200


def test_a_body_is_read_up_to_its_limit_and_an_upload_is_left_to_gradio():
    assert ask(body=b"x" * MOST_BODY_BYTES, pieces=5)[0] == 200
    assert ask(body=b"x" * (MOST_BODY_BYTES + 1), pieces=5) == (413, None)
    assert ask("/gradio_api/upload", b"x" * (MOST_BODY_BYTES + 1))[0] == 200


def test_the_password_opens_and_nothing_else_does(monkeypatch):
    monkeypatch.setattr(door, "MISS_S", 0.0)
    check = password_check("schlüssel und mehr")
    assert asyncio.run(check("qeu", "schlüssel und mehr"))
    for user, word in (("qeu", "schlüssel"), ("qeu", ""), ("admin", "schlüssel und mehr")):
        assert not asyncio.run(check(user, word))
    assert not asyncio.run(check("qeu", "\ud83d"))


def test_after_too_many_misses_nobody_comes_in_until_a_minute_has_passed(monkeypatch):
    monkeypatch.setattr(door, "MISS_S", 0.0)
    now = [100.0]
    check = password_check("a long word", clock=lambda: now[0])
    for _ in range(MOST_MISSES):
        assert not asyncio.run(check("qeu", "guess"))
    assert not asyncio.run(check("qeu", "a long word"))
    now[0] += door.MISSES_S
    assert asyncio.run(check("qeu", "a long word"))


def test_an_owner_is_told_who_can_reach_the_page():
    assert access_warning(Settings(), None) == ""
    assert access_warning(Settings(host="0.0.0.0", public=True), None) == ""
    assert access_warning(Settings(host="0.0.0.0", password="a long word"), None) == ""
    assert "QEU_PASSWORD" in access_warning(Settings(host="0.0.0.0"), None)
    assert "No share link" in access_warning(Settings(share=True, public=True), None)
    assert access_warning(Settings(share=True, public=True), "https://x.gradio.live") == ""
