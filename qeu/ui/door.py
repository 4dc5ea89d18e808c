"""Who comes in and with what: the page's password, and what a public page does not even read."""

import asyncio
import hmac
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from qeu.core.settings import USER

# Texts of a form are far shorter; files come another way, which has a limit of its own.
MOST_BODY_BYTES = 2_000_000
UPLOAD = "/gradio_api/upload"
FILE = "/gradio_api/file="
# So many wrong passwords a minute, then none is looked at: guessing a word list takes years.
MOST_MISSES, MISSES_S = 10, 60.0
MISS_S = 0.5

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def password_check(
    password: str, clock: Callable[[], float] = time.monotonic
) -> Callable[[str, str], Awaitable[bool]]:
    """Whether a name and a password are the page's; slow to guess at, from wherever it is tried."""
    expected = password.encode()
    misses: deque[float] = deque(maxlen=MOST_MISSES)

    async def check(user: str, given: str) -> bool:
        if len(misses) == MOST_MISSES and clock() - misses[0] < MISSES_S:
            return False
        same = hmac.compare_digest(given.encode("utf-8", "replace"), expected)
        if same and user == USER:
            return True
        misses.append(clock())
        await asyncio.sleep(MISS_S)
        return False

    return check


class PublicDoor:
    """In front of a public page: refuses addresses to fetch and bodies too large to be a form's.

    Gradio fetches an address that stands where a file is expected, for whoever asks; it refuses
    those of a private network, but a public page should fetch nothing for strangers at all.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403 or 413."""
        if scope["type"] != "http" or scope["path"].startswith(UPLOAD):
            return await self._app(scope, receive, send)
        if is_address(scope["path"].partition(FILE)[2]):
            return await _refuse(send, 403, "Addresses are not fetched on a public page.")
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            return await self._app(scope, receive, send)
        body = await _read(receive)
        if body is None:
            told = f"More than {MOST_BODY_BYTES:,} bytes are not taken on a public page."
            return await _refuse(send, 413, told)
        if holds_address(body):
            return await _refuse(send, 403, "Addresses are not fetched on a public page.")
        return await self._app(scope, _replay(body, receive), send)


def is_address(text: object) -> bool:
    """Whether a text is an address that would be fetched, with one slash or two, in any case."""
    return isinstance(text, str) and text.strip().lower().startswith(("http:", "https:"))


def holds_address(body: bytes) -> bool:
    """Whether a JSON body names a file by its address; what is no JSON names none."""
    try:
        todo = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if is_address(value.get("path")):
                return True
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
    return False


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None as soon as it is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > MOST_BODY_BYTES:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """What gives the body that was read once more, then whatever comes after it."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
