"""A blind vote in real Chromium: by keyboard, over a reload, to the reveal and to a file."""

import json
from pathlib import Path

from tests.ui.browser_page import IN_BROWSER, choose, set_tokens

pytestmark = IN_BROWSER

MODEL = "smollm2"
# What stands there, shown or not.
WHOLE_SIDES = "document.querySelector('#sides').innerHTML"
# The line under each text names the model that would translate it, on both sides the same.
TRANSLATOR = "smollm2 135m"


def bar(page, state: str):
    """The bar, once it is in this state."""
    found = page.locator(f"#vote-bar [data-state={state}]")
    found.wait_for()
    return found


def side_texts(page) -> list[str]:
    return [page.locator(f"#{side}-text .q-part > div").inner_text() for side in ("left", "right")]


def test_a_blind_vote_by_keyboard_from_run_to_file(page) -> None:
    set_tokens(page, 8)
    choose(page, "right-role", "Logician")
    page.locator("#blind input").check()
    bar(page, "idle")
    page.locator("#run-btn").click()
    bar(page, "ready")
    texts = side_texts(page)
    assert all(texts)
    assert len(set(texts)) == 2
    told = page.evaluate(WHOLE_SIDES)
    assert "tokens/s" not in told
    assert "q-chip" not in told
    assert MODEL not in page.locator("#sides").inner_text().lower().replace(TRANSLATOR, "")
    assert not page.locator("#left-model").is_visible()

    page.reload()
    bar(page, "ready")
    page.wait_for_function("document.querySelector('#left-text .q-part')")
    assert side_texts(page) == texts

    for key in ("b", "2", "1", "1"):
        page.keyboard.press(key)
    pressed = page.locator("#vote-bar [aria-pressed=true]")
    assert pressed.evaluate_all("all => all.map((b) => b.dataset.better ?? b.dataset.value)") == [
        "b", "no", "yes",
    ]  # fmt: skip
    page.keyboard.press("Enter")
    opened = bar(page, "open").inner_text().lower()
    assert "you chose b" in opened
    assert MODEL in opened
    page.locator("#left-model").wait_for()
    assert "tokens/s" in page.locator("#left-head").inner_text()
    assert side_texts(page) == texts

    page.locator("#standings button").first.click()
    standings = page.locator("#vote-standings")
    standings.get_by_text("too few to tell").first.wait_for()
    standings.locator("[data-value=records]").click()
    with page.expect_download() as download:
        page.locator("#vote-file").click()
    [row] = map(json.loads, Path(download.value.path()).read_text("utf-8").splitlines())
    assert row["output"] == texts[1]

    # Enter of a held key must not have gone on to the next question; N does
    bar(page, "open")
    page.keyboard.press("n")
    bar(page, "ready")
    assert page.locator("#instruction textarea").input_value() != row["instruction"]
    page.locator("#blind input").uncheck()
    assert "Not voted" in bar(page, "open").inner_text()
