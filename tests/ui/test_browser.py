"""A person's way through the page: a server process, the embedded model, real Chromium."""

import re

from tests.ui.browser_page import (
    IN_BROWSER,
    NARROW,
    choose,
    run_to_end,
    set_tokens,
    side_text,
    visited,
)

pytestmark = IN_BROWSER


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
    with visited(browser, address + "?__theme=dark", NARROW, "ja-JP") as page:
        page.locator("#run-btn").click(trial=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
