"""The Reasoning tab by its handlers: a real store and queue, written-down models, no browser."""

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.backends.base import EngineIdentity
from qeu.core.settings import Settings
from qeu.services.data_import import ImportOptions, import_file
from qeu.store.changes import edit_record
from qeu.store.datasets import find_dataset
from qeu.store.filters import Filter
from qeu.store.jobs import get_job, list_jobs, release_job
from qeu.store.queries import find_by_seq
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.reasoning_order_form import MOST_PUBLIC_RECORDS
from qeu.ui.reasoning_tab import ReasoningTab
from qeu.ui.sessions import Sessions
from qeu.ui.strings import words
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel, failed

A = "smollm2-135m"
HTML = '<img src=x onerror="alert(1)">${2}{{x}}'
GOOD = "List what is known. Then choose a rule."
ROWS = [
    {"seq": f"{n}EN", "instruction": f"What is thing {n}?", "output": f"It is {n}.",
     "language": "en"}
    for n in range(1, 4)
] + [{"seq": "4EN", "instruction": HTML, "output": "", "language": "en"}]  # fmt: skip
PATIENCE_S = 20


class PageShelf(FakeShelf):
    """A shelf as the page's engines use it."""

    def identify(self, model_id: str, adapter: str | None, *, exact: bool = False):
        """Models are here from the start."""
        return EngineIdentity(model_id, "r1", "float32", adapter)

    def loaded(self) -> list[object]:
        """Nothing that the header would show."""
        return []


@cache
def build(public: bool) -> tuple[Context, DatasetPlace, ReasoningTab, dict[object, object]]:
    """The tab in a page of its own, once, with the values that controls have at first."""
    context = Context(Settings(public=public), None)  # type: ignore[arg-type]
    with gr.Blocks() as demo:
        place = DatasetPlace(gr.Dropdown([]), gr.State({}), gr.Number(0), gr.HTML())
        with gr.Tab() as tab:
            made = ReasoningTab(context, Words(gr.I18n(en=dict(words("en")))), place)
        made.wire(tab)
    data = {block: block.value for block in demo.blocks.values() if hasattr(block, "value")}
    return context, place, made, data


class Page:
    """One visitor's view of the tab: what the controls hold, what handlers made of it."""

    def __init__(self, home: Path, write: Callable[[str], object], public: bool = False) -> None:
        self.context, self.place, self.tab, data = build(public)
        self.model = JobModel(A, write)  # type: ignore[arg-type]
        self.context.settings = Settings(home=home, public=public)
        self.context.shelf = PageShelf(self.model)  # type: ignore[assignment]
        self.context.sessions = Sessions()
        for name in ("workspace", "own_jobs", "limits", "usefulness"):
            self.context.__dict__.pop(name, None)
        self.data = dict(data)
        self.request = self.visitor()
        self.order, self.jobs, self.review = self.tab.order, self.tab.jobs, self.tab.review
        self.merge, self.bulk, self.summary, self.useful, self.export = self.tab.panels

    def visitor(self, name: str = "a", language: str = "en") -> gr.Request:
        headers = {"accept-language": language}
        return SimpleNamespace(session_hash=name, cookies={}, headers=headers)  # type: ignore

    @property
    def workspace(self):
        return self.context.records(self.request)

    def set(self, *pairs: tuple[object, object]) -> None:
        self.data.update(dict(pairs))

    def do(self, handler, *more: object) -> dict[object, object]:
        """Run a handler to its end; the last update of every component, kept as its value."""
        seen: dict[object, object] = {}
        updates = handler(self.data, *more, self.request)
        for one in updates if isinstance(updates, Iterator) else [updates]:
            for block, update in one.items():
                is_update = isinstance(update, dict) and "__type__" in update
                if not is_update or "value" in update:
                    self.data[block] = update["value"] if is_update else update
                seen[block] = update
        return seen

    def act(self, part: object, do: str, value: object = "") -> dict[object, object]:
        """One click or key in the list of jobs or the review."""
        return self.do(part.on_act, SimpleNamespace(_data={"do": do, "value": str(value)}))  # type: ignore[attr-defined]

    def has_data(self, name: str = "demo") -> None:
        """A data set of these rows."""
        path = self.context.settings.home / "rows.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ROWS), encoding="utf-8")
        import_file(self.workspace, path, name, ImportOptions())

    def open(self) -> None:
        """The tab was opened; the page hears its own news."""
        self.do(self.tab.on_open)
        self.do(self.review.on_list)

    def run(self, **changes: object) -> int:
        """Order a job, wait for its end, look at it; its number."""
        self.set(*((getattr(self.order, name), value) for name, value in changes.items()))
        self.do(self.tab.on_start)
        number = list_jobs(self.workspace)[0].id
        end = time.monotonic() + PATIENCE_S
        while get_job(self.workspace, number).state in ("queued", "running"):
            assert time.monotonic() < end, self.shown(self.jobs.list)
            time.sleep(0.01)
        self.do(self.jobs.on_tick)
        self.do(self.review.on_list)
        return number

    def shown(self, block: object) -> str:
        """What a component shows, as text."""
        return str(self.data[block] or "")

    def record(self, seq: str):
        return find_by_seq(self.workspace, find_dataset(self.workspace, "demo"), seq)[0]


