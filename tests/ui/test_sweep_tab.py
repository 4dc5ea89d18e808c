"""The sweep by its handlers, from the order to Compare: no browser."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.sweep_spec import SweepPrompt
from qeu.services.compare import Comparison, SideSettings
from qeu.store.sweeps import OPEN, list_sweeps, set_sweep_state
from qeu.ui.context import Context, Words
from qeu.ui.evaluate_tab import EvaluateTab
from qeu.ui.strings import words
from qeu.ui.sweep_reader import SweepReader
from tests.services.evaluate_home import add, rows
from tests.services.test_sweep import by_temperature
from tests.services.test_usefulness import STUDENT
from tests.ui.sweep_page import Page, act_of, opened
from tests.ui.test_evaluate_tab import PATIENCE_S


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with opened(tmp_path / "home") as page:
        yield page


class TestOrder:
    def test_a_first_order_stands_there_and_is_counted(self, tmp_path: Path) -> None:
        page = Page(tmp_path / "home")
        page.do(page.tab.on_open)
        assert page.data[page.form.instruction_box] == "What makes a good teacher?"
        assert "Nothing has been swept yet" in page.shown(page.tab.report)
        page.set(models_dd=[STUDENT])
        # at temperature 0 nothing is drawn: two of six combinations are one
        assert page.about.startswith("Cells: 5 · prompts: 1 · seeds: 4 at most · texts: 17.")
        assert "will be known after a first one" in page.about

    def test_what_is_there_already_is_told(self, page: Page) -> None:
        page.run()
        assert "9 of them are there already" in page.about
        page.grid(temperature="0, 0.2", top_p="0.9")
        assert "texts: 3. 1 of them" in page.about

    def test_records_of_a_data_set(self, page: Page) -> None:
        add(page.context.workspace, rows(9))
        page.do(page.tab.on_open)
        updates = page.tab.on_source("demo")
        assert updates[page.form.typed_group]["visible"] == "hidden"
        assert updates[page.form.records_group]["visible"] is True
        page.set(source_dd="demo", limit_num=7, split_dd="validation")
        assert "prompts: 7 · seeds: 2" in page.about
        page.run()
        assert "prompts: 7" in page.shown(page.tab.report)
        page.act("field", "0,0")
        asked = re.findall(r"What is (\d+) times 13\?", page.shown(page.tab.texts))
        assert len(set(asked)) == 7
        page.set(split_dd="test")
        page.do(page.tab.on_start)
        assert "No record" in page.shown(page.tab.line)

    def test_the_shipped_records_are_counted_before_they_are_there(self, page: Page) -> None:
        page.set(source_dd="shipped", limit_num=0, split_dd="validation")
        count = int(re.search(r"prompts: (\d+)", page.about)[1])  # type: ignore[index]
        lines = (Path(__file__).parents[2] / "data" / "validation.jsonl").read_text("utf-8")
        assert count == len(lines.splitlines())

    def test_several_typed_prompts_stand_apart_by_hyphens(self, page: Page) -> None:
        page.set(
            instruction_box="One?\n---\nTwo?\n ---- \nThree?", reference_box="1\n---\n2\n---\n3"
        )
        spec = page.form.read(page.data)
        assert spec.prompts == tuple(
            SweepPrompt(f"{name}?", reference=str(at + 1))
            for at, name in enumerate(("One", "Two", "Three"))
        )
        assert page.form.fill(spec)[page.form.instruction_box] == "One?\n---\nTwo?\n---\nThree?"
        page.set(reference_box="1\n---\n2")
        assert "3 prompts, but 2 parts" in page.about
        page.set(reference_box="1")
        assert "3 prompts, but 1 parts" in page.about
        page.set(reference_box="")
        assert [one.reference for one in page.form.read(page.data).prompts] == ["", "", ""]

    @pytest.mark.parametrize(
        ("written", "told"),
        [
            ("hot", "is not a list of numbers"),
            ("0, 9", "choose 0 to 5"),
            ("0\u30010.5\uff0c1", "Cells: 5"),
            ("", "Cells: 2"),
        ],
    )
    def test_values_as_people_write_them(self, page: Page, written: str, told: str) -> None:
        page.grid(temperature=written, top_p="0.9, 1")
        assert told in page.about

    def test_what_is_not_in_the_grid_is_as_the_page_has_it(self, page: Page) -> None:
        page.data[page.form.sampling.controls["top_k"]] = 3
        page.data[page.form.roles["creator"]] = "You rhyme."
        page.set(use_reasoning_cb=True)
        page.data[page.form.choice_dds["role"]] = ["own", "creator"]
        spec = page.form.read(page.data)
        assert spec.sampling.top_k == 3
        assert spec.roles == ("", "creator")
        assert spec.wordings == {"creator": "You rhyme."}
        assert spec.use_reasoning

    def test_a_very_large_one_is_asked_about_first(self, page: Page) -> None:
        page.grid(
            temperature=",".join(f"{at / 100:g}" for at in range(1, 200)), top_k="1,2,3,4,5,6"
        )
        assert "Cells: 1,194" in page.about
        page.do(page.tab.on_start)
        assert "Press Start once more" in page.shown(page.tab.line)
        assert list_sweeps(page.context.workspace) == []
        page.set(seeds_num=3)  # another order is asked about again
        page.do(page.tab.on_start)
        assert not page.context.sweeps.latest
        page.do(page.tab.on_start)
        assert page.context.sweeps.latest
        page.do(lambda data, request: page.tab.on_stop(request) or {})
        page.wait()

    def test_an_order_that_cannot_be_meant_is_told(self, page: Page) -> None:
        page.set(models_dd=[])
        page.do(page.tab.on_start)
        assert "A sweep needs a model" in page.shown(page.tab.line)
        page.set(models_dd=["no-such-model"])
        page.do(page.tab.on_start)
        page.wait()
        assert "no-such-model" in page.shown(page.tab.line)


class TestGoingOn:
    def test_another_page_and_another_start_show_the_last_one(self, page: Page) -> None:
        page.run()
        asked = len(page.model.asked)
        page.context.__dict__.pop("sweeps")  # the program was started again
        page.again()
        assert page.fields()[:2] == ["100%★", "100%★"]
        assert page.data[page.form.grid_boxes["temperature"]] == "0, 0.7, 1"
        assert page.data[page.form.seeds_num] == 2
        assert page.data[page.form.reference_box] == "42"
        assert page.shown(page.tab.line) == ""
        assert len(page.model.asked) == asked

    def test_what_was_stopped_goes_on_where_it_was(self, page: Page) -> None:
        gate, reached = threading.Event(), threading.Event()

        def write(sampling: Sampling) -> str:
            reached.set()
            assert gate.wait(PATIENCE_S)
            return by_temperature(sampling)

        page.model.say = write
        shown = page.do(page.tab.on_start)
        assert reached.wait(PATIENCE_S)
        assert page.data[page.tab.state]["number"] == 1
        assert shown[page.tab.start_btn]["interactive"] is False
        assert "q-progress" in page.html(page.tab.line)
        page.do(page.tab.on_tick)
        assert page.html(page.tab.report).count("…") >= 6  # the map to be, empty
        page.do(page.tab.on_start)
        assert page.shown(page.tab.line) == words("en")["data.work.busy"]
        page.tab.on_stop(page.request)
        gate.set()
        page.wait()
        assert "Sweep 1 has not come to its end" in page.shown(page.tab.line)

        page.context.__dict__.pop("sweeps")
        page.again()
        assert "Sweep 1 has not come to its end" in page.shown(page.tab.line)
        assert 'data-do="resume" data-value="1"' in page.html(page.tab.line)
        page.act("resume", 1)
        page.wait()
        assert page.shown(page.tab.line) == ""
        assert len(page.fields()) == 6
        assert len(list_sweeps(page.context.workspace)) == 1

    def test_earlier_ones_can_be_gone_back_to(self, page: Page) -> None:
        page.run()
        page.grid(temperature="0.3, 0.4")
        page.run()
        assert len(page.fields()) == 2
        assert "Sweep 2" in page.shown(page.tab.report)
        page.act("field", "0,0")
        page.act("show", 1)
        assert len(page.fields()) == 6
        assert page.shown(page.tab.texts) == ""

    def test_one_that_another_version_kept_is_told(self, page: Page) -> None:
        page.run()
        with page.context.workspace.change() as db:
            db.execute("UPDATE sweep_cells SET data = '{\"samples\": []}'")
        page.tab.reader.__init__()  # type: ignore[misc]
        page.do(page.tab.on_tick)
        assert "another version" in page.shown(page.tab.report)
        assert 'data-do="show"' in page.report

    def test_the_map_is_drawn_again_only_where_there_is_more_of_it(self, page: Page) -> None:
        page.run()
        assert page.tab.report not in page.do(page.tab.on_tick)
        page.act("measure", "loop")
        assert page.tab.report not in page.do(page.tab.on_tick)

    def test_nothing_is_read_before_the_part_was_looked_at(self, tmp_path: Path) -> None:
        page = Page(tmp_path / "home")
        assert set(page.do(page.tab.on_return)) == {page.tab.state}
        assert set(page.do(page.tab.on_language)) == {page.tab.state}
        assert "workspace" not in page.context.__dict__

    def test_a_public_page_says_that_there_is_none(self, tmp_path: Path) -> None:
        page = Page(tmp_path / "home", public=True)
        assert page.form is None
        assert page.tab.model_dropdowns == []
        assert not any("on_start" in name for name in page.built.handlers)


class TestReader:
    def test_a_sweep_is_read_again_where_there_is_more_of_it(self, page: Page) -> None:
        page.run()
        workspace, reader = page.context.workspace, SweepReader()
        first = reader.read(workspace, 1)
        assert reader.read(workspace, 1) is first
        with workspace.change() as db:
            db.execute("DELETE FROM sweep_cells WHERE number = 5")
        assert len(reader.read(workspace, 1).cells) == 4

    def test_while_it_goes_on_reading_does_not_take_all_the_time(self, page: Page) -> None:
        page.run()
        workspace, reader = page.context.workspace, SweepReader()
        set_sweep_state(workspace, 1, OPEN)
        first = reader.read(workspace, 1)
        with workspace.change() as db:
            db.execute("DELETE FROM sweep_cells WHERE number = 5")
        reader._again = time.monotonic() + 60
        assert reader.read(workspace, 1) is first
        reader._again = 0.0
        assert reader.read(workspace, 1) is not first


class TestCompare:
    def test_a_cells_settings_are_used_on_the_left(self, page: Page) -> None:
        page.data[page.form.sampling.controls["top_k"]] = 17
        page.run()
        page.act("field", "2,0")
        page.text_act("use", "4:0:2:left")
        form = page.built.compare
        comparison = form.read(page.data | {form.sides["right"].model_dd: "x"}, {
            role: ROLES[role].text for role in ROLES
        })  # fmt: skip
        assert comparison.left == SideSettings(
            STUDENT, "assistant", "chat", "answer", use_reasoning=False
        )
        sampling = comparison.sampling
        assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1, 0.9, 17)
        assert sampling.seed == 2
        assert comparison.instruction == "What is 6 times 7?"
        assert comparison.reference == "42"
        assert page.data[form.sides["right"].own_cb] is False
        assert "cell 4 of sweep 1" in page.shown(page.built.notice)

    def test_on_the_right_they_are_that_sides_alone(self, page: Page) -> None:
        page.run()
        page.act("field", "2,0")
        updates = page.text_act("use", "4:0:1:right")
        form = page.built.compare
        right = form.sides["right"].read(page.data)
        assert right.sampling is not None
        assert right.sampling.temperature == 1
        assert form.sides["left"].model_dd not in updates
        assert form.sampling.controls["temperature"] not in updates
        assert updates[page.built.tabs]["selected"] == "compare"

    def test_a_wording_that_was_swept_comes_back_with_its_cell(self, page: Page) -> None:
        page.data[page.form.roles["creator"]] = "You rhyme."
        page.data[page.form.choice_dds["role"]] = ["creator"]
        page.run()
        page.data[page.form.roles["creator"]] = "Something else."
        page.act("cell", 1)
        page.text_act("use", "1:0:1:left")
        assert page.data[page.form.roles["creator"]] == "You rhyme."
        assert page.data[page.built.compare.sides["left"].role_dd] == "creator"

    def test_compare_opens_the_sweep_with_its_question(self, page: Page) -> None:
        left = SideSettings(STUDENT, "creator", target="both")
        right = SideSettings(f"{STUDENT}@poems", "creator", target="answer")
        asked = Comparison(left, right, "Why?", input="Because.", reference="So.", category="math")
        page.keep(page.built.compare.fill(asked))
        handler = page.built.handlers["on_sweep"]
        updates = page.do(handler)
        spec = page.form.read(page.data)
        assert spec.prompts == (SweepPrompt("Why?", "Because.", "", "So.", "math"),)
        assert spec.models == (STUDENT, f"{STUDENT}@poems")
        assert (spec.roles, spec.targets, spec.use_reasoning) == (("creator",), ("",), False)
        assert spec.grid["temperature"] == (0, 0.7, 1)
        assert updates[page.built.tabs]["selected"] == "evaluate"
        assert updates[page.built.parts]["selected"] == "sweep"
        page.do(page.tab.on_open)  # which the page does then
        assert page.data[page.form.instruction_box] == "Why?"


def test_a_runs_evaluation_is_turned_to_whichever_part_stood_open(tmp_path: Path) -> None:
    context = Context(Settings(home=tmp_path), None)  # type: ignore[arg-type]
    with gr.Blocks() as demo:
        runs = gr.HTML(js_on_load="")
        with (
            gr.Tabs() as tabs, gr.Tab(id="evaluate") as tab, gr.Tabs() as parts,
            gr.Tab(id="verdict"),
        ):  # fmt: skip
            evaluate = EvaluateTab(context, Words(gr.I18n(en=dict(words("en")))))
        evaluate.wire(tab, tabs)
        evaluate.follow_adapters(runs, None, tabs, parts)
    on_run = next(one.fn for one in demo.fns.values() if one.name == "on_run")
    updates = on_run(act_of("evaluate", "poems"))
    assert updates[tabs]["selected"] == "evaluate"
    assert updates[parts]["selected"] == "verdict"
