"""A local server that speaks the wire format of Groq or of OpenAI-like servers, with faults.

`python -m tests.wire_server --kind groq` runs it as a process of its own: it prints its address,
and ends when its standard input does.
"""

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

from tests.wire_faults import Fault, FaultKind, Seen, rate_limited
from tests.wire_handler import Handler, Listener
from tests.wire_shapes import GROQ_RATES, KINDS, MODELS, REJECTED, Kind, model_card

__all__ = ["WORDS", "Fault", "FaultKind", "Seen", "WireProcess", "WireServer", "rate_limited"]

ROOT = Path(__file__).parent.parent
WORDS = ("Hello", ",", " world", ".", " こん", "にちは", " 🌍")


class WireServer:
    """Answers completion requests with `words`; use it as a context.

    `delay_s` passes before every event. `faults` are used up one a completion request, in order.
    With `key` any other Authorization header gets 401. `rejects` are parameters refused with
    `rejects_status` (the default: what that kind of server refuses). `headers` go with every
    completion. With `stamps` every piece of text begins with the time at which it was sent, in
    nanoseconds of the machine's monotonic clock, in brackets. `port` 0 takes a free one.
    """

    def __init__(
        self,
        kind: Kind = "openai",
        *,
        faults: Iterable[Fault] = (),
        words: Sequence[str] = WORDS,
        thinking: Sequence[str] = (),
        models: Sequence[str | Mapping[str, object]] | None = None,
        delay_s: float = 0.0,
        key: str | None = None,
        rejects: Sequence[str] | None = None,
        rejects_status: int | None = None,
        headers: Mapping[str, str] | None = None,
        thinking_field: str | None = None,
        stamps: bool = False,
        port: int = 0,
    ) -> None:
        self.kind, self.words, self.thinking = kind, tuple(words), tuple(thinking)
        self.cards = [model_card(kind, m) for m in (MODELS[kind] if models is None else models)]
        self.delay_s, self.key, self.thinking_field = delay_s, key, thinking_field
        self.rejects = REJECTED[kind] if rejects is None else tuple(rejects)
        self.rejects_status = rejects_status or (422 if kind == "transformers" else 400)
        given = GROQ_RATES if kind == "groq" else {}
        self.headers = dict(given if headers is None else headers)
        self.stamps = stamps
        self.seen: list[Seen] = []
        self.paid = self.in_flight = self.in_flight_max = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._faults = iter(faults)
        handler = type("Handler", (Handler,), {"wire": self})
        self._http = Listener(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        """The root; clients of OpenAI's form want "/v1" after it."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def tls_address(self) -> str:
        """The same listener called by https, which it does not speak."""
        return self.address.replace("http:", "https:")

    @property
    def completions(self) -> list[Seen]:
        """The completion requests among `seen`."""
        return [seen for seen in self.seen if seen.path.endswith("/completions")]

    def __enter__(self) -> "WireServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.drop_connections()

    def take_fault(self) -> Fault:
        """The next fault, for one completion request."""
        with self.lock:
            return next(self._faults, None) or Fault("none")

    def count_in(self) -> None:
        """A completion request arrived."""
        with self.lock:
            self.in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight)

    def count_out(self) -> None:
        """A completion request is over."""
        with self.lock:
            self.in_flight -= 1

    def pay(self, seen: Seen) -> None:
        """A piece of this request's text reached the client: it costs from here on."""
        with self.lock:
            self.paid += not seen.paid
            seen.paid = True

    def counts(self) -> dict[str, int]:
        """The counters, as the path /_wire tells them too."""
        with self.lock:
            return {
                "requests": len(self.completions),
                "paid": self.paid,
                "in_flight": self.in_flight,
                "in_flight_max": self.in_flight_max,
            }


class WireProcess:
    """The same server as a process of its own, for measurements; use it as a context."""

    def __init__(
        self,
        kind: Kind = "openai",
        *,
        words: int = 200,
        delay_s: float = 0.0,
        stamps: bool = False,
    ) -> None:
        command = [sys.executable, "-m", "tests.wire_server", "--kind", kind]
        self._command = [*command, "--words", str(words), "--delay", str(delay_s)]
        self._command += ["--stamps"] if stamps else []
        self.address = ""

    def __enter__(self) -> "WireProcess":
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._child.stdout
        self.address = self._child.stdout.readline().strip()
        assert self.address, "the wire server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate("", timeout=30)

    def counts(self) -> dict[str, int]:
        """The counters of the server."""
        with urlopen(f"{self.address}/_wire", timeout=30) as answer:
            return json.load(answer)  # type: ignore[no-any-return]


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="openai")
    parser.add_argument("--words", type=int, default=0, help="number of words; 0: the usual ones")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before every event")
    parser.add_argument("--stamps", action="store_true", help="write sending times into the text")
    options = parser.parse_args()
    words = [f" word{number}" for number in range(options.words)] or WORDS
    server = WireServer(options.kind, words=words, delay_s=options.delay, stamps=options.stamps)
    with server:
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