def by_turns(texts: list[str]) -> Callable[[str], str]:
    """A model that writes these, one after the other."""
    rest = iter(texts * 20)
    return lambda prompt: next(rest)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "home", lambda prompt: GOOD)
    page.has_data()
    page.open()
    yield page
    page.context.end_jobs()


def test_another_language_reaches_the_tab_once_it_was_opened(page: Page) -> None:
    assert page.tab.spoken not in page.tab.on_language(page.visitor("new", "ja"))
    updates = page.tab.on_language(page.visitor(language="ja"))
    assert set(updates) <= page.tab.outputs()
    assert (updates[page.tab.spoken], updates[page.jobs.state]) == ("ja", {})


class TestOrder:
    def test_looking_first_makes_nothing(self, page: Page):
        page.set((page.order.samples_num, 2))
        page.do(page.order.on_look)
        told = page.shown(page.order.report)
        assert "0 cached" in told
        assert "8 to do" in told
        assert "not fit for this" in told
        assert list_jobs(page.workspace) == []

    def test_what_lacks_an_answer_is_counted_with_its_reason(self, page: Page):
        page.set((page.order.hinted_cb, True))
        page.do(page.order.on_look)
        assert "1 skipped" in page.shown(page.order.report)
        assert "no answer to write a reasoning from" in page.shown(page.order.report)

    def test_every_control_reaches_the_order(self, page: Page):
        order = page.order
        page.set(
            (order.models_dd, [A, f"{A}@poems"]), (order.target_dd, "reasoning_task"),
            (order.hinted_cb, True), (order.view_box, " Be brief. "), (order.view_name_box, "b"),
            (order.role_dd, "creator"), (order.role_box, "Own words."), (order.limit_num, 3),
            (order.samples_num, 2), (order.retries_num, 0), (order.exact_cb, True),
            (order.layout_dd, "bonsai-v2"), (order.expected_dd, "ja"),
            (order.sampling.controls["max_new_tokens"], 24),
        )  # fmt: skip
        _, spec = order.read(page.data, page.request)
        assert spec.sources == (A, f"{A}@poems")
        assert (spec.target, spec.hinted, spec.view, spec.view_name) == (
            "reasoning_task", True, "Be brief.", "b",
        )  # fmt: skip
        assert (spec.role, spec.role_text, spec.limit, spec.samples) == (
            "creator", "Own words.", 3, 2,
        )  # fmt: skip
        assert (spec.retries, spec.exact, spec.layout) == (0, True, "bonsai-v2")
        assert (spec.expected_language, spec.sampling.max_new_tokens) == ("ja", 24)

    def test_the_filter_of_the_dataset_tab_is_taken(self, page: Page):
        where = Filter(search="thing 2").to_json()
        page.set((page.place.name_dd, "demo"), (page.place.filter_state, where))
        seen = page.do(page.order.on_dataset)
        assert "(1)" in str(seen[page.order.scope_radio])
        assert page.order.read(page.data, page.request)[1].where == where
        page.set((page.order.scope_radio, "all"))
        assert page.order.read(page.data, page.request)[1].where == {}
        page.set((page.order.scope_radio, "filter"), (page.place.name_dd, "other"))
        assert page.order.read(page.data, page.request)[1].where == {}

    def test_what_cannot_be_meant_is_said(self, page: Page):
        page.set((page.order.models_dd, []), (page.order.samples_num, 99))
        page.do(page.tab.on_start)
        told = page.shown(page.order.line)
        assert "No model is chosen" in told
        assert "samples is 99" in told
        assert list_jobs(page.workspace) == []


