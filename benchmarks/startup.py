"""How fast things start: the package, the page, the first control in a real browser.

`python -m benchmarks.startup [--rounds 5] [--no-browser]`. Every figure is a median; times of the
page are also given as a ratio to importing gradio, measured in turn within the same rounds.
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
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-background-networking"]


def time_import(module: str) -> float:
    """Seconds that `import module` takes in a fresh process, the interpreter's start left out."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def time_process(code: str) -> float:
    """Seconds of a whole process that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - start


def time_page(visit: Callable[[str], None]) -> float:
    """Seconds from starting `python app.py` until `visit(address)` returns."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "QEU_PORT": str(port), "QEU_HOME": home}
        start = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL
        )
        try:
            visit(f"http://127.0.0.1:{port}/")
            return time.perf_counter() - start
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def wait_for_answer(address: str) -> None:
    """Ask until the page answers."""
    for _ in range(3_000):
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(address)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        rows.setdefault(name, []).append(seconds)

    browser = None
    if not options.no_browser:
        from playwright.sync_api import sync_playwright

        play = sync_playwright().start()
        browser = play.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)

    def see(address: str) -> None:
        wait_for_answer(address)
        page = browser.new_page()  # type: ignore[union-attr]
        page.goto(address)
        page.locator("#run-btn").click(trial=True, timeout=60_000)
        page.close()

    for _ in range(options.rounds):
        note("import qeu", time_import("qeu"))
        note("import gradio", time_process("import gradio"))
        note("page answers", time_page(wait_for_answer))
        if browser:
            note("first control usable", time_page(see))
    base = statistics.median(rows["import gradio"])
    print(f"{'what':24} {'median s':>9} {'ratio to import gradio':>24}   goal")
    goals = {
        "import qeu": "0.15 s",
        "page answers": "1.6 x",
        "first control usable": "2.2 x",
    }
    for name, times in rows.items():
        middle = statistics.median(times)
        print(f"{name:24} {middle:9.3f} {middle / base:24.2f}   {goals.get(name, '')}")


if __name__ == "__main__":
    main()
