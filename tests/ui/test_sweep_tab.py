"""The sweep by its handlers: a real store, a written-down model, no browser."""

import re
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.core.generation import Generation
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.sweep_spec import SweepPrompt
from qeu.services.compare import SIDES, Comparison, SideSettings
from qeu.store.sweeps import OPEN, list_sweeps, set_sweep_state
from qeu.ui.compare_form import CompareForm, QuestionForm, SideForm
from qeu.ui.context import Context, Words
from qeu.ui.evaluate_tab import EvaluateTab
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sessions import Sessions
from qeu.ui.strings import LANGUAGES, words
from qeu.ui.sweep_map_view import MOST_COLUMNS, MOST_ROWS
from qeu.ui.sweep_reader import SweepReader
from qeu.ui.sweep_tab import SweepTab
from qeu.ui.sweep_use import SweepUse
from tests.services.evaluate_home import add, rows
from tests.services.job_engine import failed
from tests.services.test_sweep import Model, by_temperature
from tests.services.test_usefulness import STUDENT, Engines
from tests.ui.test_evaluate_tab import HTML, PATIENCE_S

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


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "home")
    page.do(page.tab.on_open)
    page.set(models_dd=[STUDENT], seeds_num=2, instruction_box="What is 6 times 7?")
    page.set(reference_box="42")
    page.grid(**GRID)
    yield page
    page.context.end_jobs()


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


class TestMap:
    def test_values_signs_and_what_can_be_told(self, page: Page) -> None:
        page.run()
        assert page.fields() == ["100%★", "100%★", "100%≈", "100%≈", "0%≈", "0%≈"]
        assert page.report.count('class="q-few"') == 6
        told = page.shown(page.tab.report)
        assert "Too few samples to tell" in told
        assert "at least 6 are needed" in told
        assert 'aria-label="Temperature 0.7, Top-p 0.9 · 100%' in page.report
        assert "too few samples to tell" in page.report
        page.act("measure", "length")
        assert "★" not in "".join(page.fields())

    def test_enough_samples_tell_and_are_not_hatched(self, page: Page) -> None:
        page.set(seeds_num=12)
        page.grid(temperature="0.7, 1")
        page.run()
        assert page.fields() == ["100%★", "0%"]
        assert "q-few" not in page.report.split('class="q-heat-legend"')[0]
        assert "Temperature 0.7 (100%) is best" in page.shown(page.tab.report)

    def test_axes_change_places(self, page: Page) -> None:
        page.run()
        before = page.fields()
        page.act("column", "temperature")
        assert page.fields() == [before[0], before[2], before[4], before[1], before[3], before[5]]
        page.act("row", "temperature")
        assert page.fields() == before

    def test_a_third_axis_is_averaged_or_held(self, page: Page) -> None:
        page.model.say = lambda sampling: "It is 42." if sampling.top_k == 10 else "Perhaps."
        page.grid(temperature="0.7, 1", top_p="0.9, 1", top_k="10, 20")
        page.run()
        page.act("row", "temperature")
        page.act("column", "top_p")
        assert page.fields() == ["50%"] * 4
        assert "averaged over: Top-k" in page.shown(page.tab.report)
        page.act("field", "1,0")
        told = page.shown(page.tab.texts)
        assert "mean of 2 cells" in told
        assert "Temperature 1, Top-p 0.9, Top-k 10 100%" in told
        number = re.findall(r'data-do="cell" data-value="(\d+)"', page.html(page.tab.texts))[1]
        page.text_act("cell", number)
        assert page.shown(page.tab.texts).endswith("Perhaps.")
        page.act("fix", "top_k:1")
        assert [one.rstrip("≈★") for one in page.fields()] == ["0%"] * 4
        page.act("field", "1,0")
        assert "Temperature 1, Top-p 0.9, Top-k 20" in page.shown(page.tab.texts)
        page.act("fix", "top_k:-1")
        assert page.fields() == ["50%"] * 4

    def test_shades_go_from_the_lowest_value_to_the_highest(self, page: Page) -> None:
        page.model.say = lambda sampling: "It is 42." + " And more." * int(sampling.top_k)
        page.grid(top_k="2, 3, 6")
        page.set(seeds_num=1)
        page.run()
        page.act("measure", "length")
        shades = [float(one) for one in re.findall(r"--v:([0-9.]+)", page.report)]
        assert shades == [0, 0.25, 1]
        page.act("measure", "right")
        assert len(set(re.findall(r"--v:([0-9.]+)", page.report))) == 1

    def test_nonsense_from_a_browser_changes_nothing(self, page: Page) -> None:
        page.run()
        before = page.fields()
        for do, value in (
            ("measure", "beauty"), ("row", "nose"), ("fix", "top_p:x"), ("field", "9,9"),
            ("field", "a"), ("cell", "77"), ("cell", "x"), ("show", "9999"), ("explode", "1"),
        ):  # fmt: skip
            page.act(do, value)
            page.data[page.tab.state] = {}
            page.do(page.tab.on_tick)
            assert page.fields() == before, (do, value)
        for value in ("1:5:1:left", "1:0:9:left", "77:0:1:left"):
            assert set(page.text_act("use", value)) == {page.tab.texts}, value
            assert "q-error" in page.html(page.tab.texts), value
        for value in ("", "a:b:c:left", "1:0:1", "1:0:1:middle"):
            assert set(page.text_act("use", value)) == {page.tab.state}, value

    def test_every_cell_stands_in_the_table_the_best_first(self, page: Page) -> None:
        page.run()
        names = re.findall(r'data-do="cell" data-value="(\d+)"', page.report)
        assert names == ["1", "2", "3", "4", "5"]
        page.act("measure", "distinct_1")
        assert "distinct-1" in page.shown(page.tab.report)
        page.act("cell", 5)
        assert page.shown(page.tab.texts).startswith("cell 5 Temperature 1, Top-p 1")

    def test_a_map_too_large_to_be_read_is_cut_and_says_so(self, page: Page) -> None:
        temperatures = [f"{at / 100:g}" for at in range(1, MOST_ROWS + 6)]
        page.grid(temperature=",".join(temperatures), top_k="5, 6")
        page.set(seeds_num=1)
        page.run()
        page.act("column", "top_k")
        assert len(page.fields()) == MOST_ROWS * 2
        page.act("column", "temperature")
        assert len(page.fields()) == MOST_COLUMNS * 2
        assert f"first 2 rows and {MOST_COLUMNS} columns" in page.shown(page.tab.report)

    def test_files_hold_every_cell(self, page: Page) -> None:
        page.run()
        table = Path(str(page.data[page.tab.csv_btn])).read_text("utf-8").splitlines()
        assert len(table) == 1 + 6
        assert '"results"' in Path(str(page.data[page.tab.json_btn])).read_text("utf-8")


