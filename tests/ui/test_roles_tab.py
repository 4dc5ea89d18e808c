"""The Roles tab by its handlers: what is streamed, stopped, marked, escaped and warned of."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.backends.base import EchoBackend, Row
from qeu.backends.catalog import find_model
from qeu.core.generation import Generation
from qeu.core.roles import ROLE_IDS, ROLES
from qeu.core.settings import Settings
from qeu.services.trial import list_items
from qeu.ui.compare_form import QuestionForm
from qeu.ui.context import Context, Words
from qeu.ui.roles_tab import RolesTab
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.strings import words
from qeu.ui.trial_grid import LOOKS

MODEL = "smollm2-135m"
HTML = '<img src=x onerror="alert(1)"> ${alert(2)} {{x}} `y`'


class SlowEcho(EchoBackend):
    """Echoes only once it is let go, or stopped."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def generate(self, rows: Sequence[Row], emit=None, *, exact: bool = False) -> list[Generation]:
        while not self.go.is_set() and not all(row.stop.is_set() for row in rows):
            time.sleep(0.005)
        return super().generate(rows, emit, exact=exact)


class FakeShelf:
    """One engine for every name; counts what is loaded."""

    def __init__(self, backend: EchoBackend) -> None:
        self.backend, self.loads, self.queue = backend, [], self

    @contextmanager
    def turn(self, stop=None, on_place=None) -> Iterator[None]:
        yield

    def load(
        self, name: str, *, exact=False, precision=None, progress=None, stop=None
    ) -> EchoBackend:
        self.loads.append(name)
        return self.backend

    def estimate_bytes(self, name: str, *, exact: bool = False) -> int:
        find_model(name)  # as the real one, it refuses what is no model's name
        return 0

    def free_bytes(self) -> int:
        return 10**9


class Page:
    """The tab with its neighbours, and the values its controls have at first."""

    def __init__(self, backend: EchoBackend | None = None, public: bool = False) -> None:
        self.shelf = FakeShelf(backend or EchoBackend())
        self.context = Context(Settings(public=public), self.shelf)  # type: ignore[arg-type]
        say = Words(gr.I18n(en=dict(words("en"))))
        with gr.Blocks() as self.demo:
            sampling, exact_cb = SamplingForm(say, "common"), gr.Checkbox(False)
            question = QuestionForm(say)
            self.tab = RolesTab(self.context, say, sampling, exact_cb, [("SmolLM2", MODEL)])
            with gr.Tab() as tab:
                pass
            self.tab.wire(tab, question)
        self.trial = self.tab.trial
        inputs = self.tab._inputs() | self.trial._inputs()
        self.data = {control: control.value for control in inputs}

    def visitor(self, name: str = "a", language: str = "en") -> gr.Request:
        headers = {"accept-language": language}
        return SimpleNamespace(session_hash=name, cookies={}, headers=headers)  # type: ignore

    def run(self, name: str = "a") -> list[dict]:
        return list(self.tab.on_run(self.data, self.visitor(name)))

    def run_trial(self, name: str = "a") -> list[dict]:
        return list(self.trial.on_run(self.data, self.visitor(name)))

    def tick(self, instruction: list[str], content: list[str], answer: list[str]) -> None:
        for axis, codes in (("instruction", instruction), ("content", content), ("answer", answer)):
            self.data[self.trial.ticks[axis]] = codes


def merged(updates: list[dict]) -> dict:
    """What the page shows in the end."""
    found: dict = {}
    for update in updates:
        found |= {key: value for key, value in update.items() if not is_skip(value)}
    return found


def is_skip(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"__type__"}


def test_all_four_roles_come_back_from_one_batch() -> None:
    page = Page()
    shown = merged(page.run())
    assert page.shelf.loads == [MODEL]
    for role_id, panel in page.tab.view.panels.items():
        start = ROLES[role_id].text.split(".")[0]
        assert start in shown[panel.side.body]
        assert start in shown[panel.side.prompt]
        assert "4 rows together" in shown[panel.side.receipt]
    assert "one batch" in shown[page.tab.notice]


def test_updates_only_name_components_the_run_is_wired_to() -> None:
    page = Page()
    allowed = {page.tab.notice, *page.tab.view.outputs()}
    assert all(set(update) <= allowed for update in page.run())
    allowed = page.trial.outputs() | {page.trial.csv_btn, page.trial.json_btn}
    assert all(set(update) <= allowed for update in page.run_trial())