class TestJobs:
    def test_a_job_is_ordered_done_and_shown(self, page: Page):
        number = page.run()
        told = page.shown(page.jobs.list)
        assert f'data-job="{number}" data-state="done"' in told
        assert "4 of 4" in told
        assert page.data[page.jobs.chosen] == [number]
        assert len(page.model.asked) == 4

    def test_the_clock_runs_only_while_something_does(self, page: Page):
        page.run()
        seen = page.do(page.jobs.on_tick)
        assert seen[page.jobs.timer].active is False  # type: ignore[attr-defined]
        with page.workspace.change() as db:
            db.execute("UPDATE jobs SET state = 'running'")
        seen = page.do(page.jobs.on_tick)
        assert seen[page.jobs.timer].active is True  # type: ignore[attr-defined]

    def test_another_page_sees_the_same_jobs(self, page: Page):
        number = page.run()
        page.set((page.jobs.chosen, []), (page.jobs.state, {}))
        page.request = page.visitor("b", "ja")
        page.open()
        assert page.data[page.jobs.chosen] == [number]
        assert "完了" in page.shown(page.jobs.list)
        assert "Aを採用" in page.shown(page.review.case)

    def test_failures_say_why_and_can_be_tried_again(self, page: Page):
        page.model.write = lambda prompt: failed(f"Too long: {HTML}")
        number = page.run(limit_num=2)
        told = page.shown(page.jobs.list)
        assert "2 failed" in told
        assert "<img" not in told
        assert 'data-do="retry"' in told
        page.model.write = lambda prompt: GOOD
        page.act(page.jobs, "retry", number)
        assert "2 texts are made again" in page.shown(page.jobs.line)
        page.run(limit_num=2)
        assert get_job(page.workspace, number).state == "done"
        page.do(page.jobs.on_tick)
        assert "2 failed" not in page.shown(page.jobs.list)

    def test_pause_resume_and_stop(self, page: Page):
        number = page.run()
        with page.workspace.change() as db:
            db.execute("UPDATE jobs SET state = 'paused'")
        page.do(page.jobs.on_tick)
        assert 'data-do="resume"' in page.shown(page.jobs.list)
        page.act(page.jobs, "stop", number)
        assert get_job(page.workspace, number).state == "stopped"
        page.act(page.jobs, "pause", number)
        assert "cannot become paused" in page.shown(page.jobs.line)
        page.act(page.jobs, "resume", "x")
        assert "q-error" in page.shown(page.jobs.line)

    def test_a_sleeping_job_tells_until_when(self, page: Page):
        number = page.run()
        job = get_job(page.workspace, number)
        with page.workspace.change() as db:
            db.execute("UPDATE jobs SET state = 'running', owner = 'x'")
        release_job(page.workspace, job, "x", "sleeping", f"Until noon. {HTML}", "2999-01-01")
        page.do(page.jobs.on_tick)
        assert "Until noon." in page.shown(page.jobs.list)
        assert "<img" not in page.shown(page.jobs.list)


