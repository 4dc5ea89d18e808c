"""Evaluations in the background: one at a time, kept when finished, gone on with when not."""

import json
import shlex
import threading
from pathlib import Path

import pytest

from qeu.backends.engines import open_engines
from qeu.cli.main import build_parser
from qeu.core.errors import QeuError, UsageError
from qeu.core.settings import Settings
from qeu.services.evaluate import Progress, evaluate
from qeu.services.evaluate_order import EvalOrder, count_records
from qeu.services.evaluate_report import html_report
from qeu.services.evaluate_runs import EvaluateRun, EvaluateRuns
from qeu.services.evaluate_stored import evaluation_from_json, evaluation_to_json, list_shipped
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.services.shipped_data import find_shipped
from qeu.services.standing import Standing
from qeu.store.counts import WorkspaceCounts, count_workspace
from qeu.store.evaluations import FINISHED, OPEN, last_verdict, list_evaluations
from qeu.store.workspace import Workspace
from tests.services.evaluate_home import Model, adapters, add, rows, thinking, workspace
from tests.services.test_usefulness import STUDENT, Engines

__all__ = ["adapters", "workspace"]  # fixtures
PATIENCE_S = 20
ORDER = EvalOrder("demo", STUDENT, (f"{STUDENT}@poems",), examples=0, seeds=1)


def engines(model: Model, adapters: Path) -> Engines:
    made = Engines(model)
    made.adapters = adapters
    return made


def run(runs: EvaluateRuns, model: Model, adapters: Path, order: EvalOrder = ORDER) -> EvaluateRun:
    """Start it and wait for its end."""
    started = runs.start(engines(model, adapters), order)  # type: ignore[arg-type]
    assert started is not None
    assert started.wait(PATIENCE_S)
    return started


def test_what_came_of_it_is_kept_whole(workspace: Workspace, adapters: Path):
    add(workspace, rows(9))
    runs = EvaluateRuns(workspace)
    assert runs.find() is None
    assert run(runs, Model(thinking), adapters).error is None
    direct = evaluate(engines(Model(thinking), adapters), workspace, ORDER.spec(adapters))  # type: ignore[arg-type]
    assert direct is not None
    kept = EvaluateRuns(workspace).find()  # as after another start of the program
    assert kept is not None
    assert kept.evaluation == direct
    assert kept.evaluation.texts == direct.texts
    assert html_report(kept.evaluation) == html_report(direct)
    assert (kept.records, kept.notes, kept.number) == (9, direct.notes, 1)
    [stored] = list_evaluations(workspace)
    assert (stored.state, stored.verdict, stored.base) == (FINISHED, "helps", STUDENT)
    assert EvalOrder.from_json(stored.asked) == ORDER
    assert runs.interrupted() is None


def test_the_last_verdict_stands_among_the_counts(workspace: Workspace, adapters: Path):
    add(workspace, rows(9))
    assert count_workspace(workspace).verdict == last_verdict(workspace) == ""
    runs = EvaluateRuns(workspace)
    run(runs, Model(thinking), adapters)
    assert count_workspace(workspace).verdict == "helps"
    run(runs, Model(lambda prompt: "no"), adapters, EvalOrder("demo", STUDENT, seeds=1))
    assert count_workspace(workspace).verdict == "unclear"
    one = Standing(WorkspaceCounts(9), runs=1)
    assert one.next_step().name == "evaluate"
    assert Standing(WorkspaceCounts(9, verdict="helps"), runs=1).next_step().name == "vote"


def test_one_at_a_time_and_it_goes_on_after_a_stop(workspace: Workspace, adapters: Path):
    add(workspace, rows(9))
    gate, reached = threading.Event(), threading.Event()

    def write(prompt: str) -> str:
        if len(model.asked) == 4:
            reached.set()
            assert gate.wait(PATIENCE_S)
        return thinking(prompt)

    model, runs = Model(write), EvaluateRuns(workspace)
    first = runs.start(engines(model, adapters), ORDER)  # type: ignore[arg-type]
    assert first is not None
    assert reached.wait(PATIENCE_S)
    assert runs.running
    assert runs.start(engines(model, adapters), ORDER) is None  # type: ignore[arg-type]
    assert runs.interrupted() is None
    first.stop()
    gate.set()
    assert first.wait(PATIENCE_S)
    assert (first.error, runs.find(), runs.revision) == (None, None, 0)
    assert len(model.asked) < 27
    again = EvaluateRuns(workspace)
    assert again.interrupted() == ORDER
    before = len(model.asked)
    run(again, model, adapters)
    assert (len(model.asked), before < 27) == (27, True)
    assert again.interrupted() is None
    # the order that was cut short has given way to the one that was finished
    assert [one.state for one in list_evaluations(workspace)] == [FINISHED]