class TestReading:
    def test_a_field_opens_its_texts(self, page: Page) -> None:
        page.run()
        page.act("field", "2,1")
        told = page.shown(page.tab.texts)
        assert told.startswith("cell 5 Temperature 1, Top-p 1")
        assert "Perhaps 1?" in told
        assert "Perhaps 2?" in told
        assert "✗ not right" in told
        assert page.report.count('aria-pressed="true"') == 2  # on the map and in the table
        page.act("field", "0,1")
        assert "✓ right" in page.shown(page.tab.texts)
        # both fields of temperature 0 are the same cell
        assert page.report.count('aria-pressed="true"') == 3

    def test_nothing_that_was_written_is_executed(self, page: Page) -> None:
        page.model.say = lambda sampling: HTML
        page.set(instruction_box=HTML, models_dd=[STUDENT])
        page.run()
        page.act("field", "0,0")
        for block in (page.tab.report, page.tab.texts):
            assert "<img" not in page.html(block)
            assert "${" not in page.html(block)
        assert "onerror" in page.shown(page.tab.texts)

    def test_texts_that_failed_say_why(self, page: Page) -> None:
        def write(sampling: Sampling) -> str | Generation:
            return failed("The server broke.") if sampling.seed == 2 else "It is 42."

        page.model.say = write
        page.grid(temperature="0.7, 1")
        page.run()
        assert "Missing texts: 2. The server broke." in page.shown(page.tab.report)
        page.act("field", "0,0")
        told = page.shown(page.tab.texts)
        assert "1 × The server broke." in told
        assert "seed 2 open in Compare The server broke." in told

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_it_speaks_every_language(self, page: Page, language: str) -> None:
        page.run()
        page.speak(language)
        page.do(page.tab.on_language)
        page.act("field", "1,0")
        known = words(language)
        assert known["sweep.too_few"] in page.report
        assert known["evaluate.measure.right"] in page.report
        assert known["sweep.use"] in page.shown(page.tab.texts)
        assert known["sweep.chip.right"] in page.shown(page.tab.texts)


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
