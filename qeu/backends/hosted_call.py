"""One request under way: how long it may take, what is known of it, and how it is ended."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 8_000_000  # of a list of models, an error, or an answer in one piece
_MARK_SENT = ("send_request_headers.started",)
_NOT_EVENTS = (b"{", b"[", b"<")  # no line of a stream of events begins so


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try again; tests shorten them.

    A list of models must be there within twice `connect_s`. `attempts` counts requests that were
    certainly not computed, `rate_attempts` refusals.
    """

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    chunk_s: float = 60.0
    total_s: float = 1_800.0
    attempts: int = 4
    rate_attempts: int = 12
    first_backoff_s: float = 0.5
    longest_backoff_s: float = 8.0


class Unreadable(Exception):
    """The server sent what no client can read; `what` says so in a few words."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class ErrorAnswer(Exception):
    """The server called its answer a good one, but it holds an error; `body` is its JSON."""

    def __init__(self, body: Mapping[str, object]) -> None:
        super().__init__("an error in place of an answer")
        self.body = body


class Cancelled(Exception):
    """Raised inside a library's call when nobody wants its answer any more."""


class Call:
    """One request under way: what is known of it from outside the thread that waits for it."""

    def __init__(self) -> None:
        self.sent_at = 0.0  # 0: nothing of it has left this machine
        self.last_byte_at = 0.0
        self.began = False  # the answer's head came, and it was a good one
        self.silent_s = 0.0  # how long a silence was borne, where it was not the ordinary time
        self.expired_s = 0.0  # the time after which it was ended, if it was
        self.cancelled = threading.Event()
        self._body: bytearray | None = bytearray()
        self._stream: Any = None
        self._lock = threading.Lock()

    @property
    def whole(self) -> bytes:
        """The answer's body, if it began like JSON or a page; b"" for a stream of events."""
        return bytes(self._body or b"")

    def keep(self, chunk: bytes) -> None:
        """Look at bytes of the answer, and keep them if they are no stream of events."""
        if self._body is None:
            return
        begun = bool(self._body)
        if not begun and not (chunk := chunk.lstrip()):
            return
        if begun or chunk.startswith(_NOT_EVENTS):
            self._body += chunk
        if (not begun and not self._body) or len(self._body) > MAX_BODY_BYTES:
            self._body = None

    def cancel(self) -> None:
        """End it from any thread, also while it waits for its first byte."""
        with self._lock:
            self.cancelled.set()
            stream = self._stream
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None:
            try:
                # not SSLSocket's own shutdown: it takes the TLS object from under the reader
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # closed already

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Hear of the connection's steps; the transport calls this."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._stream = info.get("return_value")
        if self.cancelled.is_set() and not name.endswith((".failed", "closed.started")):
            raise Cancelled
        if name.endswith(_MARK_SENT):
            self.sent_at = time.perf_counter()


@contextmanager
def time_limit(call: Call, seconds: float) -> Iterator[None]:
    """End the call `seconds` from now, however much it dribbles; the client's own limits do not."""

    def expire() -> None:
        call.expired_s = seconds
        call.cancel()

    timer = threading.Timer(seconds, expire)
    timer.name, timer.daemon = "qeu-hosted-limit", True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