def test_an_edited_wording_is_used_marked_and_can_be_taken_back() -> None:
    page = Page()
    page.data[page.tab.roles["creator"]] = "You are a pirate."
    shown = merged(page.run())
    panel = page.tab.view.panels["creator"]
    assert "You are a pirate." in shown[panel.side.prompt]
    marks = page.tab.on_spoken(page.data, page.visitor())
    assert "edited" in marks[panel.title]
    assert marks[panel.restore_btn]["interactive"] is True
    other = page.tab.view.panels["logician"]
    assert "edited" not in marks[other.title]
    assert marks[other.restore_btn]["interactive"] is False


def test_an_empty_question_is_said_and_nothing_runs() -> None:
    page = Page()
    page.data[page.tab.instruction_box] = "  "
    (update,) = page.run()
    assert "question is empty" in update[page.tab.notice]
    assert "q-error" in update[page.tab.notice]
    assert page.shelf.loads == []


@pytest.mark.parametrize("model", ["", "no such model", None])
def test_an_unknown_model_is_said(model: str | None) -> None:
    page = Page()
    page.data[page.tab.model_dd] = model
    for update, notice in ((page.run(), page.tab.notice), (page.run_trial(), page.trial.notice)):
        assert "q-error" in merged(update)[notice]


def test_html_in_question_wording_and_model_text_is_shown_as_text() -> None:
    page = Page()
    page.data[page.tab.instruction_box] = HTML
    page.data[page.tab.roles["creator"]] = HTML
    shown = merged(page.run())
    htmls = [value for value in shown.values() if isinstance(value, str)]
    assert any("&lt;img src=x" in html for html in htmls)
    for html in htmls:
        assert "<img" not in html
        assert "${" not in html
        assert "{{" not in html


def test_stop_ends_the_run_and_one_role_can_be_stopped_alone() -> None:
    backend = SlowEcho()
    page = Page(backend)
    stream = page.tab.on_run(page.data, page.visitor())
    next(stream)
    run = page.context.sessions.of(page.visitor()).runs["roles"]
    page.tab.on_stop(page.visitor(), "creator")
    backend.go.set()
    last = merged(list(stream))
    reasons = {key: live.generation.finish_reason for key, live in run.live.items()}
    assert reasons.pop("creator") == "cancelled"
    assert "cancelled" not in reasons.values()
    assert "stopped by you" in last[page.tab.view.panels["creator"].side.head]


def test_stop_at_once_ends_within_a_moment() -> None:
    page = Page(SlowEcho())
    for stream, stop in (
        (page.tab.on_run(page.data, page.visitor()), page.tab.on_stop),
        (page.trial.on_run(page.data, page.visitor()), page.trial.on_stop),
    ):
        next(stream)
        stop(page.visitor())
        start = time.monotonic()
        list(stream)
        assert time.monotonic() - start < 1


def test_a_second_run_takes_over_from_the_first() -> None:
    backend = SlowEcho()
    page = Page(backend)
    first = page.tab.on_run(page.data, page.visitor())
    next(first)
    old = page.context.sessions.of(page.visitor()).runs["roles"]
    second = page.tab.on_run(page.data, page.visitor())
    next(second)
    # the first ends without another word: the page is the second's now
    assert [u for u in first if not all(is_skip(v) for v in u.values())] == []
    assert old.join(1)
    backend.go.set()
    shown = merged(list(second))
    assert all(panel.side.body in shown for panel in page.tab.view.panels.values())


def test_a_closed_tab_stops_the_computation() -> None:
    page = Page(SlowEcho())
    for stream, place in (
        (page.tab.on_run(page.data, page.visitor()), "roles"),
        (page.trial.on_run(page.data, page.visitor()), "trial"),
    ):
        next(stream)
        run = page.context.sessions.of(page.visitor()).runs[place]
        stream.close()
        assert run.join(1)


def test_visitors_do_not_stop_each_other() -> None:
    backend = SlowEcho()
    page = Page(backend)
    stream = page.tab.on_run(page.data, page.visitor("a"))
    next(stream)
    page.tab.on_stop(page.visitor("b"))
    backend.go.set()
    list(stream)
    run = page.context.sessions.of(page.visitor("a")).runs["roles"]
    reasons = {live.generation.finish_reason for live in run.live.values()}
    assert "cancelled" not in reasons


def test_a_public_page_loads_nothing_that_a_visitor_types() -> None:
    page = Page(public=True)
    page.data[page.tab.model_dd] = "/etc"
    assert "not offered here" in merged(page.run())[page.tab.notice]
    assert "not offered here" in merged(page.run_trial())[page.trial.notice]
    assert (
        "not offered here" in page.trial.on_settings(page.data, page.visitor())[page.trial.banner]
    )


