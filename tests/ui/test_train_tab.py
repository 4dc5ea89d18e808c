"""The Train tab by its handlers: a real store and real folders of runs, no browser, no training."""

import atexit
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.core.train_presets import PRESETS
from qeu.services.shipped_data import import_shipped
from qeu.services.train_command import to_command, to_twins_command
from qeu.services.train_order import TrainOrder
from qeu.services.train_yaml import order_from_yaml
from qeu.store.filters import ALL, Filter
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.sessions import Sessions
from qeu.ui.strings import words
from qeu.ui.train_form import TRAIN_SPLIT
from qeu.ui.train_runs_list import adapters_mark
from qeu.ui.train_tab import TrainTab
from tests.ui.train_runs import make_run

Answer = dict[object, object]


@cache
def build(public: bool) -> tuple[Context, DatasetPlace, TrainTab, Answer]:
    """The tab in a page of its own, once, with the values that controls have at first."""
    context = Context(Settings(public=public), SimpleNamespace(loaded=tuple))  # type: ignore[arg-type]
    with gr.Blocks() as demo:
        place = DatasetPlace(gr.Dropdown([]), gr.State({}), gr.Number(0), gr.HTML())
        with gr.Tabs() as tabs:
            with gr.Tab():
                pass
            with gr.Tab() as tab:
                made = TrainTab(context, Words(gr.I18n(en=dict(words("en")))), place)
        made.wire(tab, tabs)
    data = {block: block.value for block in demo.blocks.values() if hasattr(block, "value")}
    return context, place, made, data


@cache
def shipped() -> Path:
    """A workspace with the shipped records, to be copied."""
    path = Path(tempfile.mkdtemp(prefix="qeu-test-")) / "qeu.db"
    workspace = Workspace(path)
    import_shipped(workspace)
    workspace.close()
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    return path


class Page:
    """One visitor's view of the tab: what the controls hold, what handlers made of it."""

    def __init__(self, home: Path, public: bool = False) -> None:
        self.context, self.place, self.tab, data = build(public)
        self.context.settings = Settings(home=home, adapters=home / "adapters", public=public)
        self.context.sessions = Sessions()
        self.context.__dict__.pop("workspace", None)
        self.data = dict(data)
        self.request = SimpleNamespace(session_hash="a", cookies={}, headers={})
        self.runs, self.order = self.tab.runs, self.tab.order
        self.adapters = home / "adapters"

    def do(self, handler, *before: object) -> Answer:
        """Run a handler to its end; the last update of every component, kept as its value."""
        seen: Answer = {}
        updates = handler(*(before or (self.data,)), self.request)
        for one in updates if isinstance(updates, Iterator) else [updates]:
            for block, update in one.items():
                is_update = isinstance(update, dict) and "__type__" in update
                if not is_update or "value" in update:
                    self.data[block] = update["value"] if is_update else update
                seen[block] = update
        return seen

    def act(self, do: str, value: str = "") -> Answer:
        """One click in the list or the samples."""
        event = SimpleNamespace(_data={"do": do, "value": value})
        return self.do(self.runs.on_act, self.data, event)

    def open(self) -> Answer:
        """The tab is opened, with the shipped records."""
        self.context.settings.home.mkdir(exist_ok=True)
        shutil.copy(shipped(), self.context.settings.home / "qeu.db")
        return self.do(self.tab.on_open)

    def change(self, *pairs: tuple[object, object]) -> None:
        """A person changes controls; the page hears of it."""
        self.data.update(dict(pairs))
        self.data.update(self.order.on_change(self.data))

    def shown(self, block: object) -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", str(self.data[block] or "")).split())


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


