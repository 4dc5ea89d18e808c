"""The Evaluate tab by its handlers: a real store, a written-down model, no browser."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.core.settings import Settings
from qeu.services.adapter_card import write_cards
from qeu.store.workspace import Workspace
from qeu.ui.context import Context, Words
from qeu.ui.evaluate_records_view import records_html
from qeu.ui.evaluate_tab import EvaluateTab
from qeu.ui.evaluate_view import evaluation_html
from qeu.ui.sessions import Sessions
from qeu.ui.strings import LANGUAGES, words
from tests.services.evaluate_home import ADAPTER, Model, add, rows, thinking
from tests.services.test_usefulness import STUDENT, Engines

Handler = Callable[..., dict[object, object]]
PATIENCE_S = 20
HTML = '<img src=x onerror="alert(1)">${2}{{x}}'


@cache
def build(
    public: bool,
) -> tuple[Context, EvaluateTab, dict[object, object], dict[str, Handler], gr.Tabs]:
    """The tab in a page of its own, once, with the values that controls have at first."""
    context = Context(Settings(public=public), None)  # type: ignore[arg-type]
    with gr.Blocks() as demo:
        with gr.Tabs() as tabs:
            with gr.Tab():
                runs, menu = gr.HTML(js_on_load=""), gr.HTML(js_on_load="")
            with gr.Tab(id="evaluate") as tab:
                made = EvaluateTab(context, Words(gr.I18n(en=dict(words("en")))))
        made.wire(tab, tabs)
        made.follow_adapters(runs, menu, tabs)
    data = {block: block.value for block in demo.blocks.values() if hasattr(block, "value")}
    links = {one.name: one.fn for one in demo.fns.values() if one.name in ("on_run", "on_menu")}
    return context, made, data, links, tabs  # type: ignore[return-value]


class Shelf(Engines):
    """The shelf of a page: its one model is here from the start."""


class Page:
    """One visitor's view of the tab: what the controls hold, what handlers made of it."""

    def __init__(self, home: Path, public: bool = False) -> None:
        self.context, self.tab, data = build(public)[:3]
        self.model = Model(thinking)
        self.context.settings = Settings(home=home, adapters=home / "adapters", public=public)
        self.context.shelf = Shelf(self.model)  # type: ignore[assignment]
        self.context.sessions = Sessions()
        for name in ("workspace", "evaluations", "limits"):
            self.context.__dict__.pop(name, None)
        self.tab._files.clear()
        self.data = dict(data)
        self.request = self.visitor()
        self.form = self.tab.form

    def visitor(self, name: str = "a", language: str = "en") -> gr.Request:
        headers = {"accept-language": language}
        return SimpleNamespace(session_hash=name, cookies={}, headers=headers)  # type: ignore

    @property
    def workspace(self) -> Workspace:
        return self.context.workspace

    def again(self) -> None:
        """Another page of the same person, just opened."""
        self.data = dict(build(self.tab.public)[2])
        self.request = self.visitor("b")
        self.open()

    def set(self, **changes: object) -> None:
        self.data.update({getattr(self.form, name): value for name, value in changes.items()})

    def do(self, handler, *more: object) -> dict[object, object]:
        """Run a handler; the last update of every component, kept as its value."""
        updates = handler(self.data, *more, self.request)
        for block, update in updates.items():
            is_update = isinstance(update, dict) and "__type__" in update
            if not is_update or "value" in update:
                self.data[block] = update["value"] if is_update else update
        return updates

    def open(self) -> dict[object, object]:
        return self.do(self.tab.on_open)

    def act(self, do: str, value: object) -> dict[object, object]:
        event = SimpleNamespace(_data={"do": do, "value": str(value)})
        return self.do(self.tab.on_act, event)

    def run(self, **changes: object) -> None:
        """Start, and look again until it has ended."""
        self.set(**changes)
        self.do(self.tab.on_start)
        self.wait()

    def wait(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.context.evaluations.running:
            assert time.monotonic() < end, self.shown(self.tab.line)
            time.sleep(0.005)
        if "q-error" not in str(self.data[self.tab.line]):
            self.do(self.tab.on_tick)

    def shown(self, block: object) -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", str(self.data[block] or "")).split())


def make_adapter(adapters: Path, name: str = "poems") -> None:
    folder = adapters / name
    folder.mkdir(parents=True)
    contract = Path(__file__).parents[1] / "contract" / "run.json"
    run = json.loads(contract.read_text("utf-8")) | {
        "name": name, "layout": "bonsai-v2", "target": "both", "role": "assistant",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": STUDENT, "r": 4, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "home")
    make_adapter(page.context.settings.adapters)
    page.context.shelf.adapters = page.context.settings.adapters  # type: ignore[attr-defined]
    add(page.workspace, rows(9))
    page.open()
    page.set(dataset_dd="demo", seeds_num=1, examples_num=0)
    yield page
    page.context.end_jobs()


def test_the_newest_adapter_stands_against_its_base(page: Page):
    assert page.data[page.form.base_dd] == STUDENT
    assert page.data[page.form.others_dd] == [ADAPTER]
    assert "Nothing has been evaluated yet" in page.shown(page.tab.report)
    told = page.tab.on_change(page.data, page.request)
    # base as it is, base in the adapter's layout, the adapter
    assert "27 texts: 9 records × 3 ways of asking × 1." in told
    page.set(limit_num=4, seeds_num=3, reasonings_cbg=["own", "none"])
    assert "48 texts: 4 records × 4" in page.tab.on_change(page.data, page.request)


def test_the_shipped_records_are_offered_and_counted_before_they_are_there(tmp_path: Path):
    page = Page(tmp_path / "home")
    page.open()
    assert page.data[page.form.dataset_dd] == "shipped"
    told = page.tab.on_change(page.data, page.request)
    count = int(re.search(r"(\d+) records", told)[1])  # type: ignore[index]
    lines = (Path(__file__).parents[2] / "data" / "validation.jsonl").read_text("utf-8")
    assert count == len(lines.splitlines())


def test_verdict_figures_picture_and_texts(page: Page):
    page.run()
    html, told = str(page.data[page.tab.report]), page.shown(page.tab.report)
    verdicts = re.findall(r'class="q-verdict q-(\w+)"', html)
    assert verdicts == ["helps", "unclear"]
    assert f"{ADAPTER} (its own reasoning) helps against {STUDENT}, as it is: right" in told
    assert told.index("helps against") < told.index("Every way by itself")
    assert "right answers (checkable ones) ↑ 0% (0–30)" in told
    assert html.count("<svg") == 2
    assert "<style" not in html
    assert "+100.0 points" in told
    assert "What is 20 times 13?" in told
    assert "9 of 9 records; the ways disagree about 9" in told
    assert "--adapter poems" in told
    assert f"--dataset demo --base {STUDENT}" in told


def test_files_to_take_away(page: Page):
    assert page.data[page.tab.json_btn] is None
    page.run()
    report = Path(str(page.data[page.tab.html_btn])).read_text("utf-8")
    assert "helps against" in report
    data = json.loads(Path(str(page.data[page.tab.json_btn])).read_text("utf-8"))
    assert len(data["texts"]) == 27
    assert data["pairs"][0]["verdict"] == "helps"


def test_another_page_and_another_start_show_the_last_one_at_once(page: Page):
    page.run(seeds_num=2)
    asked = len(page.model.asked)
    page.context.__dict__.pop("evaluations")  # the program was started again
    page.again()
    assert "helps against" in page.shown(page.tab.report)
    assert page.data[page.form.seeds_num] == 2
    assert page.data[page.form.dataset_dd] == "demo"
    assert page.shown(page.tab.line) == ""
    assert len(page.model.asked) == asked


def test_it_goes_on_whoever_looks_and_is_stopped_by_anybody(page: Page):
    gate, reached = threading.Event(), threading.Event()

    def write(prompt: str) -> str:
        if len(page.model.asked) == 5:
            reached.set()
            assert gate.wait(PATIENCE_S)
        return thinking(prompt)

    page.model.write = write  # type: ignore[assignment]
    seen = page.do(page.tab.on_start)
    assert reached.wait(PATIENCE_S)
    assert seen[page.tab.timer].active is True  # type: ignore[attr-defined]
    page.do(page.tab.on_start)
    assert "still running" in page.shown(page.tab.line)
    page.again()
    assert "Writing texts" in page.shown(page.tab.line)
    assert re.search(r"\d of 27", page.shown(page.tab.line))
    page.tab.on_stop(page.request)
    gate.set()
    page.wait()
    assert "Not finished. What was written and computed is kept" in page.shown(page.tab.line)
    assert "Nothing has been evaluated yet" in page.shown(page.tab.report)
    page.context.__dict__.pop("evaluations")
    page.again()
    assert "did not come to its end" in page.shown(page.tab.line)
    before = len(page.model.asked)
    page.run()
    assert before < len(page.model.asked) == 27
    assert "helps against" in page.shown(page.tab.report)
    assert page.shown(page.tab.line) == ""


def test_nothing_is_sent_again_while_nothing_is_new(page: Page):
    page.run()
    assert page.tab.report not in page.do(page.tab.on_tick)
    assert page.tab.report not in page.open()
    page.request = page.visitor("a", "ja")
    assert page.tab.report in page.open()


def test_earlier_ones_can_be_gone_back_to(page: Page):
    page.run(limit_num=3)
    page.run(limit_num=0)
    assert "9 records" in page.shown(page.tab.report)
    number = re.search(r'data-do="show" data-value="(\d+)"', str(page.data[page.tab.report]))[1]  # type: ignore[index]
    page.act("show", number)
    assert "3 records" in page.shown(page.tab.report)
    page.act("show", "99")
    assert "Nothing has been evaluated yet" in page.shown(page.tab.report)
    page.run(limit_num=4)
    assert "4 records" in page.shown(page.tab.report)


def test_how_long_it_takes_is_told_once_one_was_made(page: Page):
    assert "At the pace" not in page.tab.on_change(page.data, page.request)
    page.run()
    assert "At the pace of an earlier one" in page.tab.on_change(page.data, page.request)
    page.set(base_dd="phi-2", others_dd=[])
    assert "At the pace" not in page.tab.on_change(page.data, page.request)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset_dd": None}, "No data set is chosen"),
        ({"base_dd": ""}, "No base is chosen"),
        ({"base_dd": ADAPTER}, "is an adapter. Choose the model"),
        ({"base_dd": "phi-2"}, "does not belong to phi-2"),
        ({"reasonings_cbg": []}, "Choose at least one reasoning"),
        ({"seeds_num": 0}, "seeds is 0"),
        ({"examples_num": 99}, "examples is 99"),
        ({"limit_num": -1}, "limit is -1"),
        ({"tokens_num": None}, "max_new_tokens"),
        ({"dataset_dd": "gone"}, "gone"),
    ],
)
def test_what_cannot_be_meant_is_said(page: Page, changes: dict[str, object], told: str):
    page.set(**changes)
    assert told in page.tab.on_change(page.data, page.request)
    page.run()
    assert told in page.shown(page.tab.line)
    assert page.model.asked == []


