"""A person's way through the sweep, in real Chromium, on the real embedded model."""

import json
import re
from pathlib import Path

from tests.ui.browser_page import IN_BROWSER, NARROW

pytestmark = IN_BROWSER

# A machine that does other work besides computes ten times slower than an idle one.
SWEEPING_MS = 300_000


def box(page, name: str):
    return page.locator(f"#sweep-{name} input, #sweep-{name} textarea").first


def test_from_compare_over_the_map_and_back(page) -> None:
    # the question, the model and the other settings come from Compare
    page.locator("#instruction textarea").fill("Name a colour.")
    page.locator("#sampling-btn").click()
    page.locator("#sweep-these").click()
    page.locator("#sweep-about", has_text="Cells: 5").wait_for()
    assert box(page, "instruction").input_value() == "Name a colour."
    page.locator("#sampling-btn").click()
    for name, written in {
        "temperature": "0.4, 1.1", "top_p": "0.5, 0.95", "max_new_tokens": "8", "seeds": "2",
    }.items():  # fmt: skip
        box(page, name).fill(written)
        box(page, name).press("Tab")
    page.locator("#sweep-about", has_text="Cells: 4 · prompts: 1 · seeds: 2").wait_for()
    page.locator("#sweep-start").click()
    page.locator("#sweep-report", has_text="Sweep 1").wait_for()

    # nothing of it lives in this page
    page.reload()
    page.get_by_role("tab", name="Evaluate").first.click()
    page.get_by_role("tab", name="Sweep", exact=True).click()
    fields = page.locator("#sweep-report .q-heat button[data-do=field]")
    fields.nth(3).wait_for(timeout=SWEEPING_MS)
    assert fields.count() == 4
    assert box(page, "temperature").input_value() == "0.4, 1.1"
    page.locator("#sweep-stop[disabled]").wait_for()
    page.locator("#sweep-report .q-heat-legend", has_text="too few samples").wait_for()

    # another measure, and the axes the other way round
    before = fields.nth(1).get_attribute("aria-label") or ""
    assert before.startswith("Temperature 0.4, Top-p 0.95")
    page.locator("#sweep-report select[data-do=row]").select_option("top_p")
    page.locator("#sweep-report .q-heat button[aria-label^='Top-p 0.5, Temp']").first.wait_for()
    page.locator("#sweep-report select[data-do=measure]").select_option("length")
    page.locator("#sweep-report .q-heat[aria-label*=length]").wait_for()

    # with the keyboard alone: to a field, and its texts
    last = fields.nth(3)
    last.focus()
    page.keyboard.press("Enter")
    page.locator("#sweep-texts .q-sweep-text").nth(1).wait_for()
    page.locator("#sweep-report .q-heat [aria-pressed=true]").wait_for()
    heading = page.locator("#sweep-texts h4").inner_text()
    assert "Temperature 1.1, Top-p 0.95" in heading
    with page.expect_download() as taken:
        page.locator("#sweep-json").click()
    assert len(json.loads(Path(taken.value.path()).read_text("utf-8"))["results"]) == 4

    # the second text's own seed goes along, and Compare writes that very text
    text = page.locator("#sweep-texts .q-sweep-text").nth(1)
    assert text.locator(".q-facts").inner_text().startswith("seed 2")
    text.locator("[data-do=use]").click()
    page.locator("#notice", has_text=re.compile(r"cell \d of sweep 1")).wait_for()
    assert page.locator("#instruction textarea").input_value() == "Name a colour."
    shown = {"temperature": "1.1", "top_p": "0.95", "max_new_tokens": "8", "seed": "2"}
    for name, value in shown.items():
        control = page.locator(f"#common-{name} input").first
        control.wait_for(state="attached")
        assert control.input_value() == value, name
    assert "SmolLM2 135M" in page.locator("#left-model input").input_value()

    # a narrow screen scrolls within the map only
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    page.get_by_role("tab", name="Evaluate").first.click()
    fields.first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
