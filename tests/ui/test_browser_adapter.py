"""What a fresh clone opens with, in real Chromium: the embedded base beside the shipped adapter."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import IN_BROWSER, ROOT, run_to_end, served, set_tokens, side_text

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def address(embedded_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over the adapters that the repository ships, without a key or a server."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("QEU_ADAPTERS", str(ROOT / "adapters"))
        for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "QEU_SERVERS", "QEU_PUBLIC"):
            environ.delenv(name, raising=False)
        with served(tmp_path_factory.mktemp("workspace")) as url:
            yield url


def test_the_page_opens_with_the_shipped_adapter_beside_its_base(page) -> None:
    page.locator("#pair", has_text="thinks-first").wait_for()
    assert "thinks-first" not in page.locator("#left-model input").input_value()
    assert "thinks-first" in page.locator("#right-model input").input_value()
    set_tokens(page, 120)
    run_to_end(page)
    assert side_text(page, "left") != side_text(page, "right")
    prompts = {}
    for side in ("left", "right"):
        page.locator(f"#{side}-prompt button").first.click()
        prompts[side] = page.locator(f"#{side}-prompt .q-prompt").inner_text()
    # each side is asked in the layout that its model learned
    assert "<|im_start|>" in prompts["left"]
    assert prompts["right"].endswith("<|reasoning|>")
    # the adapter thinks, then answers: two fields stand on its side
    page.locator("#right-text .q-reasoning").first.wait_for()
    page.locator("#right-text .q-answer").first.wait_for()