def test_a_defect_is_told_and_the_next_start_works(page: Page, caplog):
    page.model.write = lambda prompt: str(1 // 0)  # type: ignore[assignment]
    page.run()
    assert "ZeroDivisionError" in page.shown(page.tab.line) + caplog.text
    page.model.write = thinking  # type: ignore[assignment]
    page.run()
    assert "helps against" in page.shown(page.tab.report)


def test_texts_of_others_are_shown_as_text(page: Page):
    page.model.write = lambda prompt: HTML  # type: ignore[assignment]
    page.run()
    html = str(page.data[page.tab.report])
    assert "&lt;img src=x" in html
    assert "<img" not in html
    assert "{" not in html


def test_names_of_others_are_shown_as_text(page: Page):
    page.run()
    kept = page.context.evaluations.find()
    assert kept is not None
    ways = tuple(
        replace(way, facts=replace(way.facts, name=f"{HTML} {at}"))
        for at, way in enumerate(kept.evaluation.ways)
    )
    named = replace(kept, evaluation=replace(kept.evaluation, ways=ways))
    html = evaluation_html(named, HTML, (), "en")
    assert html.count("&lt;img") > 10
    assert not set("{$`") & set(html)
    assert "<img" not in html


def test_records_where_ways_disagree_come_first(page: Page):
    def write(prompt: str) -> str:
        return thinking(prompt) if " 25 times" in prompt else "no"

    page.model.write = write  # type: ignore[assignment]
    page.run()
    kept = page.context.evaluations.find()
    assert kept is not None
    shown = records_html(kept.evaluation, "en")
    assert "disagree about 1" in shown
    assert shown.index("What is 25") < shown.index("What is 20")


def test_a_run_of_the_train_tab_leads_here(page: Page):
    make_adapter(page.context.settings.adapters, "songs")
    links, tabs = build(False)[3:]
    page.data[page.tab.state] = {}
    page.set(others_dd=[])

    def click(do: str, value: str) -> dict[object, object]:
        seen = links["on_run"](SimpleNamespace(_data={"do": do, "value": value}))
        menu = links["on_menu"](SimpleNamespace(ask=f"{do}\n{value}", typed={}))
        assert str(menu) == str(seen)  # the adapter's menu leads here, too
        return seen

    seen = click("evaluate", "songs")
    assert seen[tabs]["selected"] == "evaluate"
    page.data.update({block: seen[block] for block in seen if block is not tabs})
    page.open()  # as the tab is, then
    assert page.data[page.form.others_dd] == [f"{STUDENT}@songs"]
    assert page.data[page.form.base_dd] == STUDENT
    assert page.form.others_dd not in click("choose", "songs")
    assert page.form.base_dd not in click("evaluate", "gone")


def test_what_came_with_an_adapter_is_shown_before_anything_was_run(page: Page):
    page.run()
    kept = page.context.evaluations.find()
    assert kept is not None
    adapters = page.context.settings.adapters
    write_cards(adapters, page.workspace, kept.evaluation)
    other = Page(page.context.settings.home.parent / "other")
    other.context.settings = Settings(home=other.context.settings.home, adapters=adapters)
    other.open()
    assert "Came with the adapter poems" in other.shown(other.tab.report)
    assert "helps against" in other.shown(other.tab.report)
    assert "9 records" in other.shown(other.tab.report)
    # of other weights it says nothing
    (adapters / "poems" / "adapter_model.safetensors").write_bytes(b"\x03\0\0\0\0\0\0\0{} ")
    other.open()
    assert "Nothing has been evaluated yet" in other.shown(other.tab.report)


def test_a_public_page_shows_what_came_with_adapters_and_starts_nothing(page: Page):
    page.run()
    kept = page.context.evaluations.find()
    assert kept is not None
    adapters = page.context.settings.adapters
    write_cards(adapters, page.workspace, kept.evaluation)
    public = Page(page.context.settings.home, public=True)
    public.context.settings = Settings(home=adapters.parent, adapters=adapters, public=True)
    public.open()
    told = public.shown(public.tab.report)
    assert "no evaluation is started" in told
    assert "Came with the adapter poems" in told
    assert not hasattr(public.tab, "start_btn")
    public.act("show", 1)
    assert "evaluations" not in public.context.__dict__


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_follows_the_language_of_the_page(page: Page, language: str):
    page.run()
    page.request = page.visitor("a", language)
    page.do(page.tab.on_language)
    told = page.shown(page.tab.report)
    for key in ("evaluate.measure.right", "evaluate.verdict.helps", "evaluate.better"):
        assert words(language)[key] in told
    assert "evaluate." not in told
    # who has not looked at the tab yet gets nothing
    new = page.tab.on_language(page.data, page.visitor("new"))
    assert new == {page.tab.state: gr.skip()}
