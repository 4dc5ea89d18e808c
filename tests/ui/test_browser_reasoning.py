"""A person's way through the Reasoning tab, in real Chromium, on the real embedded model."""

import json
from pathlib import Path

from tests.ui.browser_page import IN_BROWSER, NARROW, visited

pytestmark = IN_BROWSER

ROWS = [
    *(
        {"seq": f"{n}EN", "instruction": f"How would you spend day {n} of a week?",
         "output": "Rest.", "language": "en"}
        for n in range(1, 4)
    ),
    {"seq": "4EN", "instruction": '<img src=x onerror="window.hacked=1">', "output": "No.",
     "language": "en"},
]  # fmt: skip


def import_rows(page, tmp_path: Path) -> None:
    path = tmp_path / "week.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    page.get_by_role("tab", name="Dataset").click()
    page.locator("#data-import button.label-wrap").first.click()
    page.locator("#data-import-files input[type=file]").set_input_files(str(path))
    page.locator("#data-import-sample td", has_text="day 1").wait_for()
    page.locator("#data-import-do").click()
    page.locator("#data-import-report", has_text="4 imported").wait_for()
    # the browser of records has taken over the new data set
    page.locator("#dataset", has_text="of 4").wait_for()


def open_tab(page) -> None:
    page.get_by_role("tab", name="Reasoning").first.click()
    page.locator("#job-start:not([disabled])").wait_for()


def press(page, key: str, told: str) -> None:
    """Press a key and wait for what the page then says of the place in the list."""
    page.keyboard.press(key)
    page.locator(".q-review-place", has_text=told).wait_for()


def test_from_an_order_to_accepted_texts(page, tmp_path: Path) -> None:
    import_rows(page, tmp_path)
    open_tab(page)
    # order: two texts each, short ones
    page.locator("#job-scope", has_text="the whole data set (4)").wait_for()
    page.locator("#job-samples input").fill("2")
    page.locator("#job-sampling button.label-wrap").first.click()
    tokens = page.locator("#job-max_new_tokens input[type=number]")
    tokens.fill("24")
    tokens.press("Tab")
    page.locator("#job-retries input").fill("0")
    page.locator("#job-retries input").press("Tab")
    page.locator("#job-look").click()
    page.locator("#job-order-report", has_text="8 to do").wait_for()
    page.locator("#job-start").click()
    page.locator("#job-order-line", has_text="It goes on even if this page is closed").wait_for()
    page.locator(".q-job[data-state=done]", has_text="8 of 8").wait_for()

    # review by keys
    page.locator("#job-review .q-column[data-letter=B]").wait_for()
    page.locator("#job-review h3").click()
    second = page.locator("#job-review [data-letter=B] .q-written").inner_text()
    press(page, "2", "1 decided")
    page.locator("#job-review-line", has_text="1EN: accepted B").wait_for()
    press(page, "r", "2 decided")
    press(page, "u", "2 of 4 · 1 decided")
    page.keyboard.press("e")
    page.locator("#job-edit textarea:focus").first.wait_for()
    page.keyboard.press("Control+A")
    page.keyboard.type("Ask what a good day needs, jjj.")
    page.locator("#job-edit-save").click()
    page.locator(".q-review-place", has_text="3 of 4 · 2 decided").wait_for()
    press(page, "k", "2 of 4")
    assert "jjj" in page.locator(".q-current").inner_text()
    press(page, "k", "1 of 4")
    assert page.locator(".q-current .q-written").inner_text() == second

    # ensemble: every sentence says where it comes from
    page.locator("#job-merge button.label-wrap").first.click()
    page.locator("#job-merge-do").click()
    page.locator("#job-merge-report", has_text="4 of 4 records put together").wait_for()
    page.locator("#job-review .q-merged mark sup").first.wait_for()
    assert page.locator("#job-review .q-merged .q-legend .q-key").count() >= 1
    press(page, "j", "2 of 4")
    press(page, "m", "3 decided")
    assert page.evaluate("window.hacked") is None

    # export
    page.locator("#job-export button.label-wrap").first.click()
    page.locator("#job-export-format label", has_text="JSONL").click()
    page.locator("#job-export-do").click()
    with page.expect_download() as download:
        page.locator("#job-export-files a").first.click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 8
    assert set(rows[0]) == {"seq", "question", "response"}
    assert rows[1]["response"].strip() == second.strip()

    # nothing of it lives in the page
    page.reload()
    open_tab(page)
    page.locator(".q-job[data-state=done]", has_text="8 of 8").wait_for()
    page.locator(".q-review-place", has_text="3 decided").wait_for()
    page.get_by_role("tab", name="Dataset").click()
    page.locator("#ds-list", has_text="jjj").wait_for()


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    with visited(browser, address + "?__theme=dark", NARROW) as page:
        # all tabs are there at a glance
        page.get_by_role("tab", name="Reasoning").click()
        page.locator(".q-review-place", has_text="decided").wait_for()
        for name in ("merge", "bulk", "summary", "export"):
            page.locator(f"#job-{name} button.label-wrap").first.click()
        page.locator("#job-summary-report table").wait_for()
        page.locator("#job-start").click(trial=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
