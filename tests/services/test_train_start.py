"""Starting runs with real processes: what is frozen, who comes through, what stays when not."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.run_passport import TrainingSettings, WatchSettings
from qeu.core.settings import Settings
from qeu.core.training_variant import Variant
from qeu.services.train_data import hash_frozen
from qeu.services.train_order import TrainOrder
from qeu.services.train_spawn import MEMORY_AND_THREADS, accelerate_command, worker_environment
from qeu.services.train_start import start_run, start_twins
from qeu.services.train_stop import stop_run
from qeu.store.datasets import Stopped
from qeu.store.filters import Filter
from qeu.store.owner import owner_lives, owner_number
from qeu.store.run_folders import TRAIN, VALIDATION, RunFolder, list_runs
from tests.services.train_home import Home, spawn_stub, wait_for, wait_for_state
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def home(tmp_path: Path, base: Path) -> Home:
    return Home(tmp_path, base)


def test_a_run_is_started_and_finishes_by_itself(home):
    folder = home.start()
    # before the worker has said a word: the run is never without an owner
    status = folder.written_status()
    assert status.owner
    assert status.steps == 3
    wait_for_state(folder, "finished")
    assert owner_number(status.owner) == owner_number(folder.written_status().owner) != os.getpid()
    assert [step for step, _ in folder.metrics().curve("train", "loss")] == [1, 2, 3]
    wait_for(lambda: not owner_lives(status.owner))


def test_all_that_is_needed_to_repeat_it_is_in_its_passport(home):
    folder = home.start()
    passport = folder.passport()
    assert passport.problems() == []
    assert (passport.name, passport.records, passport.validation_records) == ("poems", 12, 4)
    assert passport.data_hash == hash_frozen(folder.frozen(TRAIN))[0]
    assert passport.validation_hash == hash_frozen(folder.frozen(VALIDATION))[0]
    assert "q_proj" in passport.lora.target_modules
    assert set(passport.versions) >= {"qeu", "torch", "trl", "peft"}
    again = TrainOrder.from_passport(passport)
    assert replace(again, lora=home.order().lora) == home.order()
    wait_for_state(folder, "finished")


def test_validation_records_are_those_kept_apart(home):
    folder = home.start(watch=WatchSettings(rows=3, samples=1))
    learned = {one.record.seq for one in folder.frozen(TRAIN)}
    watched = [one.record for one in folder.frozen(VALIDATION)]
    assert len(watched) == 3
    assert not learned & {one.seq for one in watched}
    assert all(one.no > 12 for one in watched)
    assert [one.identity for one in watched] == sorted(one.identity for one in watched)
    wait_for_state(folder, "finished")


def test_a_placebo_gets_others_reasonings_and_is_watched_on_true_ones(home):
    folder = home.start(variant=Variant(reasoning="shuffled"))
    frozen = list(folder.frozen(TRAIN))
    assert len(frozen) == 12
    assert all(one.other and one.other.reasoning != one.record.reasoning for one in frozen)
    assert all(one.other == one.record for one in folder.frozen(VALIDATION))
    assert folder.passport().data_hash != hash_frozen(replace(o, other=None) for o in frozen)[0]
    wait_for_state(folder, "finished")


def test_a_run_that_cannot_be_leaves_nothing(home):
    bad = home.order(training=TrainingSettings(learning_rate=3.0), where=Filter(language=("xx",)))
    with pytest.raises(QeuError, match=r"learning_rate is 3\.0"):
        start_run(home.workspace, bad, home.settings, spawn=spawn_stub)
    none = home.order(where=Filter(language=("xx",)))
    with pytest.raises(QeuError, match="No record of 'demo' is chosen"):
        start_run(home.workspace, none, home.settings, spawn=spawn_stub)
    assert not home.adapters.exists() or list(home.adapters.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base": "phi-3"}, "Unknown model"),
        ({"base": "groq/some"}, "on a server"),
        ({"dataset": "other"}, "There are: demo"),
        ({"training": TrainingSettings(steps=1_000_000, save_every=1)}, "MB on disk"),
        ({"watch": WatchSettings(best="loss"), "where": Filter(split=("validation",))}, "best is"),
        ({"name": "a/b"}, "cannot be a folder"),
        ({"training": TrainingSettings(optimizer="paged_adamw_8bit")}, "need a GPU"),
        ({"training": TrainingSettings(compute_dtype="float16")}, "only a GPU trains"),
    ],
)
def test_what_stands_in_the_way_is_said(home, change, words):
    with pytest.raises(QeuError, match=words):
        start_run(home.workspace, home.order(**change), home.settings, spawn=spawn_stub)
    assert list_runs(home.adapters) == []


def test_one_row_is_not_enough(home):
    ids = home.workspace.read("SELECT id FROM records WHERE no = 1")
    alone = home.order(where=Filter(ids=(ids[0][0],)))
    with pytest.raises(QeuError, match="Only one of the 1 records"):
        start_run(home.workspace, alone, home.settings, spawn=spawn_stub)


def test_of_two_starts_at_one_moment_one_comes_through(home):
    barrier, results = threading.Barrier(2), []

    def start() -> None:
        barrier.wait()
        try:
            results.append(home.start())
        except QeuError as error:
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [one for one in results if isinstance(one, QeuError)]
    assert len(errors) == 1
    assert "is taken" in str(errors[0])
    (folder,) = [one for one in results if not isinstance(one, QeuError)]
    wait_for_state(folder, "finished")
    assert [path.name for path in home.adapters.iterdir() if path.is_dir()] == ["poems"]


def test_runs_wait_for_each_other_in_the_order_of_their_orders(home):
    names = ("b", "a", "c")
    folders = [home.start(name, steps=2) for name in names]
    for folder in folders:
        wait_for_state(folder, "finished")
    first_lines = [folder.metrics().of("train")[0]["time"] for folder in folders]
    assert first_lines == sorted(first_lines)


def test_a_worker_that_dies_at_once_is_told_as_interrupted(home):
    folder = home.start("dumb")
    wait_for_state(folder, "interrupted")


def test_a_start_that_is_stopped_makes_nothing(home):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        start_run(home.workspace, home.order(), home.settings, stop=stop, spawn=spawn_stub)
    assert list_runs(home.adapters) == []


def test_a_public_page_trains_nothing(home):
    public = replace(home.settings, public=True)
    with pytest.raises(QeuError, match="public page"):
        start_run(home.workspace, home.order(), public, spawn=spawn_stub)


def test_what_a_killed_start_left_is_taken_away(home):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = home.adapters / f".making-0badcafe-{gone.pid}"
    mine = home.adapters / f".making-0badcafe-{os.getpid()}"
    for path in (left, mine):
        path.mkdir(parents=True)
    folder = home.start()
    assert not left.exists()
    assert mine.exists()
    wait_for_state(folder, "finished")


def test_the_worker_has_a_session_of_its_own(home):
    folder = home.start(steps=100_000, save_every=100_000)
    number = owner_number(folder.written_status().owner)
    # no Ctrl-C and no closed terminal of ours reaches it
    assert os.getsid(number) == number != os.getsid(0)
    stop_run(folder, "discard")


@pytest.mark.slow
def test_the_worker_outlives_who_started_it(home, base):
    code = (
        "import sys; from pathlib import Path; from tests.services.train_home import Home\n"
        "home = Home(Path(sys.argv[1]), Path(sys.argv[2])); home.start('own', steps=20)"
    )
    other = home.settings.home / "other"
    other.mkdir()
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, other, base], check=True, cwd=root)
    (folder,) = list_runs(other / "adapters")
    wait_for_state(folder, "finished")


def test_a_worker_gets_what_memory_and_threads_need(home):
    found = worker_environment(Settings(), {"PATH": "/bin", "PYTHONPATH": "/mine"})
    assert MEMORY_AND_THREADS.items() <= found.items()
    alone = worker_environment(Settings(), {"GOMP_SPINCOUNT": "20000"})
    assert alone["GOMP_SPINCOUNT"] == "20000"
    assert found["HF_HUB_OFFLINE"] == "1"
    assert found["PATH"] == "/bin"
    assert found["PYTHONPATH"].endswith(f"{os.pathsep}/mine")
    assert Path(found["QEU_ADAPTERS"]).is_absolute()
    folder = start_run(home.workspace, home.order(), home.settings, spawn=None)
    command = accelerate_command(folder, 2)
    assert "accelerate launch --multi_gpu --num_processes 2 -m qeu.services.train_worker" in command
    assert str(folder.path) in command
    assert "GOMP_SPINCOUNT=0" in command


def test_twins_learn_from_the_same_records(home):
    with home.workspace.change() as db:
        db.execute("UPDATE records SET reasoning = '' WHERE no IN (1, 2)")
    kinds, seeds = ("own", "none", "shuffled"), (0, 1)
    folders = start_twins(
        home.workspace, home.order("t", steps=1), kinds, seeds, home.settings, spawn=spawn_stub
    )
    assert [one.name for one in folders] == [
        "t-own-s0", "t-none-s0", "t-shuffled-s0", "t-own-s1", "t-none-s1", "t-shuffled-s1",
    ]  # fmt: skip
    learned = [[one.record.identity for one in folder.frozen(TRAIN)] for folder in folders]
    watched = [[one.record.identity for one in folder.frozen(VALIDATION)] for folder in folders]
    assert {len(one) for one in learned} == {10}
    assert all(one == learned[0] for one in learned)
    assert all(one == watched[0] for one in watched)
    passport = folders[4].passport()
    assert (passport.target, passport.reasoning, passport.seed) == ("answer", "none", 1)
    assert passport.twins == tuple(f"{kind}-s{seed}" for seed in seeds for kind in kinds)
    for folder in folders:
        wait_for_state(folder, "finished")


def test_twins_are_made_all_or_none(home):
    (home.adapters / "t-none-s0").mkdir(parents=True)
    (home.adapters / "t-none-s0" / "notes.txt").write_text("mine")
    order = home.order("t", steps=1)
    with pytest.raises(QeuError, match="'t-none-s0' is taken"):
        start_twins(home.workspace, order, ("own", "none"), (0,), home.settings, spawn=spawn_stub)
    assert [path.name for path in home.adapters.iterdir()] == ["t-none-s0"]
    with pytest.raises(QeuError, match="no twin 'some'"):
        start_twins(home.workspace, order, ("some",), (0,), home.settings, spawn=spawn_stub)


def test_what_cannot_be_started_leaves_nothing(home):
    started = []

    def start_one(folder: RunFolder, resume: str | None, settings: Settings) -> int:
        if started:
            raise QeuError("No process could be started.")
        started.append(folder)
        return spawn_stub(folder, resume, settings)

    order = home.order("t", steps=100_000, save_every=100_000)
    with pytest.raises(QeuError, match="No process"):
        start_twins(home.workspace, order, ("own", "none"), (0,), home.settings, spawn=start_one)
    wait_for(lambda: list(home.adapters.glob("*t-*")) == [])


def test_the_frozen_records_are_json_lines(home):
    folder = start_run(home.workspace, home.order(), home.settings, spawn=None)
    lines = (folder.path / TRAIN).read_text("utf-8").splitlines()
    assert len(lines) == 12
    assert set(json.loads(lines[0])) == {"record"}
