"""What an opened page costs a browser, with and without the news of progress that nobody sees.

`python -m benchmarks.page_opening [--rounds 5]`. Two pages, one as we serve it and one without
`qeu.ui.listeners.hush_progress`, are opened in turn in real Chromium until the line above the sides
stands. Figures are medians and their ratio: seconds, and seconds of work in the page's own process;
and how many answers the page asks for until it is quiet, which no tab that is not open adds to.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.startup import CHROMIUM, CHROMIUM_FLAGS, ROOT

PLAIN = """
import runpy, qeu.ui.app
qeu.ui.app.hush_progress = lambda demo: None
runpy.run_path("app.py", run_name="__main__")
"""
# A page that asks for nothing for so long is quiet.
QUIET_S = 3
KINDS = {"as we serve it": ["app.py"], "all progress told": ["-c", PLAIN]}


@contextmanager
def serving(arguments: list[str]) -> Iterator[str]:
    """The address of a page in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "QEU_PORT": str(port), "QEU_HOME": home}
        server = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL
        )
        address = f"http://127.0.0.1:{port}/"
        try:
            while True:
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except OSError:
                    if server.poll() is not None:
                        sys.exit("The page did not start.")
                    time.sleep(0.2)
            yield address
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def open_once(browser, address: str) -> tuple[float, float, int]:
    """Seconds until the page is ready, seconds of its work by then; answers asked for in all."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, locale="en-US")
    page = context.new_page()
    asked: list[float] = []
    page.on(
        "request",
        lambda request: asked.append(time.monotonic()) if "/queue/join" in request.url else None,
    )
    meter = context.new_cdp_session(page)
    meter.send("Performance.enable")
    start = time.perf_counter()
    page.goto(address)
    page.locator("#model-status .q-stop").wait_for(timeout=120_000)
    page.locator("#pair p").wait_for(timeout=120_000)
    took = time.perf_counter() - start
    metrics = meter.send("Performance.getMetrics")["metrics"]
    while time.monotonic() < asked[-1] + QUIET_S:
        page.wait_for_timeout(100)
    context.close()
    return took, next(m["value"] for m in metrics if m["name"] == "TaskDuration"), len(asked)


def main() -> None:
    """Open both pages in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    from playwright.sync_api import sync_playwright

    found: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        addresses = {kind: stack.enter_context(serving(args)) for kind, args in KINDS.items()}
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        for address in addresses.values():
            open_once(browser, address)  # the first visit waits for the model
        for _ in range(rounds):
            for kind, address in addresses.items():
                found[kind].append(open_once(browser, address))
        browser.close()
    for at, what in enumerate(("until ready", "work of the page")):
        ours, plain = (statistics.median(one[at] for one in found[kind]) for kind in KINDS)
        print(f"{what:18}{ours:6.2f} s against {plain:.2f} s: {ours / plain:.2f}")
    counts = sorted({one[2] for one in found["as we serve it"]})
    print(f"{'answers asked for':18}{', '.join(map(str, counts))}")


if __name__ == "__main__":
    main()
