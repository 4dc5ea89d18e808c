"""Where a person stands: every number moves with what it counts, and the next step follows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.services.job_bulk import accept_all
from qeu.services.job_candidates import open_group
from qeu.services.job_ensemble import make_ensembles
from qeu.services.job_review import decide, list_cases, read_case
from qeu.services.standing import STEP_TABS, Standing, StandingReader, Step, read_standing
from qeu.services.votes import cast_vote
from qeu.store.counts import WorkspaceCounts, count_workspace
from qeu.store.datasets import find_dataset, remove_dataset
from qeu.store.jobs import create_job
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder, create_run, write_passport
from qeu.store.undo import undo
from qeu.store.workspace import Workspace
from tests.services.job_group import SPEC, finished
from tests.services.voted_runs import comparison, store_run
from tests.store.dataset_rows import fill

PASSPORT = RunPassport.from_json(
    json.loads((Path(__file__).parents[1] / "contract" / "run.json").read_text("utf-8"))
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with six rows, three of them without reasoning."""
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 6, category="open_qa", language="en")
    return workspace


def make_run(adapters: Path, name: str, state: str) -> RunFolder:
    run = create_run(adapters, name)
    write_passport(run, PASSPORT)
    run.write_status(RunStatus(state, my_owner()))
    return run


def accept_first(workspace: Workspace, *jobs: int, decision: str = "accept") -> None:
    group = open_group(workspace, jobs)
    case = read_case(workspace, group, list_cases(workspace, group, "unreviewed")[0].record)
    letter = "A" if decision == "accept" else ""
    decide(workspace, group, case.stored.id, case.stored.version, decision, letter=letter)


def test_an_empty_workspace_begins_with_records(tmp_path: Path) -> None:
    standing = read_standing(Workspace(None), tmp_path / "none")
    assert standing == Standing(WorkspaceCounts(), 0, 0, 0)
    assert standing.next_step() == Step("import", "dataset", 1)


def test_records_are_counted_and_those_of_removed_sets_are_not(workspace: Workspace) -> None:
    fill(workspace, 4, name="other")
    counts = count_workspace(workspace)
    assert (counts.records, counts.without_reasoning) == (10, 5)
    finished(workspace)
    assert count_workspace(workspace).waiting == 6
    remove_dataset(workspace, find_dataset(workspace, "demo"))
    left = count_workspace(workspace)
    assert (left.records, left.without_reasoning, left.waiting) == (4, 2, 0)


def test_a_record_waits_once_however_many_texts_it_has(workspace: Workspace) -> None:
    job = finished(workspace, limit=4)  # two teachers
    assert count_workspace(workspace).waiting == 4
    accept_first(workspace, job.id)
    accept_first(workspace, job.id, decision="reject")
    counts = count_workspace(workspace)
    assert (counts.waiting, counts.accepted) == (2, 1)
    # one teacher: counted in another way, to the same end
    single = finished(workspace, sources=("smollm2-135m",), limit=3, target="reasoning_task")
    assert count_workspace(workspace).waiting == 5
    accept_first(workspace, single.id)
    assert count_workspace(workspace).waiting == 4


def test_undo_takes_an_acceptance_out_of_the_count(workspace: Workspace) -> None:
    job = finished(workspace, limit=2)
    accept_first(workspace, job.id)
    assert count_workspace(workspace).accepted == 1
    undo(workspace, find_dataset(workspace, "demo"))
    counts = count_workspace(workspace)
    assert (counts.waiting, counts.accepted) == (2, 0)


def test_one_decision_about_two_jobs_is_one_accepted_record(workspace: Workspace) -> None:
    one = finished(workspace, limit=2)
    other = finished(workspace, limit=2, view="Think of a child.")
    group = open_group(workspace, (one.id, other.id))
    make_ensembles(workspace, group, "medoid")
    accept_all(workspace, group, "medoid")
    counts = count_workspace(workspace)
    assert (counts.waiting, counts.accepted) == (0, 2)


