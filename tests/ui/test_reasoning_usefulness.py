"""Usefulness on the Reasoning tab: measured in the background, pictured, told under each text."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qeu.backends.engines import open_engines
from qeu.core.settings import Settings
from qeu.services.usefulness_runs import MOST_KEPT, UsefulnessRuns
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.jobs import get_job
from qeu.ui.panels import notice_html
from tests.services.job_engine import failed
from tests.services.test_usefulness import LossModel
from tests.ui.test_reasoning_tab import HTML, PATIENCE_S, A, Page, PageShelf

OWN = "Plan {}."


def loss(prompt: str, completion: str) -> float:
    """1 behind the plan for this very thing, 1.25 behind another one, 1.75 behind none."""
    thing = "abc"[int(completion.rstrip(".")[-1]) - 1]
    if OWN.format(thing) in prompt:
        return 1.0
    return 1.25 if "Plan " in prompt else 1.75


def plan(prompt: str) -> str:
    """A reasoning that names its thing by a letter."""
    found = re.findall(r"thing (\d)", prompt)
    return f"List what is known. {OWN.format('abc'[int(found[-1]) - 1] if found else 'x')}"


class UsefulPage(Page):
    """The tab with a student whose losses are written down."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, plan)
        self.model = LossModel(loss, together=1)
        self.model.write = plan
        self.context.shelf = PageShelf(self.model)  # type: ignore[assignment]
        self.has_data()
        self.open()

    def measure(self, **changes: object) -> None:
        """Start, and look again until it has ended."""
        self.set(*((getattr(self.useful, name), value) for name, value in changes.items()))
        self.do(self.useful.on_start)
        if "q-error" not in self.shown(self.useful.line):
            self.wait()

    def wait(self, until: Callable[[], bool] | None = None) -> None:
        """Tick until this holds, or nothing is measured any more."""
        end = time.monotonic() + PATIENCE_S
        while not until() if until else self.context.usefulness.running:
            assert time.monotonic() < end, self.shown(self.useful.line)
            time.sleep(0.005)
            self.do(self.useful.on_tick)
        self.do(self.useful.on_tick)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[UsefulPage]:
    page = UsefulPage(tmp_path / "home")
    yield page
    page.context.end_jobs()


def test_measured_pictured_and_summed_up(page: UsefulPage):
    page.run()
    assert page.shown(page.useful.report) == ""
    page.measure()
    told = page.shown(page.useful.report)
    assert "3 of 4 texts measured on SmolLM2" in told
    assert told.count("usefulness +0.250") == 3  # points
    assert "<td>+0.250 ± 0.000</td><td>+0.750 ± 0.000</td><td>3</td>" in told
    assert "1 × The record has no answer" in told
    assert page.shown(page.useful.line) == notice_html("")


def test_under_each_text_where_it_was_measured(page: UsefulPage):
    page.run()
    assert "q-useful" not in page.shown(page.review.case)
    news = page.data[page.useful.news]
    page.measure()
    asked = len(page.model.measured)
    assert page.data[page.useful.news] == news + 1
    page.do(page.review.on_more_known)
    assert ": +0.250 · without minus with +0.750<" in page.shown(page.review.case)
    page.act(page.review, "move", 3)
    assert "SmolLM2 135M: not measured. The record has no answer" in page.shown(page.review.case)
    assert len(page.model.measured) == asked
    # accepting the text does not change what was measured, another answer does
    page.act(page.review, "move", -3)
    page.act(page.review, "accept", 1)
    page.act(page.review, "move", -1)
    assert ": +0.250 ·" in page.shown(page.review.case)
    dataset, stored = find_dataset(page.workspace, "demo"), page.record("1EN")
    edit_record(page.workspace, dataset, stored.id, stored.version, "output", "It is 2.")
    page.act(page.review, "move", 0)
    assert "q-useful" not in page.shown(page.review.case)


