"""A person's way through the page: a real server process, the real embedded model, real Chromium.

Skipped with a reason where there is no browser; CI sets QEU_REQUIRE_BROWSER=1, and then a missing
browser is a failure.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import served

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-background-networking"]
# Shared machines stall: every wait has many times the time it usually takes.
PATIENCE_MS = 60_000

pytestmark = [pytest.mark.browser, pytest.mark.slow]
if not CHROMIUM.exists() and os.environ.get("QEU_REQUIRE_BROWSER") != "1":
    pytest.skip(f"no browser at {CHROMIUM}", allow_module_level=True)


@pytest.fixture(scope="module")
def address(embedded_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page, started as a user starts it, with a workspace of its own."""
    with served(tmp_path_factory.mktemp("workspace")) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """A fresh visitor; any error in the page's scripts fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, locale="en-US")
    context.set_default_timeout(PATIENCE_MS)
    visit = context.new_page()
    errors: list[str] = []
    visit.on("pageerror", lambda error: errors.append(str(error)))
    visit.goto(address)
    visit.locator("#model-status .q-stop").wait_for()
    yield visit
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
    page.get_by_role("option", name=option, exact=True).click()


def test_two_sides_answer_and_show_prompt_and_receipt(page) -> None:
    set_tokens(page, 40)
    run_to_end(page)
    assert len(side_text(page, "left")) > 60
    assert side_text(page, "left") != side_text(page, "right")
    assert "40 tokens" in page.locator("#left-head").inner_text()
    assert page.locator("#left-head .q-chip").count() >= 2
    page.locator("#right-prompt button").first.click()
    prompt = page.locator("#right-prompt .q-prompt")
    assert "<|im_start|>" in prompt.inner_text()
    prompt.locator("mark.f-reasoning").first.wait_for()
    page.locator("#left-receipt button").first.click()
    page.locator("#left-receipt td", has_text="repetition_penalty").wait_for()
    page.locator("#diff button").first.click()
    page.locator("#diff ins").first.wait_for()
    # nothing that stands beside the texts was emptied by the settings and the run
    assert page.locator("#left-translation-do").inner_text() == "Translate"
    assert page.locator("#left-translation-target input").input_value() == "Show in Japanese"


def test_stop_ends_the_run_and_keeps_the_text(page) -> None:
    set_tokens(page, 1000)
    page.locator("#instruction textarea").fill("Tell me a very long story about a lighthouse.")
    page.locator("#run-btn").click()
    page.wait_for_function("document.querySelector('#left-text .q-answer')?.innerText.length > 80")
    page.locator("#left-stop").click()
    page.locator("#left-head .q-cancelled").wait_for()
    kept = side_text(page, "left")
    page.wait_for_function(
        "n => document.querySelector('#right-text').innerText.length > n",
        arg=len(side_text(page, "right")) + 40,
    )
    page.keyboard.press("Escape")
    page.locator("#right-head .q-cancelled").wait_for()
    assert len(kept) > 80
    assert side_text(page, "left") == kept


def test_role_and_target_change_what_the_model_reads(page) -> None:
    set_tokens(page, 24)
    choose(page, "left-role", "Logician")
    choose(page, "left-target", "Reasoning, asked as a task")
    page.keyboard.press("Control+Enter")
    page.locator("#left-head .q-state:not(.q-busy):not(.q-idle)").wait_for()
    page.locator("#left-prompt button").first.click()
    assert "logician" in page.locator("#left-prompt mark.f-system").first.inner_text().lower()
    assert "Reasoning" in page.locator("#left-text h4").inner_text(timeout=5_000).title()
    assert page.locator("#left-head .q-chip").count() >= 5


def test_language_switch_changes_labels_and_server_texts(page) -> None:
    before = page.locator("#run-btn").inner_text()
    choose(page, "language", "日本語")
    page.wait_for_function("t => document.querySelector('#run-btn').innerText !== t", arg=before)
    japanese = re.compile("[\u3040-\u30ff]")
    assert japanese.search(page.locator("#run-btn").inner_text())
    page.wait_for_function("/[\u3040-\u30ff]/.test(document.querySelector('#left-head').innerText)")
    page.reload()
    page.wait_for_function("/[\u3040-\u30ff]/.test(document.querySelector('#run-btn')?.innerText)")


def test_history_finds_a_run_and_restores_it(page) -> None:
    set_tokens(page, 16)
    question = "Which herb goes well with roasted potatoes?"
    page.locator("#instruction textarea").fill(question)
    run_to_end(page)
    written = side_text(page, "left")
    page.locator("#instruction textarea").fill("Something else entirely")
    page.locator("#history button").first.click()
    page.locator("#history-list label").first.wait_for()
    labels = page.locator("#history-list label")
    search = page.locator("#history-search textarea, #history-search input")
    for term, many in (("HERB goes", 1), ("HERB goesx", 0), ("HERB goes", 1)):
        search.fill(term)
        page.wait_for_function(
            "n => document.querySelectorAll('#history-list label').length === n", arg=many
        )
    assert "Which herb" in labels.first.inner_text()
    labels.first.click()
    page.wait_for_function(
        "q => document.querySelector('#instruction textarea')?.value === q", arg=question
    )
    page.wait_for_function("document.querySelector('#left-text').innerText.length > 10")
    assert side_text(page, "left") == written


def test_a_recorded_run_is_shown_with_its_settings_and_receipt(page) -> None:
    page.locator("#exhibits button").first.click()
    page.locator("#exhibit-list label", has_text="square root").click()
    page.locator("#notice", has_text="recorded run").wait_for()
    page.wait_for_function("document.querySelector('#left-text').innerText.length > 40")
    page.wait_for_function("document.querySelector('#instruction textarea').value.includes('156')")
    page.locator("#left-receipt button").first.click()
    page.locator("#left-receipt td", has_text="temperature").first.wait_for()


def test_live_tuning_runs_again_when_a_slider_is_let_go(page) -> None:
    set_tokens(page, 200)
    page.locator("#sampling-btn").click()
    page.locator("#live input").check()
    page.locator("#run-btn").click()
    page.wait_for_function("document.querySelector('#left-text').innerText.length > 60")
    slider = page.locator("#common-temperature input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    slider.dispatch_event("pointerup")
    page.wait_for_function("document.querySelector('#left-text').innerText.length < 60")
    page.locator("#left-head .q-state:not(.q-busy):not(.q-idle)").wait_for()
    page.locator("#left-receipt button").first.click()
    page.locator("#left-receipt td", has_text="0.35").first.wait_for()


def test_what_the_model_or_visitor_writes_is_never_executed(page) -> None:
    set_tokens(page, 8)
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> ${1+1} {{x}}'
    page.locator("#instruction textarea").fill(hostile)
    run_to_end(page)
    page.locator("#left-prompt button").first.click()
    assert hostile in page.locator("#left-prompt .q-prompt").inner_text()
    assert page.evaluate("window.hacked") is None


def test_an_empty_question_is_said_beside_the_button(page) -> None:
    page.locator("#instruction textarea").fill("   ")
    page.locator("#run-btn").click()
    page.locator("#notice .q-error").wait_for()
    assert "empty" in page.locator("#notice").inner_text()


def test_a_link_opens_the_page_with_its_settings(page, address: str) -> None:
    page.locator("#instruction textarea").fill("What is a glacier?")
    page.locator("#take button").first.click()
    page.locator("#link-btn").click()
    page.wait_for_function(
        "document.querySelector('#link textarea, #link input')?.value?.includes('glacier')"
    )
    link = page.locator("#link textarea, #link input").first.input_value()
    assert link.startswith(address)
    page.goto(link)
    page.wait_for_function(
        "document.querySelector('#instruction textarea')?.value === 'What is a glacier?'"
    )


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="ja-JP")
    visit = context.new_page()
    visit.goto(address + "?__theme=dark")
    visit.locator("#run-btn").click(trial=True, timeout=PATIENCE_MS)
    assert visit.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