def test_open_jobs_and_votes_are_counted(workspace: Workspace) -> None:
    create_job(workspace, SPEC)
    stored = store_run(workspace, comparison())
    cast_vote(workspace, stored.id, "left")
    counts = count_workspace(workspace)
    assert (counts.open_jobs, counts.votes) == (1, 1)


def test_runs_and_adapters_of_the_folder(workspace: Workspace, tmp_path: Path) -> None:
    adapters = tmp_path / "adapters"
    done = make_run(adapters, "done", "finished")
    make_run(adapters, "going", "running")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (done.path / name).write_text("x")
    write_passport(create_run(adapters, "shipped"), PASSPORT)  # trained elsewhere: no status
    (adapters / "half").mkdir()
    (adapters / "half" / "adapter_config.json").write_text("x")
    standing = read_standing(workspace, adapters)
    assert (standing.runs, standing.open_runs, standing.adapters) == (2, 1, 1)
    (adapters / "going" / "status.json").write_text("{")
    assert read_standing(workspace, adapters).open_runs == 0


def test_a_reader_counts_again_only_what_changed(workspace: Workspace, tmp_path: Path) -> None:
    asked: list[str] = []
    read = workspace.read
    workspace.read = lambda sql, values=(): asked.append(sql) or read(sql, values)  # type: ignore
    times = iter(range(0, 10**6, 1000))
    reader = StandingReader(workspace, tmp_path, clock=lambda: float(next(times)))
    reader.read()
    first = len(asked)
    assert reader.read().counts.records == 6
    assert len(asked) == first + 2  # the mark alone
    fill(Workspace(workspace.path), 2, name="by another process")
    for _ in range(30):  # a count of 1,000 s on this clock is not made again soon after
        last = reader.read()
    assert last.counts.records == 8


def test_counting_takes_a_small_share_of_the_time(workspace: Workspace) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0  # each look at the clock a second later: a count takes one
        return now[0]

    reader = StandingReader(workspace, None, clock)
    reader.read()
    fill(workspace, 2, name="more")
    assert reader.read().counts.records == 6
    now[0] += 20
    assert reader.read().counts.records == 8


def test_a_run_that_ends_is_seen_and_one_that_goes_on_again_too(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", "finished")
    reader = StandingReader(Workspace(None), tmp_path)
    assert reader.read().open_runs == 0
    run.write_status(replace(run.written_status(), state="running"))
    assert reader.read().open_runs == 1
    run.write_status(replace(run.written_status(), state="stopped"))
    assert reader.read().open_runs == 0


STEPS = [
    ("import", {}, 0, 0),
    ("review", {"records": 9, "waiting": 3, "without_reasoning": 2}, 0, 1),
    ("watch_run", {"records": 9}, 2, 1),
    ("watch_job", {"records": 9, "open_jobs": 1, "without_reasoning": 2}, 0, 0),
    ("generate", {"records": 9, "without_reasoning": 2}, 0, 0),
    ("train", {"records": 9}, 0, 0),
    ("evaluate", {"records": 9, "without_reasoning": 2}, 1, 0),
    ("improve", {"records": 9, "votes": 4}, 1, 0),
]


@pytest.mark.parametrize(("name", "counts", "runs", "going"), STEPS)
def test_the_next_step_follows_the_loop(name, counts, runs, going) -> None:
    standing = Standing(WorkspaceCounts(**counts), runs, going, 0)
    assert standing.next_step().name == name
    assert standing.to_json()["next"]["tab"] == STEP_TABS[name]  # type: ignore[index]


def test_a_step_whose_tab_is_not_there_is_passed_over() -> None:
    standing = Standing(WorkspaceCounts(records=9), 1, 1, 1)
    assert standing.next_step({"compare", "dataset"}).name == "vote"
    # a public page tells nothing of runs, and nobody trains there
    visit = Standing(WorkspaceCounts(records=9))
    assert visit.next_step().name == "vote"


def test_the_command_prints_numbers_and_the_next_command(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["next"]["name"]) == (6, "generate")
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert "qeu generate" in told
    assert "votes" in told
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "nothing"))
    assert main(["status"]) == 0
    assert not (tmp_path / "nothing").exists()