class TestForm:
    def test_without_records_it_says_where_to_get_some(self, page, monkeypatch):
        monkeypatch.setattr("qeu.ui.train_form.find_shipped", dict)
        page.do(page.tab.on_open)
        assert "No data set yet" in page.shown(page.order.line)

    def test_without_records_it_offers_those_that_come_with_the_program(self, page):
        page.do(page.tab.on_open)
        assert page.order.form.read(page.data).dataset == "shipped"
        assert page.shown(page.order.line) == ""

    def test_it_opens_on_the_training_split_under_a_free_name(self, page):
        make_run(page.adapters, "smollm2-135m-shipped-1")
        page.open()
        order = page.order.form.read(page.data)
        assert (order.dataset, order.where) == ("shipped", TRAIN_SPLIT)
        assert order.name == "smollm2-135m-shipped-2"
        assert order.training == PRESETS[0].training

    @pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
    def test_a_preset_sets_the_base_and_all_settings(self, page, preset):
        page.open()
        page.data[page.order.form.preset_dd] = preset.id
        page.do(page.order.on_preset)
        assert preset.source[:40] in page.shown(page.order.form.preset_note)
        order = page.order.form.read(page.data)
        assert (order.base, order.lora, order.training) == (
            preset.base, preset.lora, preset.training,
        )  # fmt: skip
        assert (order.watch, order.epochs) == (preset.watch, preset.epochs)

    def test_the_filter_of_the_dataset_tab_counts_where_it_shows_the_same_data(self, page):
        page.open()
        form = page.order.form
        page.data |= {
            page.place.name_dd: "shipped", page.place.filter_state: {"category": ["math"]},
            form.scope_dd: "filter",
        }  # fmt: skip
        assert form.read(page.data).where == Filter(category=("math",))
        page.data[page.place.name_dd] = "another"
        assert form.read(page.data).where == ALL

    def test_the_command_and_the_yaml_are_what_start_would_do(self, page):
        page.open()
        form = page.order.form
        page.change(
            (form.seed_num, 5), (form.reasoning_dd, "shuffled"), (form.loss_cbg, ["output"])
        )
        order = form.read(page.data)
        assert order.variant.loss_on == ("output",)
        assert page.data[page.order.command_box] == to_command(order)
        assert order_from_yaml(page.data[page.order.yaml_box]) == order

    def test_twins_are_one_command(self, page):
        page.open()
        form = page.order.form
        page.change((form.twins_cbg, ["shuffled", "own"]), (form.seeds_box, "0, 3 3"))
        expected = to_twins_command(form.read(page.data), ("own", "shuffled"), (0, 3))
        assert page.data[page.order.command_box] == expected

    @pytest.mark.parametrize("written", ["", "a", "1.5", "-1", "9" * 40])
    def test_odd_seeds_are_refused_in_words(self, page, written):
        page.open()
        form = page.order.form
        page.data |= {form.twins_cbg: ["own"], form.seeds_box: written}
        with pytest.raises(QeuError, match="whole numbers with commas"):
            form.read_twins(page.data)
        page.do(page.order.on_look)
        assert "whole numbers with commas" in page.shown(page.order.line)

    def test_settings_come_back_from_yaml_as_they_were(self, page):
        page.open()
        form = page.order.form
        page.change((form.dropout_num, 0.25), (form.role_dd, "by_category"))
        written, order = page.data[page.order.yaml_box], form.read(page.data)
        page.change((form.dropout_num, 0), (form.role_dd, "creator"), (form.seed_num, 9))
        page.data[page.order.yaml_box] = written
        page.do(page.order.on_apply)
        assert form.read(page.data) == order

    def test_a_wrong_yaml_changes_nothing_and_says_why(self, page, tmp_path):
        page.open()
        before = page.order.form.read(page.data)
        page.data[page.order.yaml_box] = "training: {stepps: 3}"
        page.do(page.order.on_apply)
        assert "stepps" in page.shown(page.order.line)
        file = tmp_path / "bad.yaml"
        file.write_bytes(b"\xff\xfe: [")
        page.data[page.order.load_btn] = str(file)
        page.do(page.order.on_load)
        assert "q-error" in str(page.data[page.order.line])
        assert page.order.form.read(page.data) == before

    def test_a_run_refills_the_form_but_its_name(self, page):
        run = make_run(page.adapters, "poems", target="answer", where={"category": ["math"]},
                       twins=("own-s0", "none-s0"))  # fmt: skip
        page.open()
        event = SimpleNamespace(_data={"do": "refill", "value": "poems"})
        page.do(page.tab.on_refill, page.data, event)
        order = page.order.form.read(page.data)
        known = TrainOrder.from_passport(run.passport())
        assert order == replace(known, name=order.name)
        assert order.name != "poems"

    def test_the_length_that_keeps_most_is_one_click(self, page):
        box = page.order.form.settings.parts["training"]["max_length"]
        for value, expected in (("939", 939), ("x", gr.skip()), ("", gr.skip())):
            event = SimpleNamespace(_data={"do": "length", "value": value})
            assert page.order.on_report(event)[box] == expected

    def test_problems_of_a_plan_are_all_told(self, page):
        page.open()
        form = page.order.form
        page.data |= {form.settings.parts["training"]["steps"]: 0, form.loss_cbg: []}
        page.do(page.order.on_look)
        told = page.shown(page.order.report)
        assert "steps is 0" in told
        assert "loss_on" in told

    def test_what_cannot_start_makes_nothing(self, page):
        page.open()
        page.data[page.order.form.settings.parts["training"]["steps"]] = 0
        page.do(page.tab.on_start)
        assert "steps is 0" in page.shown(page.order.line)
        assert not list(page.adapters.glob("*"))


