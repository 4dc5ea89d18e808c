"""Streaming two sides into a real browser against a bare `generate` of the same tokens.

`python -m benchmarks.page [--rounds 5]`. In every round the page's Run is clicked in Chromium and
timed until both sides have ended; then the same two prompts go through transformers' `generate` as
one batch with as many new tokens, by transformers' own copy of the weights, in this process,
nothing shown. Goal: the page takes at most 1.1 x the time.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlencode

from benchmarks.startup import CHROMIUM, CHROMIUM_FLAGS, ROOT, wait_for_answer
from benchmarks.stock import load_stock
from qeu.backends.shelf import Shelf
from qeu.core.settings import Settings
from qeu.services.link import from_query

TOKENS = 96
PORT = 7_990
QUERY = {
    "q": "Write a long and detailed history of the lighthouse.",
    "lmodel": "smollm2-135m",
    "xmodel": "smollm2-135m",
    "xrole": "creator",
    "n": str(TOKENS),
    "greedy": "1",
}
ENDED = (
    "['left', 'right'].every(s => document.querySelector("
    "`#${s}-head .q-state:not(.q-busy):not(.q-idle)`))"
)


def make_bare() -> "tuple[object, object, object]":
    """(model, ids, mask) for the prompts that the link's comparison sends."""
    import torch

    settings = Settings.from_env(os.environ)
    shelf = Shelf(settings)
    local = shelf.load("smollm2-135m")
    comparison = from_query(QUERY, "smollm2-135m")
    assert comparison is not None
    rows = [local.prepare(ask.prompt()).token_ids for ask in comparison.asks()]
    width = max(map(len, rows))
    ids = torch.tensor([[2] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return load_stock(local, settings), ids, mask


def main() -> None:
    """Print both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    from playwright.sync_api import sync_playwright

    model, ids, mask = make_bare()
    address = f"http://127.0.0.1:{PORT}/"
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        environ = {**os.environ, "QEU_PORT": str(PORT), "QEU_HOME": home}
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL
        )
        try:
            wait_for_answer(address)
            browser = play.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{address}?{urlencode(QUERY)}")
            page.locator("#model-status .q-stop").wait_for()
            shown, bare = [], []
            for turn in range(rounds + 1):
                start = time.perf_counter()
                page.locator("#run-btn").click()
                page.locator("#left-head .q-busy").wait_for()
                page.wait_for_function(ENDED)
                middle = time.perf_counter()
                model.generate(  # type: ignore[attr-defined]
                    input_ids=ids,
                    attention_mask=mask,
                    do_sample=False,
                    repetition_penalty=1.1,
                    max_new_tokens=TOKENS,
                    min_new_tokens=TOKENS,
                    pad_token_id=2,
                )
                if turn:  # the first round warms both up
                    shown.append(middle - start)
                    bare.append(time.perf_counter() - middle)
            heads = page.locator(".q-state").all_inner_texts()[:2]
            assert all(str(TOKENS) in head for head in heads), heads
            browser.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    ratios = [a / b for a, b in zip(shown, bare, strict=True)]
    print(f"page {statistics.median(shown):.2f} s, bare {statistics.median(bare):.2f} s")
    print(f"page / bare: median {statistics.median(ratios):.2f} of {rounds} rounds, goal 1.1")


if __name__ == "__main__":
    main()
