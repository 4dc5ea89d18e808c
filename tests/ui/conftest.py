"""Fixtures of the tests that drive the page in a real browser; some start it their own way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import CHROMIUM, FLAGS, served, visited


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
    """A fresh visitor, once the page says which model is there."""
    with visited(browser, address) as page:
        page.locator("#model-status .q-stop").wait_for()
        yield page
