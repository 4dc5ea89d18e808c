"""A person's way through the panels of the Dataset tab, in real Chromium: import, rule, check."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import IN_BROWSER, NARROW, visited

pytestmark = IN_BROWSER

ROWS = [
    *({"instruction": f"What is the number {n}?", "output": f"It is {n}."} for n in range(1, 31)),
    {"instruction": "水とは何ですか？", "output": "水は液体です。"},
    {"instruction": "氷とは何ですか？", "output": ""},
    {"instruction": '<img src=x onerror="window.hacked=1">', "output": ""},
    {"instruction": ""},
]


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """A fresh visitor on the Dataset tab."""
    with visited(browser, address) as page:
        page.get_by_role("tab", name="Dataset").click()
        page.locator("#data-import").wait_for()
        yield page


def open_panel(page, name: str) -> None:
    page.locator(f"#data-{name} button.label-wrap").first.click()


def told(page, name: str, text: str) -> None:
    """Wait until a panel's report says this."""
    page.locator(f"#data-{name}-report", has_text=text).wait_for()


def import_rows(page, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    open_panel(page, "import")
    page.locator("#data-import-files input[type=file]").set_input_files(str(path))
    page.locator("#data-import-sample td", has_text="What is the number 1?").wait_for()
    page.locator("#data-import-do").click()
    told(page, "import", "33 imported, 0 known already, 1 rejected")
    page.locator("#data-scope", has_text="the whole data set (33)").wait_for()


def test_a_file_is_imported_and_the_list_shows_it(page, tmp_path: Path) -> None:
    import_rows(page, tmp_path, "first")
    assert page.locator("#ds-name input").input_value() == "first"
    page.locator("#dataset", has_text="of 33").wait_for()
    page.locator("#data-import-report td", has_text="It is empty").first.wait_for()
    with page.expect_download() as download:
        page.locator("#data-import-rejected a").first.click()
    rejected = Path(download.value.path()).read_text(encoding="utf-8")
    assert json.loads(rejected)["row"] == 34
    assert page.evaluate("window.hacked") is None


def test_a_rule_is_previewed_and_applied_to_the_filter_only(page, tmp_path: Path) -> None:
    import_rows(page, tmp_path, "second")
    open_panel(page, "import")
    page.locator("#dataset button", has_text="Japanese").first.click()
    page.locator("#data-scope", has_text="what the filter shows (2)").wait_for()
    open_panel(page, "rules")
    # the shipped rule asks for simple ones: empty its condition, so that it matches all
    cell = page.locator("#data-rules-table [role=gridcell]:visible", has_text="simple").first
    cell.dblclick()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    page.locator("#data-rules-preview").click()
    told(page, "rules", "2 of 2 records would change")
    page.locator("#data-rules-report ins", has_text="Do not repeat").first.wait_for()
    page.locator("#data-rules-apply").click()
    told(page, "rules", "2 records changed")
    page.locator("#data-scope label", has_text="whole").click()
    page.locator("#data-rules-preview").click()
    told(page, "rules", "31 of 33 records would change")
    page.locator("#ds-undo:not([disabled])", has_text="(2)").click()
    page.locator("#ds-notice", has_text="Undone").wait_for()
    page.locator("#data-rules-preview").click()
    told(page, "rules", "33 of 33 records would change")


def test_a_click_on_a_count_of_the_check_shows_the_offenders(page, tmp_path: Path) -> None:
    import_rows(page, tmp_path, "third")
    open_panel(page, "import")
    open_panel(page, "check")
    page.locator("#data-check-do").click()
    told(page, "check", "33 records checked")
    count = page.locator('#data-check-report button[data-check="empty_output"]').first
    assert count.inner_text() == "2"
    count.click()
    page.locator("#data-scope", has_text="what the filter shows (2)").wait_for()
    page.locator("#dataset", has_text="of 2").wait_for()
    assert page.evaluate("window.hacked") is None


def test_a_model_that_is_not_fit_says_so_and_labels_anyway(page, tmp_path: Path) -> None:
    import_rows(page, tmp_path, "fourth")
    open_panel(page, "import")
    page.locator("#dataset button", has_text="Japanese").first.click()
    page.locator("#data-scope", has_text="what the filter shows (2)").wait_for()
    open_panel(page, "label")
    page.locator("#data-label-model input").click()
    page.get_by_role("option", name="SmolLM2 135M Instruct (embedded) ⚠").click()
    page.locator("#data-label-banner", has_text="is not fit to label records").wait_for()
    page.locator("#data-label-preview").click()
    page.locator("#data-label-line", has_text="Choose another model first").wait_for()
    page.locator("#data-label-anyway input").check()
    page.locator("#data-label-banner", has_text="Running anyway").wait_for()
    page.locator("#data-label-preview").click()
    page.locator("#data-label-line", has_text="asking the model").wait_for()
    told(page, "label", "was asked about 2 of 2 records")
    page.locator("#data-label-apply").click()
    told(page, "label", "as one step")
    page.locator("#ds-undo:not([disabled])", has_text="labelling").wait_for()
    page.locator("#data-label-model input").click()
    page.get_by_role("option", name="SmolLM2 135M Instruct (embedded) ⚠").click()
    page.locator("#data-label-anyway input:not(:checked)").wait_for()


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    with visited(browser, address + "?__theme=dark", NARROW, "ja-JP") as page:
        page.get_by_role("tab", name="データセット").click()
        for name in ("import", "merge", "label", "rules", "export", "stats", "english"):
            open_panel(page, name)
        page.locator("#data-export-do").click(trial=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