def test_an_error_ends_it_and_the_order_stays(workspace: Workspace, adapters: Path, caplog):
    add(workspace, rows(9))
    runs = EvaluateRuns(workspace)
    order = EvalOrder("demo", STUDENT, split="test", examples=0, seeds=1)
    ended = run(runs, Model(thinking), adapters, order)
    assert "No record of 'demo' matches" in str(ended.error)
    assert isinstance(ended.error, QeuError)
    assert runs.interrupted() == order
    assert caplog.text == ""
    with pytest.raises(UsageError, match="No data set"):
        runs.start(engines(Model(thinking), adapters), EvalOrder("", STUDENT))  # type: ignore[arg-type]
    assert [one.state for one in list_evaluations(workspace)] == [OPEN]


def test_what_is_left_is_told_from_the_pace_so_far():
    now = 100.0
    run = EvaluateRun(ORDER, lambda: now)
    assert (run.step, run.done, run.total, run.seconds_left) == ("", 0, 0, None)
    run.note(Progress("texts", 10, 30))  # ten were there before
    now = 110.0
    run.note(Progress("texts", 15, 30))
    assert (run.step, run.done, run.total) == ("texts", 15, 30)
    assert run.seconds_left == 30.0
    assert run.seconds_a_text == 10 / 5 / ORDER.max_new_tokens
    run.note(Progress("losses", 30, 30))
    assert (run.step, run.seconds_left) == ("losses", None)
    quick = EvaluateRun(ORDER, lambda: now)
    quick.note(Progress("texts", 30, 30))
    assert quick.seconds_a_text == 0.0


def test_an_estimate_is_of_the_same_base(workspace: Workspace, adapters: Path):
    add(workspace, rows(9))
    runs = EvaluateRuns(workspace)
    assert runs.estimate(ORDER, 10) is None
    run(runs, Model(thinking), adapters)
    run(runs, Model(thinking), adapters)  # all was there: it tells nothing
    ten, twenty = runs.estimate(ORDER, 10), runs.estimate(ORDER, 20)
    assert ten is not None
    assert twenty == pytest.approx(2 * ten)
    assert runs.estimate(EvalOrder("demo", "phi-2"), 10) is None


def test_the_command_does_the_same(workspace: Workspace, adapters: Path, monkeypatch):
    from qeu.cli.evaluate import read_spec

    monkeypatch.setenv("QEU_ADAPTERS", str(adapters))
    for order in (
        ORDER,
        EvalOrder("demo", STUDENT, (f"{STUDENT}@poems", "phi-2"), ("own", "given"), "", 1, 2, 7),
        EvalOrder("it's", STUDENT, split="train", max_new_tokens=9, losses=False),
    ):
        parts = shlex.split(order.to_command())
        assert parts[:4] == ["python", "-m", "qeu", "evaluate"]
        assert read_spec(build_parser().parse_args(parts[3:])) == order.spec(adapters)


def test_records_are_counted_before_anything_is_brought_in(workspace: Workspace):
    files = find_shipped()
    lines = {split: len(path.read_text("utf-8").splitlines()) for split, path in files.items()}
    assert count_records(workspace, EvalOrder(SHIPPED, STUDENT)) == lines["validation"]
    assert count_records(workspace, EvalOrder(SHIPPED, STUDENT, split="")) == sum(lines.values())
    assert count_records(workspace, EvalOrder(SHIPPED, STUDENT, limit=3)) == 3
    add(workspace, rows(4) + rows(3, "train"))
    assert count_records(workspace, EvalOrder("demo", STUDENT)) == 4
    with pytest.raises(QeuError, match="gone"):
        count_records(workspace, EvalOrder("gone", STUDENT))


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"adapter_hash": 1, "evaluation": []}'])
def test_what_another_version_left_with_an_adapter_is_passed_over(adapters: Path, broken: str):
    (adapters / "poems" / "evaluation.json").write_text(broken, "utf-8")
    assert list_shipped(adapters) == []


def test_a_kept_evaluation_of_another_version_is_said_to_be_one(
    workspace: Workspace, adapters: Path
):
    add(workspace, rows(3))
    spec = EvalOrder("demo", STUDENT, seeds=1, examples=0).spec(adapters)
    found = evaluate(engines(Model(thinking), adapters), workspace, spec)  # type: ignore[arg-type]
    assert found is not None
    data = json.loads(json.dumps(evaluation_to_json(found)))
    assert evaluation_from_json(data) == found
    del data["ways"][0]["averages"]
    with pytest.raises(QeuError, match="another version"):
        evaluation_from_json(data)


@pytest.mark.slow
def test_on_the_embedded_model(tmp_path: Path, embedded_path: Path):
    """Two shipped records, few tokens, from the order to the verdict that is kept."""
    own = Workspace(tmp_path / "qeu.db")
    settings = Settings(cache=embedded_path.parent, adapters=tmp_path, home=tmp_path)
    runs = EvaluateRuns(own)
    order = EvalOrder(SHIPPED, STUDENT, limit=2, seeds=1, examples=1, max_new_tokens=8)
    started = runs.start(open_engines(settings, {}), order)
    assert started is not None
    assert started.wait(300)
    assert started.error is None
    kept = runs.find()
    assert kept is not None
    assert len(kept.evaluation.texts) == 4
    assert kept.evaluation.pairs[0].verdict == "unclear"
    assert "Cannot tell" in kept.evaluation.pairs[0].sentence