class TestRuns:
    def test_the_clock_runs_only_while_a_run_does(self, page):
        make_run(page.adapters, "done")
        assert page.open()[page.runs.timer].active is False
        make_run(page.adapters, "going", "running")
        assert page.do(page.runs.on_tick)[page.runs.timer].active is True

    def test_the_clock_stands_still_while_another_tab_is_shown(self, page):
        away, here = (SimpleNamespace(index=index) for index in (0, 1))
        assert page.tab.on_leave(away)[page.runs.timer].active is False
        assert page.tab.on_leave(here)[page.runs.timer] == gr.skip()

    def test_what_has_not_changed_is_not_sent_again(self, page):
        run = make_run(page.adapters, "going", "running")
        page.open()
        assert page.runs.list not in page.do(page.runs.on_tick)
        run.write_status(replace(run.written_status(), step=41))
        again = page.do(page.runs.on_tick)
        assert page.runs.list in again
        assert page.runs.samples not in again

    def test_the_latest_run_is_looked_at_until_another_is_chosen(self, page):
        make_run(page.adapters, "a")
        make_run(page.adapters, "later")
        page.open()
        assert "later" in page.shown(page.runs.head)
        page.act("choose", "a")
        assert "later" not in page.shown(page.runs.head)
        page.act("beside", "later")
        assert "Side by side" in page.shown(page.runs.compare)
        page.act("beside", "a")
        assert page.shown(page.runs.compare) == ""

    def test_a_step_of_the_samples_is_chosen(self, page):
        make_run(page.adapters, "a")
        page.open()
        page.act("step", "20")
        assert "Asked at 20?" in page.shown(page.runs.samples)

    def test_a_delete_is_asked_about_first(self, page):
        make_run(page.adapters, "a")
        page.open()
        page.act("delete", "a")
        assert "Delete a with its adapter?" in page.shown(page.runs.list)
        page.act("never_mind", "a")
        assert "with its adapter?" not in page.shown(page.runs.list)
        assert (page.adapters / "a").is_dir()
        page.act("delete", "a")
        page.act("delete_sure", "a")
        assert not (page.adapters / "a").exists()
        assert "a is deleted." in page.shown(page.runs.line)

    def test_stop_and_keep_is_a_wish_in_the_folder(self, page):
        run = make_run(page.adapters, "a", "running")
        page.open()
        page.act("keep", "a")
        assert run.wanted_stop() == "keep"
        # nobody works on it: let the patient thread go home
        run.write_status(replace(run.written_status(), state="stopped", owner=""))

    @pytest.mark.parametrize("do", ["keep", "delete_sure", "resume", "discard_sure"])
    def test_a_run_that_is_gone_is_told(self, page, do):
        page.open()
        page.act(do, "../../etc")
        assert "There is no run" in page.shown(page.runs.line)

    @pytest.mark.parametrize("act", [("nonsense", "a"), ("step", "x"), ("", "")])
    def test_what_nobody_could_click_is_refused(self, page, act):
        make_run(page.adapters, "a")
        page.open()
        page.act(*act)
        assert "q-error" in str(page.data[page.runs.line])

    def test_many_runs_are_folded_away(self, page):
        for number in range(9):
            make_run(page.adapters, "x" * (number + 1), step=0)
        page.open()
        assert str(page.data[page.runs.list]).count("<article") == 6
        page.act("more")
        assert str(page.data[page.runs.list]).count("<article") == 9

    def test_a_new_adapter_changes_the_mark_that_the_pickers_follow(self, page, tmp_path):
        run = make_run(page.adapters, "a")
        before = adapters_mark(page.adapters)
        assert adapters_mark(page.adapters) == before
        (run.path / "adapter_model.safetensors").write_bytes(b"1")
        assert adapters_mark(page.adapters) != before
        assert adapters_mark(tmp_path / "nowhere") == adapters_mark(tmp_path / "neither")

    def test_another_language_reaches_it_once_it_was_opened(self, page):
        assert not {page.tab.spoken, page.runs.seen} & set(page.tab.on_language(page.request))
        page.open()
        page.request.headers["accept-language"] = "ja"
        updates = page.tab.on_language(page.request)
        assert set(updates) <= page.tab.outputs()
        assert (updates[page.tab.spoken], updates[page.runs.seen]) == ("ja", {})


class TestPublic:
    def test_it_shows_runs_and_starts_nothing(self, tmp_path):
        page = Page(tmp_path, public=True)
        make_run(page.adapters, "shipped")
        assert page.order is None
        page.do(page.tab.on_open)
        assert "shipped" in page.shown(page.runs.list)
        assert str(page.data[page.runs.curves]).count("<figure") == 7
        for deed in ("keep", "discard_sure", "resume", "delete_sure"):
            page.act(deed, "shipped")
            assert "public page trains nothing" in page.shown(page.runs.line)
        assert RunFolder(page.adapters / "shipped").status().state == "finished"
        assert page.data[page.runs.log] in ("", None)
