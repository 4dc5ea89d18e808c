"""Groq's and OpenAI's client libraries behind one door: no header leaves that is not needed.

Every request has a connection of its own. A pooled one may just have been closed by the server, and
then nobody knows whether the request was computed; and only a new one tells its socket, which is
what ends a wait for the first byte. Retries of the libraries are off: see hosted_worker.py.
"""

import json
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qeu.backends.hosted_call import (
    MAX_BODY_BYTES,
    Call,
    Cancelled,
    ErrorAnswer,
    Patience,
    Unreadable,
    time_limit,
)
from qeu.backends.hosted_whole import read_whole
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from qeu.backends.hosted_request import HostedRequest

MAX_LINE_BYTES = 1_000_000
PROBE_S = 2.0
# The libraries add headers on this machine and from OPENAI_*/GROQ_* variables; a server that
# somebody typed has no business with either.
_HEADERS = {
    "host", "accept", "accept-encoding", "connection", "user-agent", "content-type",
    "content-length",
}  # fmt: skip


class HostedClient:
    """One address with one key. `who` names it in sentences, where the key never stands."""

    def __init__(
        self, address: str, key: str | None, *, groq: bool = False, patience: Patience | None = None
    ) -> None:
        self.patience = patience or Patience()
        self.groq = groq
        self.host = urlsplit(address).hostname or ""
        self.who = "Groq" if groq else urlsplit(address).netloc
        self.root = address.rstrip("/").removesuffix("/openai/v1" if groq else "/v1")
        self.has_key = bool(key)
        self._key = key or ""
        self._local = threading.local()
        self._http, self._sdk = self._make(self.root if groq else self._base(address))

    def __repr__(self) -> str:
        return f"HostedClient({self.who!r})"

    @property
    def versions(self) -> dict[str, str]:
        """The client library, for receipts."""
        name = "groq" if self.groq else "openai"
        return {name: version(name)}

    def hide(self, text: str) -> str:
        """The text without the key, in case that a server repeats it."""
        return text.replace(self._key, "…") if self._key else text

    def open(
        self, call: Call, request: "HostedRequest"
    ) -> tuple[Generator[Any, None, None], Mapping[str, str]]:
        """Send a request; its chunks and the answer's headers. Raises what the library raises."""
        self._local.call = call
        try:
            if request.path == "chat":
                stream = self._sdk.chat.completions.create(
                    model=request.model,
                    messages=request.messages,
                    stream=True,
                    extra_body=request.extra,
                )
            else:
                stream = self._sdk.completions.create(
                    model=request.model, prompt=request.text, stream=True, extra_body=request.extra
                )
        finally:
            self._local.call = None
        call.began = True
        return self._chunks(stream, call), stream.response.headers

    def list_models(self, call: Call) -> list[dict[str, Any]]:
        """The server's own list, each entry as it wrote it. Raises what the library raises."""
        call.silent_s = self.patience.connect_s
        self._local.call = call
        try:
            with time_limit(call, 2 * call.silent_s):
                asking = self._sdk.with_options(timeout=call.silent_s)
                # the answer as it is: its `models.list` makes objects of it, and fails at words
                path = "/openai/v1/models" if self.groq else "/models"
                body = asking.get(path, cast_to=self._lib.Response).content
        finally:
            self._local.call = None
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as e:
            raise Unreadable(what="no JSON") from e
        if isinstance(found, dict) and found.get("error"):
            raise ErrorAnswer(found)
        entries = found.get("data") if isinstance(found, dict) else None
        if not isinstance(entries, list):
            raise Unreadable(what="JSON of another shape")
        return [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

    def probe(self, path: str, timeout_s: float = PROBE_S) -> Any:
        """What the server's root tells at a path, read as JSON; None where it tells nothing."""
        call = self._local.call = Call()
        try:
            with time_limit(call, timeout_s):
                answer = self._http.get(self.root + path, timeout=timeout_s)
            return answer.json() if answer.status_code == 200 else None
        except (self._lib.HTTPError, Cancelled, Unreadable, ValueError, OSError, RecursionError):
            return None  # a server without this path is no failure
        finally:
            self._local.call = None

    def close(self) -> None:
        """Let go of the connections and the key."""
        self._http.close()
        self._key = ""

    def _base(self, address: str) -> str:
        """Where the paths begin: servers that give a bare host want /v1."""
        return address.rstrip("/") + ("" if urlsplit(address).path.strip("/") else "/v1")

    def _make(self, base: str) -> tuple[Any, Any]:
        name = "groq" if self.groq else "openai"
        try:
            sdk, self._lib = import_module(name), import_module("httpx" if self.groq else "httpx2")
        except ImportError as e:
            raise QeuError(f"The package {name} is missing. Run: pip install {name}") from e
        longest_s = max(self.patience.first_byte_s, self.patience.chunk_s)
        timeout = self._lib.Timeout(
            # a little more than our own clock allows, so that our sentence comes first
            connect=self.patience.connect_s,
            read=longest_s + 5.0,
            write=longest_s,
            pool=None,
        )
        http = sdk.DefaultHttpxClient(
            timeout=timeout,
            verify=_tls(self._lib),
            follow_redirects=False,  # neither a key nor a prompt goes where nobody sent it
            limits=self._lib.Limits(max_connections=None, max_keepalive_connections=0),
            event_hooks={"request": [self._on_request], "response": [self._on_response]},
        )
        client = sdk.Groq if self.groq else sdk.OpenAI
        # "none": the libraries want a key; the header is ours in any case
        made = client(
            api_key="none", base_url=base, max_retries=0, timeout=timeout, http_client=http
        )
        return http, made

    def _on_request(self, request: Any) -> None:
        for name in list(request.headers):
            if name.lower() not in _HEADERS:
                del request.headers[name]
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        # compressed, a small body could become a huge one here
        request.headers["Accept-Encoding"] = "identity"
        if call := getattr(self._local, "call", None):
            request.extensions = {**request.extensions, "trace": call.trace}

    def _on_response(self, response: Any) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Unreadable(what="a compressed answer, though it was asked for a plain one")
        call = getattr(self._local, "call", None)
        is_events = "event-stream" in response.headers.get("content-type", "")
        response.stream = _guarded(self._lib, response.stream, call, is_events)

    def _chunks(self, stream: Any, call: Call) -> Generator[Any, None, None]:
        came = False
        try:
            for chunk in stream:
                came = True
                yield chunk
        finally:
            stream.response.close()
        if not came and call.whole:
            yield read_whole(call.whole)


@lru_cache
def _tls(lib: Any) -> ssl.SSLContext:
    """Trust as the library has it, read from disk once: every client's own would take 30 ms."""
    return lib.create_ssl_context()  # type: ignore[no-any-return]


def _guarded(lib: Any, inner: Any, call: Call | None, is_events: bool) -> Any:
    """The same bytes, with an end to lines and bodies without end, and a look at the clock."""

    class Guarded(lib.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in inner:
                if call is not None:
                    call.last_byte_at = time.perf_counter()
                    call.keep(chunk)
                if is_events:
                    size = _longest_line(size, chunk)
                    if size > MAX_LINE_BYTES:
                        raise Unreadable(what=f"a line of more than {MAX_LINE_BYTES:,} bytes")
                    if b"\n" in chunk:
                        size = len(chunk) - 1 - chunk.rindex(b"\n")
                else:
                    size += len(chunk)
                    if size > MAX_BODY_BYTES:
                        raise Unreadable(what=f"an answer of more than {MAX_BODY_BYTES:,} bytes")
                yield chunk

        def close(self) -> None:
            inner.close()

    return Guarded()


def _longest_line(begun: int, chunk: bytes) -> int:
    """Bytes of the longest line that `chunk` completes or goes on with; `begun` came before."""
    first, *others = chunk.split(b"\n")
    return max(begun + len(first), *map(len, others), 0)
