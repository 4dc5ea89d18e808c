"""A real OpenAI-compatible server for tests: `transformers serve` with the embedded model."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

MODEL = "qeu-tests/smollm2-135m"
START_S = 180.0


@dataclass(frozen=True)
class RealServer:
    """Where it answers (without "/v1") and the one model that it lists."""

    address: str
    model: str


@contextlib.contextmanager
def serve_transformers(weights: Path) -> Iterator[RealServer]:
    """Serve a folder of weights on a free port; the process ends with the block.

    It lists what lies in the Hub cache only, and answers 500 where there is none: so the folder is
    linked into a cache of its own, under the id MODEL.
    """
    with tempfile.TemporaryDirectory(prefix="qeu-serve-") as home:
        folder = Path(home)
        _link_hub_cache(folder / "hub", weights)
        port, log = _free_port(), folder / "server.log"
        environ = {
            **os.environ,
            "HF_HOME": home,
            "HF_HUB_CACHE": str(folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", MODEL]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
        with log.open("wb") as out:
            child = subprocess.Popen(
                command, cwd=home, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_up(address, child, log)
            yield RealServer(address, MODEL)
        finally:
            _end(child)


def _link_hub_cache(cache: Path, weights: Path) -> None:
    """The layout in which the Hub client finds MODEL without a network."""
    commit = "0" * 40
    repo = cache / f"models--{MODEL.replace('/', '--')}"
    snapshot, blobs = repo / "snapshots" / commit, repo / "blobs"
    for made in (snapshot, blobs, repo / "refs"):
        made.mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit, "utf-8")
    for number, path in enumerate(sorted(weights.iterdir())):
        if path.is_file():
            blob = blobs / f"{number:040x}"
            try:
                os.link(path, blob)
            except OSError:  # another disk
                shutil.copyfile(path, blob)
            (snapshot / path.name).symlink_to(blob)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(address: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if child.poll() is not None:
            break
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    tail = log.read_text("utf-8", "replace")[-2_000:]
    raise RuntimeError(f"transformers serve did not start (exit {child.poll()}): {tail}")


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask it to end; it may be in the middle of an answer, so do not wait for long."""
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(10)
