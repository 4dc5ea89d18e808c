"""A sweep from the order to its cells: nothing twice, a model at once, going on, deleting."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.core.generation import Generation
from qeu.core.sampling import Sampling
from qeu.core.sweep_spec import SweepPrompt, SweepSpec
from qeu.services.evaluate_ask import TOGETHER
from qeu.services.sweep import SweepProgress, order_sweep, run_sweep, title_of
from qeu.services.sweep_plan import find_pace, plan_sweep
from qeu.services.sweep_result import Sweep, read_cell, read_sweep
from qeu.services.sweep_runs import SweepRun, SweepRuns
from qeu.services.sweep_table import best_sentence, csv_text, map_rows, table_rows
from qeu.store.datasets import find_dataset
from qeu.store.sweeps import FINISHED, OPEN, delete_sweep, get_sweep, list_sweeps
from qeu.store.workspace import Workspace
from tests.services.evaluate_home import add, rows
from tests.services.job_engine import JobModel, failed
from tests.services.test_usefulness import STUDENT, Engines

PATIENCE_S = 20
PROMPT = SweepPrompt("What is 6 times 7?", reference="42")
SPEC = SweepSpec(
    (STUDENT,), (PROMPT,), grid={"temperature": (0, 0.7, 1.0), "top_p": (0.9, 1)}, seeds=2
)


class Model(JobModel):
    """Writes by the sampling too: `say(temperature, seed)`; `rows` are all that it was given."""

    def __init__(self, say: Callable[[Sampling], str | Generation]) -> None:
        super().__init__(STUDENT, lambda prompt: "")
        self.say = say
        self.rows: list[list[Sampling]] = []

    def generate(self, rows, emit=None, **how):
        self.rows.append([row.sampling for row in rows])
        return super().generate(rows, emit, **how)

    def _one(self, row, exact, batch):
        self.write = lambda prompt: self.say(row.sampling)
        return super()._one(row, exact, batch)


def by_temperature(sampling: Sampling) -> str:
    return "It is 42." if sampling.temperature < 1 else f"Perhaps {sampling.seed}?"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "qeu.db")


def sweep(workspace: Workspace, model: JobModel, spec: SweepSpec = SPEC, **how) -> Sweep | None:
    return run_sweep(Engines(model), workspace, order_sweep(workspace, spec), **how)  # type: ignore[arg-type]


class TestRun:
    def test_all_cells_of_a_model_are_computed_together_each_by_its_own_sampling(self, workspace):
        model = Model(by_temperature)
        found = sweep(workspace, model)
        assert found is not None
        assert len(model.rows) == 1
        asked = [(one.temperature, one.top_p, one.seed) for one in model.rows[0]]
        drawn = [(t, p, seed) for t in (0.7, 1) for p in (0.9, 1) for seed in (1, 2)]
        assert asked == [(0, 0.9, 1), *drawn]
        assert found.finished
        assert (found.total, found.spec.combinations, found.unit) == (5, 6, "text")
        right = [cell.estimates["right"].value for cell in found.cells]
        assert right == [1, 1, 1, 0, 0]
        assert [cell.estimates["right"].n for cell in found.cells] == [1, 2, 2, 2, 2]
        assert found.best("right").verdict == "too_few"
        assert any("shown once (1)" in note for note in found.notes)

    def test_nothing_is_asked_twice_not_even_by_another_sweep(self, workspace):
        model = Model(by_temperature)
        sweep(workspace, model)
        count = len(model.asked)
        wider = replace(SPEC, grid={"temperature": (0, 0.5, 0.7), "top_p": (0.9, 1)})
        found = sweep(workspace, model, wider)
        assert found is not None
        assert len(model.asked) == count + 4
        assert {one.temperature for one in model.rows[-1]} == {0.5}
        assert read_sweep(workspace, found.number).cells == found.cells

    def test_rows_that_draw_from_the_whole_vocabulary_keep_to_themselves(self, workspace):
        model = Model(by_temperature)
        spec = replace(SPEC, grid={"temperature": (0, 0.7), "top_k": (0, 20, 40)}, seeds=1)
        found = sweep(workspace, model, spec)
        assert found is not None
        assert [[one.top_k for one in call] for call in model.rows] == [[50, 20, 40], [0]]
        assert [cell.number for cell in found.cells] == [1, 2, 3, 4]

    def test_many_cells_come_in_parts_and_none_is_left_out(self, workspace):
        model = Model(by_temperature)
        told: list[SweepProgress] = []
        grid = {"temperature": tuple((at + 1) / 100 for at in range(300))}
        found = sweep(workspace, model, replace(SPEC, grid=grid), progress=told.append)
        assert found is not None
        assert len(found.cells) == 300
        assert [len(call) for call in model.rows] == [TOGETHER, TOGETHER, 600 - 2 * TOGETHER]
        assert told[-1] == SweepProgress(600, 600, 300, 300)
        assert [one.done for one in told] == sorted(one.done for one in told)

    def test_roles_and_models_are_axes_and_an_edited_wording_speaks(self, workspace):
        model = Model(by_temperature)
        spec = replace(
            SPEC, roles=("", "assistant", "creator"), grid={}, seeds=1,
            wordings={"creator": "You sing."},
        )  # fmt: skip
        found = sweep(workspace, model, spec)
        assert found is not None
        # by its category the prompt is the assistant's
        assert [len(cell.cell.combinations) for cell in found.cells] == [2, 1]
        assert len(model.asked) == 2
        assert "You sing." in model.asked[1]
        assert [cell.role for cell in found.cells] == ["by_category", "creator"]

    def test_a_text_that_fails_is_missing_and_is_asked_again(self, workspace):
        def say(sampling: Sampling) -> str | Generation:
            return failed("Too long.") if sampling.temperature == 1 else "42"

        model = Model(say)
        found = sweep(workspace, model)
        assert found is not None
        assert [cell.failed for cell in found.cells[3:]] == [{"Too long.": 2}, {"Too long.": 2}]
        assert found.cells[3].estimates == {}
        assert "Missing texts: 4. Too long." in found.notes
        model.say = by_temperature
        before = len(model.asked)
        again = run_sweep(Engines(model), workspace, found.number)  # type: ignore[arg-type]
        assert again is not None
        assert len(model.asked) == before + 4
        assert [cell.failed for cell in again.cells] == [{}] * 5

    def test_a_prompt_that_cannot_be_asked_says_why(self, workspace):
        add(workspace, rows(3))
        db = workspace.change()
        with db as inside:
            inside.execute("UPDATE records SET instruction = ' ' WHERE seq = '2EN'")
        spec = replace(SPEC, prompts=(), dataset="demo", grid={}, seeds=1)
        plan = plan_sweep(workspace, Engines(Model(by_temperature)), spec)  # type: ignore[arg-type]
        assert (plan.texts, plan.failing, plan.todo) == (3, 1, 2)
        found = sweep(workspace, Model(by_temperature), spec)
        assert found is not None
        assert list(found.cells[0].failed) == list(plan.reasons)
        assert "question is empty" in next(iter(plan.reasons))
        assert found.finished

    def test_an_engine_that_is_gone_ends_it_and_what_was_written_stays(self, workspace):
        def say(sampling: Sampling) -> str | Generation:
            if sampling.temperature == 1:
                return failed("The server is gone.", trouble="engine")
            return "42"

        model = Model(say)
        with pytest.raises(QeuError, match="server is gone"):
            sweep(workspace, model)
        assert [one.state for one in list_sweeps(workspace)] == [OPEN]
        model.say = by_temperature
        before = len(model.asked)
        assert sweep(workspace, model) is not None
        assert len(model.asked) == before + 4
        assert [one.state for one in list_sweeps(workspace)] == [FINISHED]


class TestGoingOn:
    def test_a_stopped_sweep_keeps_its_whole_cells_and_goes_on_where_it_was(self, workspace):
        stop = threading.Event()

        def say(sampling: Sampling) -> str:
            if sampling.temperature == 1 and sampling.seed == 2:
                stop.set()
            return by_temperature(sampling)

        model = Model(say)
        assert sweep(workspace, model, stop=stop) is None
        written = len(model.asked)
        assert 5 < written < 9
        kept = read_sweep(workspace, 1)
        assert 3 <= len(kept.cells) < 5
        assert not kept.finished
        assert f"{len(kept.cells)} of 5 cells are finished." in kept.notes
        # in another process, from the same words
        other = Workspace(workspace.path)
        found = sweep(other, model)
        assert found is not None
        assert (found.number, len(found.cells), len(model.asked)) == (1, 5, 9)

    def test_a_finished_sweep_that_is_run_again_asks_nothing(self, workspace):
        model = Model(by_temperature)
        first = sweep(workspace, model)
        told: list[SweepProgress] = []
        again = run_sweep(Engines(model), workspace, 1, progress=told.append)  # type: ignore[arg-type]
        assert again is not None
        assert told == [SweepProgress(9, 9, 5, 5)]  # its cells were not even looked into
        assert again.cells == first.cells  # type: ignore[union-attr]
        assert len(model.asked) == 9

    def test_the_same_order_is_the_same_sweep_until_its_prompts_change(self, workspace):
        add(workspace, rows(3))
        spec = replace(SPEC, prompts=(), dataset="demo", grid={}, seeds=1)
        assert sweep(workspace, Model(by_temperature), spec) is not None
        assert order_sweep(workspace, spec) == 1
        with workspace.change() as db:
            db.execute("UPDATE records SET output = 'other' WHERE seq = '2EN'")
        assert order_sweep(workspace, spec) == 2

    def test_other_weights_are_asked_anew(self, workspace):
        model, stop = Model(by_temperature), threading.Event()
        sweep(workspace, model)
        model.revision = "r2"

        def say(sampling: Sampling) -> str:
            stop.set()
            return "42"

        model.say = say
        assert run_sweep(Engines(model), workspace, 1, stop=stop) is None  # type: ignore[arg-type]
        assert get_sweep(workspace, 1).state == OPEN
        assert run_sweep(Engines(model), workspace, 1) is not None  # type: ignore[arg-type]
        assert get_sweep(workspace, 1).state == FINISHED
        assert len(model.asked) == 18

    def test_its_prompts_are_those_of_the_order(self, workspace):
        add(workspace, rows(3))
        spec = replace(SPEC, prompts=(), dataset="demo", grid={}, seeds=1)
        number = order_sweep(workspace, spec)
        demo = find_dataset(workspace, "demo").id
        with workspace.change() as db:
            db.execute("DELETE FROM records WHERE dataset = ?", (demo,))
        found = run_sweep(Engines(Model(by_temperature)), workspace, number)  # type: ignore[arg-type]
        assert found is not None
        assert len(found.records) == 3

    def test_a_sweep_that_is_deleted_meanwhile_ends(self, workspace):
        def say(sampling: Sampling) -> str:
            if list_sweeps(workspace):
                delete_sweep(workspace, 1)
            return "42"

        assert sweep(workspace, Model(say)) is None
        assert list_sweeps(workspace) == []
        assert workspace.read("SELECT count(*) FROM sweep_cells")[0][0] == 0
        # its texts stay
        assert workspace.read("SELECT count(*) FROM generations")[0][0] == 9
        with pytest.raises(QeuError, match="no sweep 1"):
            delete_sweep(workspace, 1)


class TestPlan:
    def test_what_is_there_and_what_is_to_do_is_counted(self, workspace):
        engines = Engines(Model(by_temperature))
        plan = plan_sweep(workspace, engines, SPEC)  # type: ignore[arg-type]
        assert (plan.combinations, plan.cells, plan.texts, plan.cached) == (6, 5, 9, 0)
        assert (plan.todo, plan.tokens, plan.seconds, plan.is_large) == (9, 9 * 256, None, False)
        assert list_sweeps(workspace) == []
        sweep(workspace, Model(by_temperature))
        wider = replace(SPEC, grid={"temperature": (0, 0.5, 0.7), "top_p": (0.9, 1)})
        plan = plan_sweep(workspace, engines, wider)  # type: ignore[arg-type]
        assert (plan.cells, plan.texts, plan.cached, plan.todo) == (5, 9, 5, 4)
        assert plan.seconds is not None
        assert plan.seconds == pytest.approx(4 * 256 * find_pace(workspace, STUDENT))  # type: ignore[operator]
        done = plan_sweep(workspace, engines, SPEC)  # type: ignore[arg-type]
        assert (done.todo, done.seconds) == (0, 0.0)

    def test_two_cells_that_share_a_text_make_it_once(self, workspace):
        creative = replace(PROMPT, category="creative")
        spec = replace(SPEC, prompts=(PROMPT, creative), roles=("", "assistant"), grid={}, seeds=1)
        plan = plan_sweep(workspace, Engines(Model(by_temperature)), spec)  # type: ignore[arg-type]
        assert (plan.cells, plan.texts, plan.todo) == (2, 4, 2)

    def test_a_large_sweep_is_said_beforehand(self, workspace):
        many = tuple((at + 1) / 100 for at in range(100))
        spec = replace(SPEC, grid={"temperature": many, "top_p": many[:10]}, seeds=1)
        plan = plan_sweep(workspace, Engines(Model(by_temperature)), spec)  # type: ignore[arg-type]
        assert (plan.cells, plan.todo, plan.is_large) == (1_000, 1_000, True)
        few = replace(SPEC, grid={"temperature": many}, seeds=2)
        assert not plan_sweep(workspace, Engines(Model(by_temperature)), few).is_large  # type: ignore[arg-type]

    def test_more_texts_than_can_be_are_refused(self, workspace):
        hundred = tuple((at + 1) / 100 for at in range(100))
        spec = replace(SPEC, grid={"temperature": hundred, "top_p": hundred}, seeds=100)
        with pytest.raises(UsageError, match="up to 1,000,000 texts"):
            order_sweep(workspace, spec)

    def test_a_model_that_is_not_here_has_nothing_cached_and_is_not_fetched(self, workspace):
        engines = Engines(Model(by_temperature))
        engines.identify = lambda *a, **k: None  # type: ignore[assignment]
        engines.load = None  # type: ignore[assignment]
        plan = plan_sweep(workspace, engines, SPEC)  # type: ignore[arg-type]
        assert (plan.cells, plan.texts, plan.cached, plan.todo) == (5, 9, 0, 9)


class TestReading:
    def test_a_cell_is_read_with_its_texts(self, workspace):
        sweep(workspace, Model(by_temperature))
        cell, texts = read_cell(workspace, 1, 4)
        assert cell.cell.setting.sampling == Sampling(temperature=1, top_p=0.9, seed=1)
        assert [text.generation and text.generation.answer for text in texts] == [
            "Perhaps 1?", "Perhaps 2?",
        ]  # fmt: skip
        assert texts[0].record.question == PROMPT.instruction
        assert texts[1].to_json()["seed"] == 2
        for missing in (0, 6):
            with pytest.raises(QeuError, match=f"no finished cell {missing}"):
                read_cell(workspace, 1, missing)
        with pytest.raises(QeuError, match="no sweep 9"):
            read_cell(workspace, 9, 1)

    def test_what_another_version_kept_says_so(self, workspace):
        sweep(workspace, Model(by_temperature))
        with workspace.change() as db:
            db.execute("UPDATE sweep_cells SET data = '{\"samples\": []}' WHERE number = 2")
        with pytest.raises(QeuError, match="another version"):
            read_sweep(workspace, 1)

    def test_words_for_a_terminal_and_a_file(self, workspace):
        model = Model(lambda s: "It is 42." if s.temperature < 1 else "It is 41.")
        found = sweep(workspace, model, replace(SPEC, seeds=8))
        assert found is not None
        table = table_rows(found, ["right"], intervals=False)
        assert table[0] == ["cell", "temperature", "top_p", "texts", "right"]
        assert table[1] == ["1", "0", "0.9/1", "1", "100%*"]
        assert [row[-1] for row in table[2:]] == ["100%~", "100%~", "0%", "0%"]
        grid = map_rows(found, found.heat_map("right"))
        assert grid[0] == ["temperature \\ top_p", "0.9", "1"]
        assert grid[1] == ["0", "██ 100%*", "██ 100%*"]
        assert grid[3] == ["1", "   0%", "   0%"]
        told = best_sentence(found, found.best("right"))
        assert told.startswith("Cannot tell which is best at n = 8. On top: temperature 0,")
        assert "Of the 4 nearest cells 2 cannot be told from the top." in told
        lines = csv_text(found).splitlines()
        assert lines[0].startswith("cell,model,role,target,layout,temperature,top_p,texts,same_as,")
        assert len(lines) == 1 + 6
        assert lines[2].split(",")[:9] == ["1", STUDENT, "", "", "", "0", "1", "1", "1"]
        assert json.loads(json.dumps(found.to_json()))["cells"] == 5

    def test_the_title_names_what_is_varied(self):
        assert title_of(SPEC) == f"{STUDENT} · temperature 0, 0.7, 1 · top_p 0.9, 1"


class TestInTheBackground:
    def test_one_at_a_time_and_it_goes_on_after_a_stop(self, workspace):
        gate, reached = threading.Event(), threading.Event()

        def say(sampling: Sampling) -> str:
            if sampling.temperature == 1:
                reached.set()
                assert gate.wait(PATIENCE_S)
            return by_temperature(sampling)

        model, runs = Model(say), SweepRuns(workspace)
        first = runs.start(Engines(model), SPEC)  # type: ignore[arg-type]
        assert first is not None
        assert reached.wait(PATIENCE_S)
        assert runs.running
        assert runs.start(Engines(model), SPEC) is None  # type: ignore[arg-type]
        assert runs.resume(Engines(model), first.number) is None  # type: ignore[arg-type]
        first.stop()
        gate.set()
        assert first.wait(PATIENCE_S)
        assert first.error is None
        assert get_sweep(workspace, first.number).state == OPEN
        again = runs.resume(Engines(model), first.number)  # type: ignore[arg-type]
        assert again is not None
        assert again.wait(PATIENCE_S)
        assert (again.error, again.progress.cells_done) == (None, 5)
        assert len(model.asked) == 9
        with pytest.raises(QeuError, match="no sweep 99"):
            runs.resume(Engines(model), 99)  # type: ignore[arg-type]

    def test_an_error_ends_it(self, workspace):
        runs = SweepRuns(workspace)
        run = runs.start(Engines(Model(lambda s: failed("Gone.", "engine"))), SPEC)  # type: ignore[arg-type]
        assert run is not None
        assert run.wait(PATIENCE_S)
        assert "Gone." in str(run.error)

    def test_what_is_left_is_told_from_the_pace_so_far(self):
        now = 100.0
        run = SweepRun(1, lambda: now)
        assert run.seconds_left is None
        run.note(SweepProgress(10, 30, 0, 5))
        assert run.seconds_left is None
        now = 110.0
        run.note(SweepProgress(15, 30, 1, 5))
        assert run.seconds_left == 30.0