class TestReview:
    def test_all_texts_stand_beside_each_other(self, page: Page):
        page.model.write = by_turns([GOOD, "Compare the sizes first."])
        page.run(samples_num=2)
        told = page.shown(page.review.case)
        assert "1 of 4" in told
        assert "List what is known" in told
        assert "Compare the sizes first." in told
        assert told.count('data-do="accept"') == 2
        assert 'class="o-0"' in told
        assert "<sup>A</sup>" in told

    def test_what_models_and_files_wrote_is_never_markup(self, page: Page):
        page.model.write = lambda prompt: f"Think of {HTML} first."
        page.run(samples_num=2)
        for _ in range(4):
            assert "<img" not in page.shown(page.review.case)
            assert "${2}" not in page.shown(page.review.case)
            page.act(page.review, "move", 1)

    def test_keys_accept_merge_reject_and_undo(self, page: Page):
        page.model.write = by_turns([GOOD, "List what is known first. Then sleep."])
        page.run(samples_num=2)
        page.act(page.review, "accept", 2)
        assert page.record("1EN").record.reasoning == "List what is known first. Then sleep."
        assert "1EN: accepted B" in page.shown(page.review.line)
        assert "2 of 4 · 1 decided" in page.shown(page.review.case)
        page.act(page.review, "merged")
        assert page.record("2EN").record.reasoning.startswith("List what is known")
        page.act(page.review, "reject")
        assert page.record("3EN").record.reasoning == ""
        page.act(page.review, "undo")
        page.act(page.review, "undo")
        assert page.record("2EN").record.reasoning == ""
        assert "2 of 4 · 1 decided" in page.shown(page.review.case)
        page.act(page.review, "accept", 7)
        assert "no text number 7" in page.shown(page.review.line)
        page.act(page.review, "explode")
        assert "q-error" in page.shown(page.review.line)

    def test_an_edit_is_accepted_and_a_conflict_loses_nothing(self, page: Page):
        page.run()
        seen = page.act(page.review, "edit", "A")
        assert seen[page.review.form]["visible"] is True  # type: ignore[index]
        assert page.data[page.review.boxes[0]] == GOOD
        stored = page.record("1EN")
        dataset = find_dataset(page.workspace, "demo")
        edit_record(page.workspace, dataset, stored.id, stored.version, "reasoning", "Theirs.")
        page.set((page.review.boxes[0], "Mine."))
        seen = page.do(page.review.on_save)
        assert "was changed by somebody else" in page.shown(page.review.line)
        assert page.review.form not in seen
        assert page.record("1EN").record.reasoning == "Theirs."
        page.act(page.review, "move", 0)
        page.act(page.review, "edit", "A")
        page.set((page.review.boxes[0], "Mine."))
        page.do(page.review.on_save)
        assert page.record("1EN").record.reasoning == "Mine."

    def test_only_what_is_asked_for_is_listed(self, page: Page):
        page.model.write = by_turns([GOOD, "Picture a market where nobody meets."])
        page.run(samples_num=2)
        page.act(page.review, "accept", 1)
        page.set((page.review.show_radio, "unreviewed"))
        page.do(page.review.on_list)
        assert "1 of 3" in page.shown(page.review.case)
        page.set((page.review.show_radio, "broken"))
        page.do(page.review.on_list)
        assert "Nothing to look at" in page.shown(page.review.case)
        page.do(page.merge.on_make)
        page.set((page.review.show_radio, "disputed"))
        page.do(page.review.on_list)
        assert "low agreement" in page.shown(page.review.case)

    def test_two_views_beside_each_other(self, page: Page):
        page.run(view_box="Be brief.", view_name_box="brief")
        second = page.run(view_box="Be kind.", view_name_box="kind")
        assert page.data[page.jobs.chosen] == [second]
        page.act(page.jobs, "beside", second - 1)
        page.do(page.review.on_list)
        told = page.shown(page.review.case)
        assert "view: brief" in told
        assert "view: kind" in told
        page.act(page.jobs, "beside", second)
        assert page.data[page.jobs.chosen] == [second - 1]

    def test_jobs_that_do_not_belong_together_are_not_mixed(self, page: Page):
        first = page.run()
        second = page.run(target_dd="answer")
        page.set((page.jobs.chosen, [first, second]))
        page.do(page.review.on_list)
        assert "write different fields" in page.shown(page.review.case)
        assert page.shown(page.jobs.list).count('data-do="beside"') == 0


