"""A sweep's part of the page as its tests use it: a real store, a written-down model."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from qeu.core.roles import ROLES
from qeu.core.settings import Settings
from qeu.services.compare import SIDES
from qeu.ui.compare_form import CompareForm, QuestionForm, SideForm
from qeu.ui.context import Context, Words
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sessions import Sessions
from qeu.ui.strings import words
from qeu.ui.sweep_tab import SweepTab
from qeu.ui.sweep_use import SweepUse
from tests.services.test_sweep import Model, by_temperature
from tests.services.test_usefulness import STUDENT, Engines
from tests.ui.test_evaluate_tab import PATIENCE_S

GRID = {"temperature": "0, 0.7, 1", "top_p": "0.9, 1"}


def act_of(do: str, value: object) -> SimpleNamespace:
    """A click within our own HTML as the page tells of it."""
    return SimpleNamespace(_data={"do": do, "value": str(value)})


class Built:
    """The part in a page of its own, built once, with the values that controls have at first."""

    def __init__(self, public: bool) -> None:
        self.context = Context(Settings(public=public), None)  # type: ignore[arg-type]
        say = Words(gr.I18n(en=dict(words("en"))))
        with gr.Blocks() as demo:
            sampling, exact = SamplingForm(say, "common"), gr.Checkbox(False)
            roles = {role: gr.Textbox(ROLES[role].text) for role in ROLES}
            with gr.Tabs() as self.tabs:
                with gr.Tab(id="compare"):
                    question, notice = QuestionForm(say), gr.HTML()
                    sides = {name: SideForm(say, name, []) for name in SIDES}
                    self.compare = CompareForm(question, sides, sampling, exact, roles)
                with gr.Tab(id="evaluate") as tab, gr.Tabs() as self.parts:
                    with gr.Tab(id="verdict"):
                        gr.HTML()
                    with gr.Tab(id="sweep") as part:
                        self.sweep = SweepTab(self.context, say, sampling, exact, roles)
            view = SimpleNamespace(notice=notice)
            use = SweepUse(self.compare, view, self.tabs, self.parts)  # type: ignore[arg-type]
            self.notice, self.button = notice, gr.Button()
            self.sweep.wire(part, self.parts, tab, self.tabs, use)
            if self.sweep.form:
                use.wire(self.button, self.sweep.form, self.sweep.state)
        self.data = {b: b.value for b in demo.blocks.values() if hasattr(b, "value")}
        self.handlers = {one.name: one.fn for one in demo.fns.values()}


@cache
def build(public: bool) -> Built:
    return Built(public)


class Page:
    """One visitor's view: what the controls hold, what handlers made of it."""

    def __init__(self, home: Path, public: bool = False, language: str = "en") -> None:
        self.built = build(public)
        self.context, self.tab, self.form = (
            self.built.context, self.built.sweep, self.built.sweep.form,
        )  # fmt: skip
        self.model = Model(by_temperature)
        self.context.settings = Settings(home=home, adapters=home / "adapters", public=public)
        self.context.shelf = Engines(self.model)  # type: ignore[assignment]
        self.context.sessions = Sessions()
        for name in ("workspace", "sweeps", "limits"):
            self.context.__dict__.pop(name, None)
        self.data = dict(self.built.data)
        self.speak(language)

    def speak(self, language: str) -> None:
        headers = {"accept-language": language}
        self.request = SimpleNamespace(session_hash="a", cookies={}, headers=headers)

    def again(self) -> None:
        """Another page of the same person, just opened."""
        self.data = dict(self.built.data)
        self.do(self.tab.on_open)

    def set(self, **changes: object) -> None:
        self.data.update({getattr(self.form, name): value for name, value in changes.items()})

    def grid(self, **written: str) -> None:
        assert self.form
        self.data.update({box: written.get(n, "") for n, box in self.form.grid_boxes.items()})

    def do(self, handler, *more: object) -> dict[object, object]:
        """Run a handler; the last update of every component, kept as its value."""
        return self.keep(handler(self.data, *more, self.request))

    def keep(self, updates: dict[object, object]) -> dict[object, object]:
        for block, update in updates.items():
            is_update = isinstance(update, dict) and "__type__" in update
            if not is_update or "value" in update:
                self.data[block] = update["value"] if is_update else update
        return updates

    def act(self, do: str, value: object) -> dict[object, object]:
        return self.do(self.tab.on_act, act_of(do, value))

    def text_act(self, do: str, value: object) -> dict[object, object]:
        return self.keep(
            self.tab.on_text(self.data[self.tab.state], act_of(do, value), self.request)
        )

    def run(self) -> None:
        """Start, and look again until it has ended."""
        self.do(self.tab.on_start)
        self.wait()

    def wait(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.context.sweeps.running:
            assert time.monotonic() < end, self.shown(self.tab.line)
            time.sleep(0.005)
        if "q-error" not in self.html(self.tab.line):
            self.do(self.tab.on_tick)

    def html(self, block: object) -> str:
        return str(self.data[block] or "")

    def shown(self, block: object) -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", self.html(block)).split())

    @property
    def about(self) -> str:
        return re.sub(r"<[^>]+>", "", self.tab.on_change(self.data, self.request))

    def fields(self) -> list[str]:
        """What stands on the fields of the map, row by row."""
        found = re.findall(r"<button[^>]*data-do=\"field\"[^>]*>(.*?)</button>", self.report)
        return [re.sub(r"<[^>]+>", "", one) for one in found]

    @property
    def report(self) -> str:
        return self.html(self.tab.report)


@contextmanager
def opened(home: Path) -> Iterator[Page]:
    """A visitor before an order of six cells; the work is ended afterwards."""
    page = Page(home)
    page.do(page.tab.on_open)
    page.set(models_dd=[STUDENT], seeds_num=2, instruction_box="What is 6 times 7?")
    page.set(reference_box="42")
    page.grid(**GRID)
    try:
        yield page
    finally:
        page.context.end_jobs()
