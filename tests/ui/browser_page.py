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

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-background-networking"]
# Shared machines stall: every wait has many times the time it usually takes.
PATIENCE_MS = 60_000
WIDE, NARROW = (1400, 1000), (390, 844)

# CI sets QEU_REQUIRE_BROWSER=1, and then a missing browser is a failure.
_MISSING = not CHROMIUM.exists() and os.environ.get("QEU_REQUIRE_BROWSER") != "1"
# The marks of all tests of a module.
IN_BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(_MISSING, reason=f"no browser at {CHROMIUM}"),
]


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


@contextmanager
def visited(
    browser, address: str, size: tuple[int, int] = WIDE, locale: str = "en-US"
) -> Iterator[object]:
    """A fresh visitor's page; any error in its scripts fails the test."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, locale=locale)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert errors == []


def set_tokens(page, count: int) -> None:
    """Set "new tokens at most" in the sampling drawer."""
    page.locator("#sampling-btn").click()
    box = page.locator("#common-max_new_tokens input[type=number]")
    box.fill(str(count))
    box.blur()
    page.locator("#sampling-btn").click()


# A short run may begin and end between two looks at the page: the page itself takes note.
NOTE_BUSY = """() => {
  window.wasBusy = false;
  const head = document.querySelector('#left-head');
  new MutationObserver((_, self) => {
    if (head.querySelector('.q-busy')) { window.wasBusy = true; self.disconnect(); }
  }).observe(head, { subtree: true, childList: true, attributes: true });
}"""


def run_to_end(page) -> None:
    """Press Run and wait until both sides have ended."""
    page.evaluate(NOTE_BUSY)
    page.locator("#run-btn").click()
    page.wait_for_function("window.wasBusy")
    for side in ("left", "right"):
        page.locator(f"#{side}-head .q-state:not(.q-busy):not(.q-idle)").wait_for()


def side_text(page, side: str) -> str:
    return page.locator(f"#{side}-text").inner_text()


def choose(page, box: str, option: str) -> None:
    """Choose an entry of a dropdown by its visible name."""
    page.locator(f"#{box} input").click()
    entry = page.get_by_role("option", name=option, exact=True)
    entry.click()
    # it fades away: the same name in the next list would be a second one
    entry.wait_for(state="hidden")
