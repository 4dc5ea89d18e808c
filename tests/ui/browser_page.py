"""The page as a process of its own, for tests that drive it in a real browser."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of a page started as a user starts it, over the workspace in `home`.

    Unless the environment names a folder of adapters there are none, so that both sides open on
    the embedded base.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"QEU_PORT": str(port), "QEU_HOME": str(home)}
    environ = {"QEU_ADAPTERS": str(home / "no-adapters"), **os.environ, **own}
    log = home / "app.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environ, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
    assert "Traceback" not in log.read_text()
