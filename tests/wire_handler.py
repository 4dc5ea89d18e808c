"""One connection of the wire server: its paths, its answers, and the faults at the socket."""

import json
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.wire_answers import Answer, find_refusal, make_answer
from tests.wire_faults import Fault, Seen
from tests.wire_shapes import about, encode, error_body

if TYPE_CHECKING:
    from tests.wire_server import WireServer

POLL_S = 0.1
_CARRIER = re.compile(rb'"(?:content|text|reasoning|reasoning_content)": "')


class Listener(ThreadingHTTPServer):
    """Threads that end with the process, and connections that can be dropped."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args: object) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)  # type: ignore[arg-type]

    def process_request(self, request: socket.socket, client_address: object) -> None:
        """Keep the connection in mind while its thread runs."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget the connection and close it."""
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """End every connection that is still open, idle ones of a client's pool too."""
        for request in list(self._open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # its thread closed it just now

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are part of the play; anything else is a fault of this server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1, kept open between requests as real servers do."""

    wire: "WireServer"
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Answer a TLS greeting in plain text at once, as a plain server's front does."""
        if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
        super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The model list, and what this kind of server tells of itself."""
        seen = self._see()
        if self.path == "/_wire":
            self._send(200, encode(self.wire.counts()))
        elif not self._allowed():
            return
        elif self.path == f"{self._prefix}/models":
            self._send(200, encode({"object": "list", "data": self.wire.cards}))
        elif (told := about(self.wire.kind, self.path)) is not None:
            self._send(200, encode(told))
        else:
            self._not_found(seen)

    def do_POST(self) -> None:
        """A completion, well or with the next fault."""
        chat = self.path == f"{self._prefix}/chat/completions"
        text = self.path == f"{self._prefix}/completions" and self.wire.kind != "groq"
        seen = self._see()
        if not (chat or text):
            self._read()
            self._not_found(seen)
            return
        self.wire.count_in()
        try:
            fault = self.wire.take_fault()
            seen.fault = fault.kind
            if fault.kind == "refuse":
                self._reset()
            elif self._prepare(seen, fault) and self._allowed():
                self._complete(seen, fault, chat)
        finally:
            self.wire.count_out()

    @property
    def _prefix(self) -> str:
        return "/openai/v1" if self.wire.kind == "groq" else "/v1"

    def _see(self) -> Seen:
        names = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, names)
        if self.path != "/_wire":
            self.wire.seen.append(seen)
        return seen

    def _read(self) -> object:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            return json.loads(raw)
        except ValueError:
            return None

    def _prepare(self, seen: Seen, fault: Fault) -> bool:
        """Read the request and play faults that come before any answer; False: it is over."""
        seen.body = self._read()
        if fault.kind == "status":
            body = fault.body
            if body is None:
                text = "Rate limit reached" if fault.status == 429 else "Internal Server Error"
                body = error_body(self.wire.kind, fault.status, text, type_="internal_server_error")
            html = isinstance(body, str)
            data = body.encode() if isinstance(body, str) else encode(body)
            self._send(fault.status, data, fault.headers, "text/html" if html else None)
            return False
        if fault.kind in ("hang", "slow_first_byte"):
            left = self._wait(None if fault.kind == "hang" else fault.seconds)
            if left or fault.kind == "hang":
                self.close_connection = True
                return False
        return True

    def _complete(self, seen: Seen, fault: Fault, chat: bool) -> None:
        wire = self.wire
        names = [str(card["id"]) for card in wire.cards]
        refusal = find_refusal(wire.kind, seen.body, names, wire.rejects, wire.rejects_status)
        if refusal:
            self._send(refusal[0], encode(refusal[1]))
            return
        assert isinstance(seen.body, dict)
        answer = make_answer(
            wire.kind, seen.body, chat, wire.words, wire.thinking, wire.thinking_field
        )
        if seen.body.get("stream"):
            self._stream(seen, fault, answer)
            return
        if wire.delay_s and self._wait(wire.delay_s * len(answer.words)):
            self.close_connection = True
            return
        wire.pay(seen)
        if fault.kind.startswith("cut"):
            self._head(200, wire.headers, "application/json", len(answer.whole()))
            self.wfile.write(answer.whole()[: len(answer.whole()) // 2])
            self.close_connection = True
        else:
            body = b'{"id": "chatcmpl' if fault.kind == "malformed" else answer.whole()
            self._send(200, body, wire.headers)

    def _stream(self, seen: Seen, fault: Fault, answer: Answer) -> None:
        self._head(200, self.wire.headers, "text/event-stream; charset=utf-8", None)
        carried = 0
        for carries, event in answer.events():
            if carries and carried == fault.after_events:
                if self._break(fault, event):
                    return
                if fault.kind == "long_line":
                    event = _widen(event, b"x" * fault.size)
            if self._wait(self.wire.delay_s):
                self.close_connection = True
                return
            if carries and self.wire.stamps:
                event = _widen(event, f"[{time.monotonic_ns()}]".encode())
            self._chunk(b"data: " + event + b"\n\n", split=fault.kind == "split_utf8")
            if carries:
                carried += 1
                self.wire.pay(seen)
        if self.wire.kind != "transformers":  # it ends without the line that others end with
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _break(self, fault: Fault, event: bytes) -> bool:
        """Play a fault in place of an event; True: the stream is over."""
        if fault.kind == "cut_utf8":
            broken = _widen(event, "日本".encode())
            self._chunk(b"data: " + broken[: broken.index("本".encode()) + 1])
        elif fault.kind == "malformed":
            self._chunk(b"data: " + event[: len(event) // 2] + b"\n\n")
            self._chunk(b"data: [DONE]\n\n")
        elif fault.kind == "error_event":
            self._chunk(
                b"data: " + encode(error_body(self.wire.kind, 500, "The model crashed.")) + b"\n\n"
            )
        elif fault.kind != "cut":
            return False
        if fault.clean or fault.kind in ("malformed", "error_event"):
            self._chunk(b"")
        else:
            self.close_connection = True
        return True

    def _chunk(self, data: bytes, *, split: bool = False) -> None:
        """One packet of the body; an empty one ends it."""
        for part in [data[i : i + 1] for i in range(len(data))] if split else [data]:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _head(
        self, status: int, headers: Mapping[str, str], content: str, length: int | None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", content)
        if length is None:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        content: str | None = None,
    ) -> None:
        self._head(status, headers or {}, content or "application/json", len(body))
        self.wfile.write(body)

    def _allowed(self) -> bool:
        key = self.wire.key
        if key is None or self.headers.get("authorization") == f"Bearer {key}":
            return True
        body = error_body(self.wire.kind, 401, "Invalid API Key", code="invalid_api_key")
        self._send(401, encode(body))
        return False

    def _not_found(self, seen: Seen) -> None:
        text = f"Unknown request URL: {seen.method} {seen.path}."
        self._send(404, encode(error_body(self.wire.kind, 404, text, code="unknown_url")))

    def _reset(self) -> None:
        """Close without a word: the client sees a reset connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _wait(self, seconds: float | None) -> bool:
        """Wait (None: for ever); True when the client left or the server closes before."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self.wire.closing.is_set():
            rest = POLL_S if end is None else min(POLL_S, max(0.0, end - time.monotonic()))
            if select.select([self.connection], [], [], rest)[0]:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return True
                time.sleep(rest)  # the client sent its next request early: let it wait
            if end is not None and time.monotonic() >= end:
                return False
        return True


def _widen(event: bytes, more: bytes) -> bytes:
    """The event with more text at its beginning, whatever the field that carries it."""
    found = _CARRIER.search(event)
    assert found, event
    return event[: found.end()] + more + event[found.end() :]