# -- language trial ------------------------------------------------------------------------------


def test_the_trial_streams_a_grid_with_totals_and_files() -> None:
    page = Page()
    page.tick(["en", "zh"], ["en"], ["en", "ja"])
    shown = merged(page.run_trial())
    grid = shown[page.trial.grid]
    assert page.shelf.loads == [MODEL]
    assert [f'data-cell="{key}"' in grid for key in ("en-en-en", "zh-en-ja")] == [True, True]
    assert grid.count("<details") == 4
    assert " of 4 in the language asked." in shown[page.trial.totals]
    path = shown[page.trial.json_btn]["value"]
    with open(path, encoding="utf-8") as file:
        assert len(json.load(file)["cells"]) == 4
    assert shown[page.trial.csv_btn]["value"].endswith(".csv")


def test_a_model_of_one_language_is_warned_of_before_the_run() -> None:
    page = Page()
    banner = page.trial.on_settings(page.data, page.visitor())[page.trial.banner]
    assert "q-warning" in banner
    assert "neither reads nor writes Japanese or Chinese" in banner
    page.tick(["en"], ["en"], ["en", "ja"])
    banner = page.trial.on_settings(page.data, page.visitor())[page.trial.banner]
    assert "does not write Japanese:" in banner
    page.tick(["en"], ["en"], ["en"])
    banner = page.trial.on_settings(page.data, page.visitor())[page.trial.banner]
    assert "q-warning" not in banner


def test_nothing_ticked_is_said_and_nothing_runs() -> None:
    page = Page()
    page.tick([], ["en"], ["en"])
    assert "q-error" in page.trial.on_settings(page.data, page.visitor())[page.trial.banner]
    (update,) = page.run_trial()
    assert "No instruction language is ticked" in update[page.trial.notice]
    assert page.shelf.loads == []


def test_new_settings_do_not_wipe_a_finished_grid() -> None:
    page = Page()
    page.tick(["en"], ["en"], ["en"])
    assert page.trial.grid in page.trial.on_settings(page.data, page.visitor())
    page.run_trial()
    assert page.trial.grid not in page.trial.on_settings(page.data, page.visitor())


def test_the_trial_speaks_with_the_role_text_that_was_chosen() -> None:
    page = Page()
    page.tick(["en"], ["en"], ["en"])
    page.data[page.tab.roles["translator"]] = "You are a parrot."
    for role_id, text in (("plain", "told to write in"), ("translator", "You are a parrot.")):
        page.data[page.trial.role_dd] = role_id
        page.run_trial()
        lives = page.context.sessions.of(page.visitor()).shown["trial"]
        assert text in lives["en-en-en"].prepared.text


def test_html_that_a_model_writes_into_a_cell_is_shown_as_text() -> None:
    page = Page()
    page.tick(["en"], ["en"], ["en"])
    page.data[page.tab.roles["creator"]] = HTML
    page.data[page.trial.role_dd] = "creator"
    grid = merged(page.run_trial())[page.trial.grid]
    assert "&lt;img src=x" in grid
    assert not [code for code in ("<img", "${", "{{", 'onerror="') if code in grid]


def test_every_text_the_server_writes_follows_the_language() -> None:
    page = Page()
    assert page.tab.spoken not in page.tab.on_language(page.visitor(language="ja"))
    assert page.tab.on_open(page.visitor(language="ja")) == "ja"
    assert page.tab.on_open(page.visitor(language="ja")) != "ja"
    page.run()
    page.tick(["en"], ["en"], ["en"])
    page.run_trial()
    updates = page.tab.on_language(page.visitor(language="ja"))
    assert set(updates) <= page.tab.outputs()
    # the state changes, and its listener then words what depends on the controls
    assert updates[page.tab.spoken] == "ja"
    for role_id in ROLE_IDS:
        assert page.tab.view.panels[role_id].side.head in updates
    assert {page.trial.grid, page.trial.totals} <= set(updates)


def test_every_key_the_tab_asks_for_has_words() -> None:
    known = words("en")
    keys = {f"trial.verdict.{kind}" for kind in LOOKS}
    codes = ("knows", "fixed", "instruction", "content", "partly", "mixed", "unclear", "narrow")
    keys |= {f"trial.reading.{code}" for code in codes}
    keys |= {f"trial.unfit.{code}" for code in ("neither", "both", "reads", "writes")}
    keys |= {f"trial.item.{item.id}" for item in list_items()}
    assert {key for key in keys if not known.get(key)} == set()
