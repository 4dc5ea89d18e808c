"""A person's way through the Evaluate tab, in real Chromium, on the real embedded model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import IN_BROWSER, NARROW, ROOT, served, visited

pytestmark = IN_BROWSER

# A machine that does other work besides computes ten times slower than an idle one.
EVALUATING_MS = 600_000


@pytest.fixture(scope="module")
def address(embedded_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over the adapters that the repository ships, and an empty workspace."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("QEU_ADAPTERS", str(ROOT / "adapters"))
        with served(tmp_path_factory.mktemp("workspace")) as url:
            yield url


def open_tab(page) -> None:
    page.get_by_role("tab", name="Evaluate").first.click()
    page.locator("#evaluate-start:not([disabled])").wait_for()


def set_number(page, name: str, value: int) -> None:
    box = page.locator(f"#evaluate-{name} input").first
    box.fill(str(value))
    box.press("Tab")


def test_from_an_order_to_the_verdict(page, address: str) -> None:
    open_tab(page)
    page.locator("#evaluate-others", has_text="thinks-first").wait_for()
    assert page.locator("#evaluate-dataset input").input_value() == "shipped"
    for name, value in {"examples": 0, "seeds": 1, "limit": 4, "tokens": 16}.items():
        set_number(page, name, value)
    page.locator("#evaluate-about", has_text="12 texts: 4 records × 3 ways").wait_for()
    page.locator("#evaluate-start").click()
    page.locator("#evaluate-line .q-progress").wait_for()

    # nothing of it lives in this page
    page.reload()
    page.get_by_role("tab", name="Evaluate").first.click()
    # what came with the adapter stands there meanwhile, and has no texts to look at
    page.locator("#evaluate-report .q-records summary").wait_for(timeout=EVALUATING_MS)
    verdict = page.locator("#evaluate-report .q-verdict").first
    told = verdict.inner_text()
    assert re.match(r"(helps|hurts|cannot tell)\s", told), told
    assert "thinks-first (its own reasoning)" in told
    assert "n = " in told or "no record has a checkable answer" in told
    page.locator("#evaluate-stop[disabled]").wait_for()
    assert page.locator("#evaluate-report .q-effects svg").first.is_visible()
    page.locator("#evaluate-report .q-records summary").click()
    assert page.locator("#evaluate-report .q-records tbody tr").count() == 4
    with page.expect_download() as taken:
        page.locator("#evaluate-json").click()
    data = json.loads(Path(taken.value.path()).read_text("utf-8"))
    assert len(data["texts"]) == 12

    # the strip tells the verdict, and the same order again is there at once
    page.locator("#strip .q-verdict-word").wait_for()
    before = page.locator("#evaluate-report").inner_text()
    assert page.locator("#evaluate-limit input").first.input_value() == "4"
    page.locator("#evaluate-start").click()
    page.locator("#evaluate-report .q-earlier").wait_for()
    assert page.locator("#evaluate-report .q-verdict").first.inner_text() == told
    assert before.splitlines()[0] in page.locator("#evaluate-report").inner_text()


def test_a_finished_run_leads_to_its_evaluation(page) -> None:
    page.get_by_role("tab", name="Train").first.click()
    page.locator("#train-runs [data-do=evaluate][data-value=thinks-first]").click()
    page.locator("#evaluate-others", has_text="thinks-first").wait_for()
    page.locator("#evaluate-about", has_text="ways of asking").wait_for()


def test_an_adapters_menu_leads_to_its_evaluation_and_the_drawer_closes(page) -> None:
    page.locator("#models-btn").click()
    page.locator("#models-adapters button").first.click()
    page.locator("#models-adapter-list [data-ask^=open][data-ask$=thinks-first]").click()
    page.locator("#adapters-work [data-ask^=evaluate]").click()
    page.locator("#evaluate-others", has_text="thinks-first").wait_for()
    page.locator("#evaluate-about", has_text="ways of asking").wait_for()
    page.wait_for_function("!document.querySelector('#models.open')")


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    with visited(browser, address + "?__theme=dark", NARROW, "ja-JP") as page:
        page.get_by_role("tab", name="評価").first.click()
        page.locator("#evaluate-report .q-verdict, #evaluate-report .q-nothing").first.wait_for()
        page.locator("#evaluate-about", has_text="尋ね方").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
