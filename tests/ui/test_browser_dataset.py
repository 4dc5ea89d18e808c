"""A person's way through the Dataset tab: a real server process and real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qeu.services.data_check import check_dataset
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.queries import find_by_seq
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill
from tests.ui.browser_page import IN_BROWSER, NARROW, choose, served, visited

pytestmark = IN_BROWSER
HOSTILE = '<img src=x onerror="window.hacked=1"> ${1+1} {{x}}'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 120 records, checked, one of them hostile and one with a wrong sum."""
    folder = tmp_path_factory.mktemp("workspace")
    workspace = Workspace(folder / "qeu.db")
    dataset = fill(workspace, 120)
    for seq, field, text in (("7EN", "output", "3 + 4 = 8."), ("10EN", "output", HOSTILE)):
        [stored] = find_by_seq(workspace, dataset, seq)
        edit_record(workspace, dataset, stored.id, stored.version, field, text)
    check_dataset(workspace, dataset)
    workspace.close()
    return folder


@pytest.fixture(scope="module")
def address(embedded_path: Path, home: Path) -> Iterator[str]:
    with served(home) as url:
        yield url


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """A fresh visitor on the tab."""
    with visited(browser, address) as page:
        open_tab(page)
        yield page


def open_tab(page) -> None:
    """Turn to the Dataset tab and wait for its rows."""
    page.get_by_role("tab", name="Dataset", exact=True).click()
    page.locator("#ds-list tr[data-do]").first.wait_for()


def wait_text(page, selector: str, wanted: str) -> None:
    """Wait until an element's text contains this."""
    page.wait_for_function(
        "([s, t]) => document.querySelector(s)?.innerText.includes(t)", arg=[selector, wanted]
    )


def wait_record(page, seq: str) -> None:
    """Wait until this record stands beside the list."""
    page.wait_for_function(
        "seq => document.querySelector('#ds-head h3')?.innerText === seq", arg=seq
    )


def undo(page) -> None:
    """Press Undo and wait for its message."""
    page.locator("#ds-undo").click()
    page.locator("#ds-notice", has_text="Undone").wait_for()


def test_facets_narrow_the_list_and_can_be_taken_back(page) -> None:
    page.locator(".q-facet[data-name=language][data-value=ja]").click()
    wait_text(page, ".q-pager", "of 40")
    page.locator(".q-facet[data-name=language][data-value=zh]").click()
    wait_text(page, ".q-pager", "of 80")
    page.get_by_text("clear filters").click()
    wait_text(page, ".q-pager", "of 120")


def test_search_finds_two_japanese_characters_as_they_are_typed(page) -> None:
    box = page.locator("#ds-search input")
    box.press_sequentially("学校", delay=30)
    wait_text(page, ".q-pager", "of 40")
    assert "学校" in page.locator("#ds-list tr[data-do]").first.inner_text()
    box.fill("no such text anywhere")
    wait_text(page, ".q-pager", "No records")
    box.fill("")
    wait_text(page, ".q-pager", "of 120")


def test_a_long_word_typed_fast_ends_with_its_own_hits(page) -> None:
    page.locator("#ds-search input").press_sequentially("Answer number 117.", delay=5)
    wait_text(page, ".q-pager", "1–1 of 1")
    wait_record(page, "118EN")


def test_edit_save_history_and_undo(page) -> None:
    page.locator("#ds-list tr[data-do]").nth(3).click()
    wait_record(page, "4EN")
    page.keyboard.press("e")
    page.locator("#ds-edit-output textarea").fill("Answer number three.")
    page.locator("#ds-save").click()
    page.locator("#ds-record section[data-part=output]", has_text="number three").wait_for()
    assert "edit of Answer" in page.locator("#ds-undo").inner_text()
    page.get_by_role("tab", name="History").click()
    page.locator("#ds-history ins", has_text="three").wait_for()
    undo(page)
    page.get_by_role("tab", name="Record", exact=True).click()
    page.locator("#ds-record section[data-part=output]", has_text="number 3.").wait_for()
    assert page.locator("#ds-redo").is_enabled()


def test_keys_decide_and_walk_without_losing_any(page) -> None:
    page.locator("#ds-list tr[data-do]").nth(10).click()
    wait_record(page, "11JA")
    for key in ("a", "r", "j", "n", "k"):  # faster than the page answers
        page.keyboard.press(key)
    page.wait_for_function(
        "[...document.querySelectorAll('#ds-list .q-sign')].slice(10, 15)"
        ".map((sign) => sign.innerText).join('') === '✓✗·✎·'"
    )
    wait_record(page, "14JA")
    page.locator("#ds-search input").focus()
    page.keyboard.press("a")  # a letter of a search, not a decision
    page.wait_for_timeout(600)
    assert "needs work" in page.locator("#ds-undo").inner_text()
    page.locator("#ds-search input").fill("")
    for _ in range(3):
        page.locator("#ds-head").click()
        before = page.locator("#ds-undo").inner_text()
        page.keyboard.press("Control+z")
        page.wait_for_function(
            "t => document.querySelector('#ds-undo').innerText !== t", arg=before
        )


