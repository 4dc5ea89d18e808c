"""A person's way through the Train tab, in real Chromium, on the real embedded model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.browser_page import IN_BROWSER, NARROW, served, visited
from tests.ui.train_runs import make_run

pytestmark = IN_BROWSER

# A machine that does other work besides trains ten times slower than an idle one.
TRAINING_MS = 600_000
SETTINGS = {"steps": 6, "save_every": 3, "max_length": 512}
WATCHED = {"rows": 4, "samples": 2, "sample_tokens": 24}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace's folder, with the adapters in it."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def address(embedded_path: Path, home: Path) -> Iterator[str]:
    """The page over an empty workspace and two runs that are over."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("QEU_ADAPTERS", str(home / "adapters"))
        make_run(home / "adapters", "old")
        make_run(
            home / "adapters", "broken", "failed", trouble="nan",
            message="The loss is NaN at step 7.", advice="Lower the learning rate.",
        )  # fmt: skip
        with served(home) as url:
            yield url


def open_tab(page) -> None:
    page.get_by_role("tab", name="Train").first.click()
    page.locator("#train-runs .q-job").first.wait_for()


def set_number(page, part: str, name: str, value: int) -> None:
    box = page.locator(f"#train-{part}-{name} input").first
    box.fill(str(value))
    box.press("Tab")


def unfold(page, *names: str) -> None:
    for name in names:
        page.locator(f"#train-{name} button.label-wrap").first.click()


def run_card(page, name: str, *states: str):
    wanted = states or ("",)
    ends = (f"[data-state={state}]" if state else "" for state in wanted)
    return page.locator(", ".join(f".q-job[data-run='{name}']{end}" for end in ends)).first


def adapters_offered(page) -> str:
    """What Compare's right side offers."""
    page.get_by_role("tab", name="Compare").first.click()
    page.locator("#right-model input").click()
    offered = " ".join(page.locator("ul[role=listbox] li").all_inner_texts())
    page.keyboard.press("Escape")
    return offered


def wait_for_offer(page, name: str) -> None:
    """Compare's right side offers the adapter; a list that was open is drawn anew when reopened."""
    for _ in range(40):  # the header looks every few seconds
        if f"@ {name}" in adapters_offered(page):
            return
        page.wait_for_timeout(1_000)
    raise AssertionError(f"{name} is not offered: {adapters_offered(page)}")


def test_from_records_to_an_adapter_in_the_comparison(page, home: Path) -> None:
    # records
    page.get_by_role("tab", name="Dataset").first.click()
    page.locator("#ds-shipped").click()
    page.locator("#dataset", has_text="of 688").wait_for()

    # the plan, and what is wrong with it
    open_tab(page)
    page.locator("#train-start:not([disabled])").wait_for()
    name = page.locator("#train-name input, #train-name textarea").first.input_value()
    assert name.startswith("smollm2-135m")
    set_number(page, "training", "steps", 0)
    page.locator("#train-look").click()
    page.locator("#train-report", has_text="steps is 0").wait_for()
    unfold(page, "settings", "watch", "text")
    for key, value in SETTINGS.items():
        set_number(page, "training", key, value)
    for key, value in WATCHED.items():
        set_number(page, "watch", key, value)
    page.locator("#train-look").click()
    page.locator("#train-report", has_text="510 examples of 510 records").wait_for()
    page.locator("#train-report details[open] .q-learned.f-reasoning").first.wait_for()
    command = page.locator("#train-command textarea").input_value()
    assert "--steps=6" in command
    assert f"--name={name}" in command

    # the run
    page.locator("#train-start").click()
    page.locator("#job-train-line", has_text="It goes on").wait_for()
    run_card(page, name).wait_for()
    page.locator("#train-samples", has_text="step 0: the base").wait_for(timeout=TRAINING_MS)
    page.locator("#train-curves .q-chart").first.wait_for()
    # another page of the same person sees it, too; nothing of it lives in this one
    page.reload()
    open_tab(page)
    run_card(page, name).wait_for()
    run_card(page, name, "finished", "failed").wait_for(timeout=TRAINING_MS)
    unfold(page, "log")
    told = page.locator("#train-side").inner_text()
    assert run_card(page, name, "finished").is_visible(), told
    page.locator("#train-samples option", has_text="step 6").wait_for(state="attached")
    assert page.locator("#train-curves .q-chart").count() == 7
    page.locator("#train-samples select").select_option("0")
    page.locator("#train-samples select option[value='0'][selected]").wait_for(state="attached")
    wait_for_offer(page, name)

    # beside another one; delete is asked about
    open_tab(page)
    page.locator(".q-job[data-run=old] .q-beside").click()
    page.locator("#train-compare", has_text="Settings that differ").wait_for()
    page.locator(".q-job[data-run=old] [data-do=delete]").click()
    page.locator(".q-asking", has_text="Delete old").wait_for()
    page.locator(".q-asking [data-do=delete_sure]").click()
    page.locator("#train-runs-line", has_text="old is deleted").wait_for()
    assert not (home / "adapters" / "old").exists()
    page.locator(".q-job[data-run=broken] .q-pick").click()
    page.locator("#train-live", has_text="Lower the learning rate").wait_for()
    assert page.evaluate("window.hacked") is None


def test_stop_and_keep_leaves_an_adapter(page, home: Path) -> None:
    open_tab(page)
    page.locator("#train-start:not([disabled])").wait_for()
    name = "stopped-early"
    box = page.locator("#train-name input, #train-name textarea").first
    box.fill(name)
    box.press("Tab")
    unfold(page, "watch")
    for key, value in {"rows": 0, "samples": 0}.items():
        set_number(page, "watch", key, value)
    page.locator("#train-start").click()
    run_card(page, name, "running").wait_for(timeout=TRAINING_MS)
    page.locator("#train-curves .q-chart").first.wait_for(timeout=TRAINING_MS)
    run_card(page, name).locator("[data-do=keep]").click()
    run_card(page, name, "stopped").wait_for(timeout=TRAINING_MS)
    assert (home / "adapters" / name / "adapter_model.safetensors").is_file()
    wait_for_offer(page, name)


def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address: str) -> None:
    with visited(browser, address + "?__theme=dark", NARROW, "ja-JP") as page:
        page.get_by_role("tab", name="学習").click()
        page.locator("#train-curves .q-chart, #train-live .q-problems").first.wait_for()
        unfold(page, "settings", "watch", "twins", "text", "log")
        page.locator("#train-command textarea").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
