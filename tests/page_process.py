"""The page as a process of its own and a visitor who sends what no browser would send."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
# Everything that any library logs at all is in the log that the tests search.
_START = (
    "import logging, runpy, sys; sys.argv = ['app.py']; logging.basicConfig(level=logging.DEBUG); "
    "runpy.run_path('app.py', run_name='__main__')"
)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Page:
    """A started page: its address and what it has written."""

    port: int
    home: Path
    process: subprocess.Popen
    log_file: Path

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All it wrote so far, to standard output and standard error."""
        return self.log_file.read_text("utf-8", "replace")

    def errors(self) -> list[str]:
        """The last line of every traceback in the log."""
        found: list[str] = []
        inside = False
        for line in self.log.splitlines():
            if line.startswith("Traceback"):
                inside = True
            elif inside and line.strip() and not line.startswith((" ", "During", "The above")):
                found.append(line)
                inside = False
        return found

    def wait(self, timeout_s: float = 120.0) -> "Page":
        """Until it answers."""
        end = time.monotonic() + timeout_s
        while "(Ctrl-C ends it)" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.1)
        return self

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_page(home: Path, environ: Mapping[str, str]) -> Page:
    """Start `app.py` with these settings and none of the tests' own; call `wait` on it."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    own = ("QEU_", "SPACE_", "GRADIO_", "GROQ_", "OPENAI_", "HF_TOKEN")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    log_file = home / "page.log"
    settings = {"QEU_PORT": str(port), "QEU_HOME": str(home / "workspace"), "QEU_DEVICE": "cpu"}
    settings |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(home / "files")}
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _START],
            cwd=ROOT,
            env=plain | settings | dict(environ),
            stdout=log,
            stderr=log,
        )
    return Page(port, home, process, log_file)


@dataclass
class Visitor:
    """One browser tab's worth of requests. `login` is the password of a page that has one."""

    page: Page
    login: str = ""
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.page.url, timeout=120, trust_env=False)
        if self.login:
            answer = self.http.post("/login", data={"username": "qeu", "password": self.login})
            assert answer.status_code == 200, answer.text
        self.config = self.http.get("/config").json()
        parts = self.config["components"]
        self.parts = {part["id"]: part["props"] for part in parts}
        self.ids = {props["elem_id"]: i for i, props in self.parts.items() if props.get("elem_id")}

    def press(
        self, elem_id: str, event: str = "click", event_data: object = None, **values: object
    ) -> str:
        """Do as the page does on an event, with other `values` by elem_id (- written as _).

        All that came back, as one JSON text.
        """
        (found,) = self.listeners(self.ids[elem_id], event)
        given = {self.ids[name.replace("_", "-")]: value for name, value in values.items()}
        missing = set(given) - set(found["inputs"])
        assert not missing, f"{elem_id} reads nothing of {missing}"
        return self.send(found, given, event_data)

    def listeners(self, part: int, event: str) -> list[dict]:
        """What listens to an event of a part and is answered by the server."""
        return [
            d
            for d in self.config["dependencies"]
            if [part, event] in [list(t) for t in d["targets"]] and (d["backend_fn"] or d["inputs"])
        ]

    def send(
        self, found: dict, given: Mapping[int, object] | None = None, event_data: object = None
    ) -> str:
        """Wake one listener, with other values than the parts' first ones by their numbers."""
        data = [(given or {}).get(i, self.parts[i].get("value")) for i in found["inputs"]]
        body = {"data": data, "fn_index": found["id"], "session_hash": self.session}
        body["event_data"] = event_data
        if found["queue"] is False:
            return self.http.post("/gradio_api/run/predict", json=body).text
        joined = self.http.post("/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            return joined.text
        return self._read(joined.json()["event_id"])

    def _read(self, event_id: str) -> str:
        told: list[object] = []
        with self.http.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.session}
        ) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    told.append(message)
                    if message["msg"] == "process_completed" and message["event_id"] == event_id:
                        break
        return json.dumps(told, ensure_ascii=False)

    def call(self, name: str, **values: object) -> object:
        """The result of an API function, or its error as an exception with the text."""
        posted = self.http.post(f"/gradio_api/call/v2/{name}", json=values)
        assert posted.status_code == 200, posted.text
        answer = self.http.get(f"/gradio_api/call/{name}/{posted.json()['event_id']}").text
        kind, _, data = answer.strip().rpartition("event: ")[2].partition("\ndata: ")
        if kind != "complete":
            raise Refused(data)
        return json.loads(data)[0]

    def refused(self, **values: object) -> str:
        """The sentence with which /compare refuses these values; fails where it does not."""
        try:
            done = self.call("compare", **{"instruction": "Hi", **values})
        except Refused as refused:
            return str(refused)
        raise AssertionError(f"not refused: {done}")


class Refused(Exception):
    """An API function answered with an error."""


@contextmanager
def tripwire() -> Iterator["Tripwire"]:
    """A server on this machine that no visitor may make the page ask."""
    wire = Tripwire()
    thread = threading.Thread(target=wire.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.http.shutdown()
        wire.http.server_close()


class Tripwire:
    """Counts who comes."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wire.paths.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"tripped")

            do_POST = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"
