"""What a sweep shows: map, table, files and the texts of a cell; no browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qeu.core.generation import Generation
from qeu.core.sampling import Sampling
from qeu.ui.strings import LANGUAGES, words
from qeu.ui.sweep_map_view import MOST_COLUMNS, MOST_ROWS
from tests.services.job_engine import failed
from tests.services.test_usefulness import STUDENT
from tests.ui.sweep_page import Page, opened
from tests.ui.test_evaluate_tab import HTML


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with opened(tmp_path / "home") as page:
        yield page


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
