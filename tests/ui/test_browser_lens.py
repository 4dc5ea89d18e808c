"""The next-token drawer in real Chromium: a token is clicked, a slider moved, another token put."""

import re

from tests.ui.browser_page import IN_BROWSER, run_to_end, set_tokens

pytestmark = IN_BROWSER

# As the drawer's first answer after an act; the turn goes up with each.
TURN = "() => Number(document.querySelector('#lens-choice [data-turn]')?.dataset.turn ?? 0)"
BARS = "all => all.map((bar) => bar.style.getPropertyValue('--p'))"
NEW_TOKENS = 8


def after(page, act) -> None:
    """Do something, and wait for the drawer's answer to it."""
    before = page.evaluate(TURN)
    act()
    page.wait_for_function(f"(before) => ({TURN})() > before", arg=before)


def bars(page, row: int = 0) -> list[str]:
    """The widths of a candidate's bars."""
    rows = page.locator("#lens-choice tbody tr[data-token]")
    return rows.nth(row).locator(".q-bar").evaluate_all(BARS)


def place(page) -> str:
    return page.locator("#lens-choice .q-lens-at").inner_text()


def test_from_a_click_on_a_token_to_another_text(page) -> None:
    set_tokens(page, NEW_TOKENS)
    run_to_end(page)
    assert not page.locator("#lens").is_visible()
    page.locator("#left-text [data-lens-open]").click()
    page.locator("#lens [role=option]").first.wait_for()
    assert page.locator("#lens [role=option]").count() == NEW_TOKENS + 1
    page.locator("#lens-choice tbody tr").first.wait_for()

    after(page, lambda: page.locator("#lens-3").click())
    assert f"Token 3 of {NEW_TOKENS}" in place(page)
    assert page.locator("#lens-3").get_attribute("aria-selected") == "true"
    after(page, lambda: page.keyboard.press("ArrowRight"))
    assert f"Token 4 of {NEW_TOKENS}" in place(page)

    page.locator("#sampling-btn").click()
    slider = page.locator("#common-temperature input[type=range]")
    first = bars(page)
    after(page, lambda: slider.fill("2"))
    hot = bars(page)
    assert hot[0] == first[0]
    assert float(hot[2]) < float(first[2])
    assert "sliders as they stand" in page.locator("#lens-choice").inner_text()
    after(page, lambda: page.locator("#lens-choice [data-do=own]").click())
    assert bars(page) == first
    page.locator("#sampling-btn").click()

    page.locator("#lens [data-value=kl]").click()
    page.locator("#lens .q-lens-strip").wait_for()

    other = page.locator("#lens-choice tbody tr[data-token]:not(:has(abbr))").first
    token = other.locator("code").inner_text()
    text = page.locator("#left-text .q-part > div").inner_text()
    right = page.locator("#right-text .q-part > div").inner_text()
    after(page, lambda: other.locator("[data-do=put]").click())
    assert re.sub(r"\s", "", page.locator("#lens-4").inner_text()) == re.sub(r"\s", "", token)
    assert page.locator("#left-text .q-part > div").inner_text() != text
    assert page.locator("#right-text .q-part > div").inner_text() == right
    page.locator("#lens [data-do=close]").click()
    page.locator("#lens .q-lens").wait_for(state="hidden")
