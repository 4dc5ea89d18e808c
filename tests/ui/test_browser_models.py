"""A person's way through the Models drawer, in real Chromium: a key, its models, a run, forgotten.

Groq is a local server that speaks its wire format; the page asks it through the real client.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import IN_BROWSER, choose, served, set_tokens, visited
from tests.wire_server import WireServer

pytestmark = IN_BROWSER

KEY = "gsk_made_up_for_this_test_0123456789"
TEACHER = "☁ llama-3.3-70b-versatile · Groq"
EMBEDDED = "SmolLM2 135M Instruct (embedded)"
TEN_FRAMES = """() => new Promise(done => {
  const next = left => left ? requestAnimationFrame(() => next(left - 1)) : done();
  next(10);
})"""


@pytest.fixture(scope="module")
def groq() -> Iterator[WireServer]:
    with WireServer("groq", key=KEY, words=("A", " teacher", " listens", ".")) as server:
        yield server


@pytest.fixture(scope="module")
def address(
    embedded_path: Path, groq: WireServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The page, started where Groq's address is that of the local server, without a key."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("GROQ_BASE_URL", groq.address)
        environ.setenv("QEU_ADAPTERS", str(tmp_path_factory.mktemp("adapters")))
        for name in ("GROQ_API_KEY", "OPENAI_API_KEY", "QEU_SERVERS", "QEU_PUBLIC"):
            environ.delenv(name, raising=False)
        with served(tmp_path_factory.mktemp("workspace")) as url:
            yield url


@pytest.fixture
def page(browser, address: str) -> Iterator[object]:
    """A fresh visitor, once both sides have their models."""
    with visited(browser, address) as page:
        page.locator("#model-status .q-stop").wait_for()
        page.locator("#pair p").wait_for()
        yield page


def open_drawer(page) -> None:
    page.locator("#models-btn").click()
    page.locator("#models-loaded .q-model").wait_for()


def open_keys(page) -> None:
    open_drawer(page)
    page.locator("#models-hosted button.label-wrap").first.click()
    # What a fold has just shown takes on its first value some frames later: no hand is that fast.
    page.locator("#groq-key input").wait_for()
    page.evaluate(TEN_FRAMES)


def add_key(page, key: str = KEY) -> None:
    page.locator("#groq-key input").fill(key)
    page.locator("#groq-add").click()


def value(page, box: str) -> str:
    return page.locator(f"#{box} input").input_value()


def wait_for_value(page, box: str, wanted: str) -> None:
    page.wait_for_function(
        "([id, wanted]) => document.querySelector(`#${id} input`).value === wanted",
        arg=[box, wanted],
    )


def wait_for_disabled(page, control: str, wanted: bool) -> None:
    page.wait_for_function(
        "([id, wanted]) => document.querySelector(`#${id} input`)?.disabled === wanted",
        arg=[control, wanted],
    )


def options(page, box: str) -> list[str]:
    """The visible names that a dropdown offers."""
    page.locator(f"#{box} input").click()
    page.get_by_role("option").first.wait_for()
    found = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    return [name.replace("✓", "").strip() for name in found]


def test_the_page_opens_on_the_embedded_model_and_says_why(page) -> None:
    assert value(page, "left-model") == value(page, "right-model") == EMBEDDED
    assert "there is no GPU here" in page.locator("#pair").inner_text()
    header = page.locator("#model-status .q-stop + span").inner_text()
    assert header.startswith("SmolLM2 135M · ")
    assert header.endswith(" GB")


def test_a_key_brings_its_models_runs_beside_the_local_one_and_is_forgotten(page) -> None:
    open_keys(page)
    add_key(page)
    page.locator("#keys-notice", has_text="models: 3").wait_for()
    assert page.locator("#groq-key input").input_value() == ""
    assert KEY not in page.content()
    # untouched so far: the strongest teacher that the key offers moves to the right
    wait_for_value(page, "right-model", TEACHER)
    assert value(page, "left-model") == EMBEDDED
    page.locator("#pair", has_text="the strongest teacher").wait_for()
    for box in ("left-model", "roles-model"):
        if box == "roles-model":
            page.get_by_role("tab", name="Roles").click()
        assert TEACHER in options(page, box)
    page.get_by_role("tab", name="Compare").click()

    set_tokens(page, 24)
    page.locator("#run-btn").click()
    page.locator("#right-text", has_text="A teacher listens.").wait_for()
    page.locator("#left-head .q-state:not(.q-busy):not(.q-idle)").wait_for()
    assert len(page.locator("#left-text").inner_text()) > 20
    page.locator("#right-receipt button").first.click()
    dropped = page.locator("#right-receipt tr.q-dropped")
    dropped.first.wait_for()
    names = {row.split()[0] for row in dropped.all_inner_texts()}
    assert {"top_k", "repetition_penalty"} <= names

    page.locator("#keys-states [data-ask=groq]").click()
    page.locator("#keys-notice", has_text="forgotten").wait_for()
    page.locator("#keys-states", has_text="No provider yet").wait_for()
    assert TEACHER not in options(page, "left-model")
    page.locator("#run-btn").click()
    page.locator("#right-text [role=alert]", has_text="No key for Groq").wait_for()


def test_what_the_provider_does_not_take_is_greyed_out_until_the_model_changes(page) -> None:
    page.locator("#sampling-btn").click()
    open_keys(page)
    add_key(page)
    wait_for_value(page, "right-model", TEACHER)
    page.locator("#common-top_k", has_text="The right side ignores it").wait_for()
    wait_for_disabled(page, "common-top_k", False)
    wait_for_disabled(page, "exact", True)
    page.locator("#right-own input").check()
    wait_for_disabled(page, "right-top_k", True)
    wait_for_disabled(page, "right-min_p", True)
    wait_for_disabled(page, "right-temperature", False)
    page.locator("#right-top_k", has_text="does not take it").wait_for()

    choose(page, "left-model", TEACHER)
    wait_for_disabled(page, "common-top_k", True)
    page.locator("#common-top_k", has_text="Neither side").wait_for()
    wait_for_disabled(page, "common-temperature", False)
    # the other tab asks a local model: it takes everything
    page.get_by_role("tab", name="Roles").click()
    wait_for_disabled(page, "common-top_k", False)
    wait_for_disabled(page, "exact", False)
    page.get_by_role("tab", name="Compare").click()
    wait_for_disabled(page, "common-top_k", True)

    for side in ("left", "right"):
        choose(page, f"{side}-model", EMBEDDED)
    wait_for_disabled(page, "common-top_k", False)
    wait_for_disabled(page, "right-top_k", False)
    wait_for_disabled(page, "exact", False)
    page.locator("#common-top_k", has_text="This many likeliest tokens").wait_for()


def test_a_wrong_key_is_told_and_leaves_its_box(page) -> None:
    open_keys(page)
    add_key(page, "gsk_another_one_that_is_wrong")
    page.locator("#keys-states .q-error").wait_for()
    page.locator("#keys-states", has_text="key").wait_for()
    assert page.locator("#groq-key input").input_value() == ""
    assert "gsk_another_one" not in page.content()
    assert value(page, "right-model") == EMBEDDED


def test_a_choice_of_the_visitor_stays_when_a_key_comes(page) -> None:
    page.locator("#right-model input").click()
    page.get_by_role("option", name="Phi-2", exact=True).click()
    open_keys(page)
    add_key(page)
    page.locator("#keys-notice", has_text="models: 3").wait_for()
    page.wait_for_timeout(1_500)
    assert value(page, "right-model") == "Phi-2"
    assert page.locator("#pair p").count() == 0


def test_a_server_with_a_name_lists_its_models_under_it(page) -> None:
    with WireServer("vllm") as server:
        open_keys(page)
        page.locator("#server-address textarea, #server-address input").first.fill(
            server.address + "/v1"
        )
        page.locator("#server-name textarea, #server-name input").first.fill("lab")
        page.locator("#server-add").click()
        state = page.locator("#keys-states .q-model", has_text="vLLM")
        state.wait_for()
        assert "models: 1" in state.inner_text()
        assert "☁ meta-llama/Llama-3.1-8B-Instruct · lab" in options(page, "left-model")


def test_unload_and_load_show_in_header_and_drawer(page) -> None:
    open_drawer(page)
    page.locator("#models-loaded [data-ask]").click()
    page.locator("#models-notice", has_text="unloaded").wait_for()
    page.locator("#model-status", has_text="No model is loaded").wait_for()
    page.locator("#models-estimate", has_text="Needs").wait_for()
    page.locator("#models-load").click()
    page.locator("#models-notice", has_text="is ready").wait_for()
    page.locator("#models-loaded .q-loaded").wait_for()
    page.locator("#model-status .q-stop").wait_for()