class TestAllAtOnce:
    def test_counted_then_accepted(self, page: Page):
        page.run()
        page.do(page.bulk.on_choices)
        seen = page.do(page.bulk.on_count)
        assert "4 would be accepted" in page.shown(page.bulk.report)
        assert seen[page.bulk.accept_btn]["interactive"] is True  # type: ignore[index]
        assert page.record("3EN").record.reasoning == ""
        page.do(page.bulk.on_accept)
        assert "4 accepted" in page.shown(page.bulk.report)
        assert page.record("3EN").record.reasoning == GOOD
        page.do(page.bulk.on_count)
        assert "0 would be accepted · 4 decided before" in page.shown(page.bulk.report)

    def test_a_model_fuses(self, page: Page):
        page.model.write = by_turns([GOOD, "List what is known first. Then sleep."])
        page.run(samples_num=2)
        page.model.write = lambda prompt: "List what is known. Then sleep on it."
        page.set((page.merge.method_radio, "model"), (page.merge.model_dd, ""))
        page.do(page.merge.on_make)
        assert "No model is chosen" in page.shown(page.merge.line)
        page.set((page.merge.model_dd, A))
        page.do(page.merge.on_make)
        assert "4 of 4 records put together" in page.shown(page.merge.report)
        page.do(page.review.on_list)
        page.set((page.review.method_dd, A))
        page.do(page.review.on_method)
        assert "fused by SmolLM2" in page.shown(page.review.case)
        page.act(page.review, "merged")
        assert page.record("1EN").record.reasoning == "List what is known. Then sleep on it."


class TestResults:
    def test_the_summary_counts_by_model(self, page: Page):
        page.model.write = lambda prompt: "The answer is 7." if "thing 2" in prompt else GOOD
        page.run(retries_num=0)
        page.do(page.summary.on_summary)
        told = page.shown(page.summary.report)
        assert "75%" in told
        assert re.search(r"open question 25% <small>\(1/4\)", told)

    @pytest.mark.parametrize("ending", ["xlsx", "jsonl", "parquet"])
    def test_the_results_as_a_file(self, page: Page, ending: str):
        number = page.run()
        page.set((page.export.format_radio, ending))
        written: dict[str, bytes] = {}
        for updates in page.export.on_export(page.data, page.request):
            value = updates.get(page.export.files, {}).get("value")
            written |= {Path(p).name: Path(p).read_bytes() for p in value or ()}
            page.data.update(updates)
        assert list(written) == [f"demo-job-{number}.{ending}"]
        assert "4 rows" in page.shown(page.export.report)
        if ending == "jsonl":
            row = json.loads(next(iter(written.values())).splitlines()[0])
            assert row == {"seq": "1EN", "question": "What is thing 1?", "response": GOOD}

    def test_a_job_without_texts_says_so(self, page: Page):
        page.model.write = lambda prompt: failed("Down.")
        page.run()
        page.do(page.export.on_export)
        assert "has no results yet" in page.shown(page.export.line)


class TestPublic:
    @pytest.fixture
    def visit(self, tmp_path: Path) -> Iterator[Page]:
        page = Page(tmp_path / "home", lambda prompt: GOOD, public=True)
        page.has_data()
        page.open()
        yield page
        page.context.sessions.end(page.request)

    def test_a_job_is_small_and_says_so(self, visit: Page):
        _, spec = visit.order.read(visit.data, visit.request)
        assert spec.limit == MOST_PUBLIC_RECORDS
        visit.do(visit.order.on_look)
        assert "at most 20 records" in visit.shown(visit.order.report)
        visit.set((visit.order.samples_num, 3))
        visit.do(visit.tab.on_start)
        assert "at most 40 texts" in visit.shown(visit.order.line)
        visit.set((visit.order.samples_num, 1), (visit.order.models_dd, ["/etc/passwd"]))
        visit.do(visit.tab.on_start)
        assert "is not offered here" in visit.shown(visit.order.line)

    def test_jobs_are_the_visits_own_and_end_with_it(self, visit: Page):
        visit.run()
        assert "even if this page is closed" not in visit.shown(visit.order.line)
        other = visit.visitor("b")
        assert list_jobs(visit.context.records(other)) == []
        queue = visit.context.jobs(visit.request)
        visit.context.sessions.end(visit.request)
        assert queue._closed
        assert visit.context.jobs(visit.request) is not queue
