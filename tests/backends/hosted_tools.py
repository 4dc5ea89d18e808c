"""What tests of hosted models share: short times, a model on a wire server, a raw socket server."""

import socket
import threading
from collections.abc import Callable

from qeu.backends.base import Row
from qeu.backends.catalog import find_model
from qeu.backends.hosted import HostedModel
from qeu.backends.hosted_client import Patience
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.core.prompts import Message, Prompt, Segment, render
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from tests.wire_server import WORDS, WireServer

TEXT = "".join(WORDS)
KEY = "gsk_tell-nobody-0123456789"
QUICK = Patience(
    connect_s=5.0,
    first_byte_s=90.0,
    chunk_s=90.0,
    attempts=3,
    rate_attempts=3,
    first_backoff_s=0.001,
    longest_backoff_s=0.002,
)
PATIENCE_S = 30.0


def keyring_for(server: WireServer, key: str = KEY) -> Keyring:
    """The keyring that finds this server."""
    if server.kind == "groq":
        return Keyring({"groq": key}, {"groq": server.address})
    return Keyring({"server": key}, {"server": f"{server.address}/v1"})


def open_model(
    server: WireServer, name: str = "", patience: Patience = QUICK, key: str = KEY
) -> HostedModel:
    """A model of the server, the first that it lists unless named."""
    provider = "groq" if server.kind == "groq" else "server"
    name = name or str(server.cards[0]["id"])
    return HostedPool(patience).open(find_model(f"{provider}/{name}"), keyring_for(server, key))


def open_raw(server: "RawServer", patience: Patience = QUICK) -> HostedModel:
    """A model of a server that lists none."""
    keyring = Keyring({"server": KEY}, {"server": server.address})
    return HostedPool(patience).open(find_model("server/any"), keyring)


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until it is true; the test fails where it never is."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came true")


def chat(question: str = "Say hello.", target: str = "answer") -> Prompt:
    """A chat prompt of one turn."""
    return Prompt("chat", target, messages=(Message("user", (Segment("instruction", question),)),))


def tagged(target: str = "answer", layout: str = "bonsai-v2") -> Prompt:
    """A prompt in a tagged layout."""
    return render(Record(instruction="Say hello."), layout, ROLES["logician"], target).prompt


def row(prompt: Prompt | None = None, stop: threading.Event | None = None, **settings) -> Row:
    """A row with some settings."""
    return Row(prompt or chat(), Sampling(**settings), stop=stop)


class RawServer:
    """Hands every connection to `answer`, after its request was read; use it as a context."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None]) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # a listener that is only closed would wait for one more connection
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = _read_request(connection)
                self.requests.append(request)
                self._answer(connection, request)
            except OSError:
                return  # the client left


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
            while len(body) < length:
                body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def reply(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    """A whole HTTP answer that closes the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