def test_a_finding_jumps_to_its_span(page) -> None:
    page.locator(".q-facet[data-name=check][data-value=wrong_sum]").click()
    wait_text(page, ".q-pager", "1–1 of 1")
    wait_record(page, "7EN")
    page.locator("[data-jump]", has_text="wrong sum").click()
    assert "8" in page.locator("mark.q-here").first.inner_text()


def test_bulk_decision_with_preview_and_undo(page) -> None:
    page.locator(".q-facet[data-name=language][data-value=zh]").click()
    wait_text(page, ".q-pager", "of 40")
    page.locator("#data-review button").first.click()
    page.locator("#data-review-preview").click()
    page.locator("#data-review-report", has_text="40").wait_for()
    page.locator("#data-review-apply").click()
    page.locator(".q-facet[data-name=status][data-value=accepted]", has_text="40").wait_for()
    wait_text(page, "#ds-undo", "accepted (40)")
    undo(page)
    page.wait_for_function(
        "!document.querySelector('.q-facet[data-name=status][data-value=accepted] b')"
        "?.innerText.includes('40')"
    )


def test_the_training_text_counts_and_marks_what_is_cut(page) -> None:
    page.get_by_role("tab", name="Training text").click()
    page.locator("#ds-training .q-legend b", has_text="learned").wait_for()
    box = page.locator("#ds-max-tokens input[type=number]")
    box.fill("64")
    box.blur()
    page.locator("#ds-training mark.t-cut").first.wait_for()


def test_open_in_compare_fills_its_form(page) -> None:
    page.locator("#ds-list tr[data-do]").nth(1).click()
    wait_record(page, "2JA")
    page.locator("#ds-compare").click()
    page.wait_for_function(
        "document.querySelector('#instruction textarea')?.value.includes('日本の学校')"
    )
    assert page.locator("#run-btn").is_visible()


def test_a_record_that_somebody_else_changed_is_not_overwritten(page, home: Path) -> None:
    page.locator("#ds-list tr[data-do]").nth(20).click()
    wait_record(page, "21ZH")
    page.keyboard.press("e")
    page.locator("#ds-edit-output textarea").fill("My own words.")
    workspace = Workspace(home / "qeu.db")
    dataset = find_dataset(workspace, "demo")
    [stored] = find_by_seq(workspace, dataset, "21ZH")
    edit_record(workspace, dataset, stored.id, stored.version, "output", "Their words.")
    page.locator("#ds-save").click()
    page.locator("#ds-conflict .q-conflict ins", has_text="My own").wait_for()
    assert page.locator("#ds-edit-output textarea").input_value() == "My own words."
    assert find_by_seq(workspace, dataset, "21ZH")[0].record.output == "Their words."
    page.locator("#ds-save-over").click()
    page.locator("#ds-record section[data-part=output]", has_text="My own words.").wait_for()
    assert find_by_seq(workspace, dataset, "21ZH")[0].record.output == "My own words."
    workspace.close()


def test_hostile_text_is_shown_and_never_run(page) -> None:
    page.locator("#ds-list tr[data-do]").nth(9).click()
    wait_record(page, "10EN")
    assert HOSTILE in page.locator("#ds-record").inner_text()
    page.get_by_role("tab", name="History").click()
    page.locator("#ds-history ins").first.wait_for()
    assert page.evaluate("window.hacked") is None


def test_the_language_switch_reaches_the_list(page) -> None:
    choose(page, "language", "日本語")
    wait_text(page, ".q-pager", "件")
    assert "自由な質問" in page.locator("#ds-list").inner_text()
    choose(page, "language", "English")
    wait_text(page, ".q-pager", "of 120")


def test_a_run_is_sent_to_a_new_data_set_and_found_there(page) -> None:
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.locator("#sampling-btn").click()
    tokens = page.locator("#common-max_new_tokens input[type=number]")
    tokens.fill("8")
    tokens.blur()
    page.locator("#sampling-btn").click()
    page.locator("#run-btn").click()
    for side in ("left", "right"):
        page.locator(f"#{side}-head .q-length, #{side}-head .q-stop").wait_for()
    page.locator("#take button").first.click()
    page.locator("#send-name input").fill("kept runs")
    page.locator("#send-name input").press("Enter")
    page.locator("#send-btn").click()
    page.locator("#send-line", has_text="kept runs").wait_for()
    open_tab(page)
    choose(page, "ds-name", "kept runs")
    wait_text(page, ".q-pager", "1–1 of 1")
    wait_text(page, "#ds-record", "smollm2-135m")


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    with visited(browser, address + "?__theme=dark", NARROW, "ja-JP") as page:
        page.locator("#tabs button[role=tab]").nth(2).click()
        page.locator("#ds-list tr[data-do]").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
