"""The strip under the header: its numbers, its link, and what it keeps to itself."""

import re
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.core.settings import Settings
from qeu.services.standing import STEP_TABS, Standing
from qeu.store.counts import WorkspaceCounts
from qeu.store.workspace import Workspace
from qeu.ui.app import make_page
from qeu.ui.context import Context
from qeu.ui.strings import LANGUAGES
from qeu.ui.strip import Strip, strip_html
from tests.fake_shelf import FakeShelf
from tests.store.dataset_rows import fill

ALL_TABS = frozenset(STEP_TABS.values())


def visitor(name: str = "a", language: str = "en") -> gr.Request:
    return SimpleNamespace(  # type: ignore[return-value]
        session_hash=name, cookies={}, headers={"accept-language": language}
    )


def numbers(html: str) -> list[str]:
    return re.findall(r"<b>([\d,]+)</b>", html)


def link(html: str) -> str:
    [tab] = re.findall(r'data-go="(\w+)"', html)
    return tab


@pytest.fixture
def strip(tmp_path: Path) -> Strip:
    return make_strip(tmp_path)


def make_strip(home: Path, public: bool = False) -> Strip:
    settings = Settings(home=home, adapters=home / "adapters", public=public)
    with gr.Blocks():
        strip = Strip(Context(settings, FakeShelf()))  # type: ignore[arg-type]
        with gr.Tabs() as tabs:
            for name in sorted(ALL_TABS):
                gr.Tab(name, id=name)
        strip.wire(tabs)
    return strip


def test_every_number_stands_behind_its_name() -> None:
    counts = WorkspaceCounts(1234, 5, 0, 3, 2, 7)
    html = strip_html(Standing(counts, 4, 0, 6), ALL_TABS, "en")
    assert numbers(html) == ["1,234", "3", "2", "4", "6", "7"]
    names = re.findall(r">([a-z ]+) <b>", html)
    assert names == ["records", "to review", "accepted", "runs", "adapters", "votes"]
    assert "(3)" in html
    assert link(html) == "reasoning"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_can_be_told_in_every_language(language: str) -> None:
    told = set()
    for counts, runs, going in (
        (WorkspaceCounts(), 0, 0),
        (WorkspaceCounts(9, waiting=1), 0, 0),
        (WorkspaceCounts(9), 1, 1),
        (WorkspaceCounts(9, open_jobs=1), 0, 0),
        (WorkspaceCounts(9, 4), 0, 0),
        (WorkspaceCounts(9), 0, 0),
        (WorkspaceCounts(9), 1, 0),
        (WorkspaceCounts(9, votes=1), 1, 0),
    ):
        html = strip_html(Standing(counts, runs, going, 0), ALL_TABS, language)
        told.add(re.findall(r"data-go=.*</a>", html)[0])
        assert "{" not in html
    assert len(told) == 8


def test_it_follows_the_workspace_and_sends_only_news(strip: Strip) -> None:
    first = strip.html(visitor())
    assert numbers(first)[0] == "0"
    assert link(first) == "dataset"
    assert strip.news(visitor()) == gr.skip()
    # a page that has got nothing yet gets the whole line
    assert strip.news(visitor("b")) == first
    fill(strip.context.workspace, 6)
    # it counts so often and no more: the next tick brings it
    while strip.news(visitor()) == gr.skip():
        time.sleep(0.01)
    html = strip.on_select(visitor())
    assert numbers(html)[0] == "6"
    assert link(html) == "reasoning"
    assert strip.news(visitor()) == gr.skip()


def test_a_change_of_language_is_news(strip: Strip) -> None:
    strip.html(visitor())
    assert "レコード" in strip.news(visitor(language="ja"))


def test_a_public_page_tells_of_the_visit_alone(tmp_path: Path) -> None:
    owner = Workspace(tmp_path / "qeu.db")
    fill(owner, 6)
    strip = make_strip(tmp_path, public=True)
    html = strip.html(visitor())
    # records, to review, accepted, votes: nothing of runs and adapters
    assert numbers(html) == ["0", "0", "0", "0"]
    session = strip.context.sessions.of(visitor())
    assert session.workspace is None  # nothing was made to count nothing in
    fill(session.own_workspace(), 3)
    assert numbers(strip.html(visitor()))[0] == "3"
    assert numbers(strip.html(visitor("b")))[0] == "0"


def test_a_workspace_that_cannot_be_read_is_told_in_the_line(strip: Strip) -> None:
    strip.html(visitor())
    strip.context.workspace.close()
    assert "cannot be read" in strip.html(visitor())


def test_the_page_shows_it_from_the_start_and_its_links_lead_to_tabs(tmp_path: Path) -> None:
    demo, launch, _ = make_page(Settings(home=tmp_path, adapters=tmp_path / "a"))
    config = demo.get_config_file()
    parts = {c["props"].get("elem_id"): c for c in config["components"]}
    assert not parts["strip"]["props"].get("value")  # filled after the page has been painted
    filling = [d for d in config["dependencies"] if parts["strip"]["id"] in d["outputs"]]
    assert {"load", "select", "tick"} <= {event for d in filling for _, event in d["targets"]}
    tabs = {c["props"].get("id") for c in config["components"] if c["type"] == "tabitem"}
    linked = {tab for tab in STEP_TABS.values() if tab != "evaluate"}
    assert linked <= tabs
    assert any("strip.css" in str(path) for path in launch["css_paths"])  # type: ignore[union-attr]


def test_the_last_verdict_stands_among_the_numbers() -> None:
    counts = WorkspaceCounts(9, verdict="hurts")
    html = strip_html(Standing(counts, 1, 0, 1), ALL_TABS, "en")
    assert 'last verdict <b class="q-verdict-word q-hurts">hurts</b>' in html
    assert link(html) == "compare"
    assert "last verdict" not in strip_html(Standing(WorkspaceCounts(9), 1, 0, 1), ALL_TABS, "en")