def test_more_known_neither_moves_nor_hides_a_conflict(page: UsefulPage):
    page.run()
    page.act(page.review, "move", 1)
    page.act(page.review, "edit", "A")
    stored = page.record("2EN")
    dataset = find_dataset(page.workspace, "demo")
    edit_record(page.workspace, dataset, stored.id, stored.version, "reasoning", "Theirs.")
    page.measure()
    seen = page.do(page.review.on_more_known)
    assert set(seen) == {page.review.state, page.review.case}
    assert "2 of 4" in page.shown(page.review.case)
    page.do(page.review.on_save)
    assert "was changed by somebody else" in page.shown(page.review.line)
    assert page.record("2EN").record.reasoning == "Theirs."


def test_samples_of_one_model_are_told_apart(page: UsefulPage):
    texts = iter(
        [f"{way} first. {OWN.format(thing)}" for thing in "abcd" for way in ("Look", "Ask")]
    )
    page.model.write = lambda prompt: next(texts)
    page.run(samples_num=2)
    page.model.loss = lambda prompt, completion: 1.0 if "Look first." in prompt else 2.0
    page.measure()
    page.do(page.review.on_more_known)
    told = page.shown(page.review.case)
    gains = re.findall(r"without minus with ([+-]\S+?)<", told)
    ways = re.findall(r'"q-written" dir="auto">(Look|Ask) first', told)
    assert list(zip(ways, gains, strict=False)) == [("Look", "+1.000"), ("Ask", "+0.000")]


def test_it_goes_on_whoever_looks_and_is_stopped_by_anybody(page: UsefulPage):
    page.run()
    gate, reached = threading.Event(), threading.Event()

    def before_batch() -> None:
        reached.set()
        assert gate.wait(PATIENCE_S)

    page.model.before_batch = before_batch
    seen = page.do(page.useful.on_start)
    assert reached.wait(PATIENCE_S)
    assert seen[page.useful.timer].active is True  # type: ignore[attr-defined]
    seen = page.do(page.useful.on_start)
    assert "still running" in page.shown(page.useful.line)
    assert len(page.model.measured) == 0
    # another page, opened now
    page.set((page.useful.state, {}), (page.jobs.chosen, []), (page.jobs.state, {}))
    page.request = page.visitor("b")
    page.open()
    seen = page.do(page.useful.on_look)
    assert seen[page.useful.timer].active is True  # type: ignore[attr-defined]
    assert seen[page.useful.stop_btn]["interactive"] is True  # type: ignore[index]
    assert "q-progress" in page.shown(page.useful.line)
    page.useful.on_stop(page.request)
    gate.set()
    page.wait()
    assert "Stopped. What was computed is kept" in page.shown(page.useful.line)
    done = len(page.model.measured)
    assert done < 9
    page.measure()
    assert len(page.model.measured) == len(set(page.model.measured)) == 9
    assert "3 of 4" in page.shown(page.useful.report)


def test_nothing_is_sent_again_while_nothing_is_new(page: UsefulPage):
    page.run()
    page.measure()
    seen = page.do(page.useful.on_tick)
    assert page.useful.report not in seen
    assert seen[page.useful.timer].active is False  # type: ignore[attr-defined]
    assert page.useful.report in page.do(page.useful.on_look)


def test_another_start_computes_nothing_that_is_known(page: UsefulPage):
    page.run()
    page.measure(limit_num=2)
    assert "2 of 2 texts" in page.shown(page.useful.report)
    assert len(page.model.measured) == 6
    page.measure(limit_num=0)
    assert len(page.model.measured) == 9
    page.context.__dict__.pop("usefulness")  # the program was started again
    page.measure()
    assert len(page.model.measured) == 9
    assert "3 of 4" in page.shown(page.useful.report)


def test_the_limit_counts_records_with_or_without_a_text(page: UsefulPage):
    page.model.write = lambda prompt: failed("Down.") if "thing 1" in prompt else plan(prompt)
    page.run()
    page.measure(limit_num=2)
    assert "1 of 1 texts" in page.shown(page.useful.report)


def test_two_jobs_are_two_sources(page: UsefulPage):
    first = page.run(view_box="Be brief.", view_name_box=HTML)
    second = page.run(view_box="Be kind.", view_name_box="kind")
    page.measure()
    page.act(page.jobs, "beside", first)
    page.do(page.useful.on_look)
    told = page.shown(page.useful.report)
    assert told.count("<tr><td>") == 1  # the first one is not measured yet
    page.measure()
    told = page.shown(page.useful.report)
    assert told.count("<tr><td>") == 2
    assert f"view: kind · job {second}" in told
    assert "<img" not in told
    assert "6 of 8 texts" in told


def test_another_student_has_its_own_picture(page: UsefulPage):
    page.run()
    page.measure()
    page.set((page.useful.student_dd, f"{A}@poems"))
    page.do(page.useful.on_look)
    assert page.shown(page.useful.report) == ""


def test_it_follows_the_language_of_the_page(page: UsefulPage):
    page.run()
    page.measure()
    page.request = page.visitor("a", "ja")
    page.do(page.useful.on_look)
    page.do(page.review.on_list)
    assert "4 件中 3 件を" in page.shown(page.useful.report)
    assert "にとっての有用性：+0.250" in page.shown(page.review.case)


@pytest.mark.parametrize(
    ("student", "limit", "told"),
    [
        ("", 1, "No student is chosen"),
        (A, -1, "The limit is -1"),
        ("groq/some-70b", 1, "does not tell the loss"),
        ("no-such-model", 1, "no-such-model"),
    ],
)
def test_what_cannot_be_measured_is_said(page: UsefulPage, student: str, limit: int, told: str):
    page.run()
    page.measure(student_dd=student, limit_num=limit)
    assert told in page.shown(page.useful.line)
    assert "q-error" in page.shown(page.useful.line)
    assert page.model.measured == []


def test_a_job_without_reasonings_says_so(page: UsefulPage):
    page.measure()
    assert "No job is chosen" in page.shown(page.useful.line)
    page.run(target_dd="answer")
    page.measure()
    assert "writes answer" in page.shown(page.useful.line)


def test_a_defect_is_told_and_the_next_start_works(page: UsefulPage, caplog):
    page.run()
    page.model.before_batch = lambda: 1 // 0
    page.measure()
    assert "ZeroDivisionError" in page.shown(page.useful.line)
    assert "ZeroDivisionError" in caplog.text
    page.model.before_batch = lambda: None
    page.measure()
    assert "3 of 4" in page.shown(page.useful.report)


def test_only_the_latest_are_kept(page: UsefulPage):
    job = get_job(page.workspace, page.run())
    runs = page.context.usefulness
    for at in range(MOST_KEPT + 1):
        # losses of adapters that do not exist are not asked for: only the places count
        run = runs.start(page.context.engines(page.request), [job], f"{A}@a{at}")
        assert run is not None
        assert run.wait(PATIENCE_S)
    assert len(runs._kept) == MOST_KEPT
    assert (f"{A}@a0", job.id) not in runs._kept


def test_a_public_page_says_that_it_is_not_offered(tmp_path: Path):
    page = Page(tmp_path / "home", plan, public=True)
    page.has_data()
    page.open()
    try:
        assert not hasattr(page.useful, "start_btn")
        page.run()
        assert "List what is known" in page.shown(page.review.case)
        assert "usefulness" not in page.context.__dict__
    finally:
        page.context.sessions.end(page.request)


@pytest.mark.slow
def test_on_the_embedded_model(tmp_path: Path, embedded_path: Path):
    """Three texts of a job, their losses by the real student."""
    page = UsefulPage(tmp_path / "home")
    job = get_job(page.workspace, page.run(limit_num=3))
    settings = Settings(cache=embedded_path.parent, adapters=tmp_path, home=tmp_path)
    runs = UsefulnessRuns(page.workspace)
    run = runs.start(open_engines(settings, {}), [job], A, 3)
    assert run is not None
    assert run.wait(300)
    assert (run.error, run.done, run.total) == (None, 3, 3)
    rows = runs.rows(A, job.id)
    assert [row.seq for row in rows] == ["1EN", "2EN", "3EN"]
    for row in rows:
        assert row.result.useful is not None
        assert 0.0 < row.result.own < 10.0  # type: ignore[operator]
        assert -3.0 < row.result.useful < 3.0
    page.context.end_jobs()
