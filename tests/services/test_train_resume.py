"""Going on with a run: only where all is as it was, and only once."""

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.services.train_resume import resume_point, resume_problems, resume_run
from qeu.services.train_start import start_run
from qeu.services.train_stop import stop_run
from qeu.store.owner import owner_lives, owner_number
from qeu.store.run_folders import TRAIN, RunFolder, write_passport
from tests.services.train_home import Home, spawn_stub, wait_for, wait_for_state
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def home(tmp_path: Path, base: Path) -> Home:
    return Home(tmp_path, base)


def resume(home: Home, name: str = "poems") -> RunFolder:
    return resume_run(home.adapters, name, home.settings, spawn=spawn_stub)


def stopped(home: Home, steps: int = 40) -> RunFolder:
    """A run that was stopped after its first checkpoint."""
    folder = home.start(steps=steps)
    wait_for(lambda: bool(folder.checkpoints()))
    stop_run(folder)
    return folder


def test_a_stopped_run_goes_on_from_its_newest_checkpoint(home):
    folder = stopped(home)
    at = folder.checkpoints()[-1][0]
    assert resume_problems(folder, home.settings) == []
    resume(home)
    assert folder.written_status().owner
    wait_for_state(folder, "finished")
    assert [line["step"] for line in folder.metrics().of("resumed")] == [at]
    steps = [step for step, _ in folder.metrics().curve("train", "loss")]
    assert steps == list(range(1, 41))


def test_a_killed_run_goes_on(home):
    folder = home.start(steps=40)
    wait_for(lambda: bool(folder.checkpoints()))
    owner = folder.status().owner
    os.kill(owner_number(owner), signal.SIGKILL)
    wait_for(lambda: not owner_lives(owner))
    assert folder.status().state == "interrupted"
    resume(home)
    wait_for_state(folder, "finished")


def test_without_a_checkpoint_it_begins_again(home):
    folder = home.start("dumb")
    wait_for_state(folder, "interrupted")
    assert resume_point(folder) is None
    resume(home, "dumb")
    wait_for_state(folder, "interrupted")


def test_a_damaged_checkpoint_is_passed_over(home):
    folder = home.start(steps=8)
    wait_for_state(folder, "finished")
    assert resume_point(folder) == "checkpoint-8"
    (folder.path / "checkpoint-8" / "optimizer.pt").write_bytes(b"PK half of it")
    assert resume_point(folder) == "checkpoint-6"
    weights = folder.path / "checkpoint-6" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert resume_point(folder) == "checkpoint-4"
    state = folder.path / "checkpoint-4" / "trainer_state.json"
    state.write_text(json.dumps({"global_step": 3}))
    assert resume_point(folder) == "checkpoint-2"
    (folder.path / "checkpoint-2" / "trainer_state.json").write_text("{")
    assert resume_point(folder) is None


def test_only_what_has_ended_early_can_go_on(home):
    folder = home.start(steps=100_000, save_every=100_000)
    wait_for_state(folder, "running")
    with pytest.raises(QeuError, match="'poems' is running"):
        resume(home)
    stop_run(folder, "discard")
    folder = home.start(steps=1)
    wait_for_state(folder, "finished")
    with pytest.raises(QeuError, match="'poems' is finished"):
        resume(home)
    with pytest.raises(QeuError, match="There is no run 'songs'"):
        resume(home, "songs")


def test_of_two_resumes_at_one_moment_one_comes_through(home):
    folder = stopped(home, steps=60)
    barrier, results = threading.Barrier(2), []

    def go() -> None:
        barrier.wait()
        try:
            results.append(resume(home))
        except QeuError as error:
            results.append(error)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (error,) = [one for one in results if isinstance(one, QeuError)]
    assert "only one that was stopped" in str(error)
    wait_for_state(folder, "finished")
    assert len(folder.metrics().of("resumed")) == 1


def test_changed_records_are_seen(home):
    folder = stopped(home)
    file = folder.path / TRAIN
    text = file.read_text("utf-8")
    file.write_text(text.replace("Answer number 3.", "Answer number 4."))
    with pytest.raises(QeuError, match=r"train\.jsonl of 'poems' is not what the run began with"):
        resume(home)
    file.write_text(text[: len(text) // 2])
    with pytest.raises(QeuError, match=r"train\.jsonl"):
        resume(home)
    file.unlink()
    with pytest.raises(QeuError, match=r"train\.jsonl"):
        resume(home)
    file.write_text(text)
    assert resume_problems(folder, home.settings) == []


def test_a_damaged_passport_is_told(home):
    folder = stopped(home)
    (folder.path / "run.json").write_text('{"name": ')
    with pytest.raises(QeuError, match=r"run\.json of poems cannot be read.*train it anew"):
        resume(home)


def test_another_base_is_seen(home, tmp_path):
    folder = stopped(home)
    passport = folder.passport()
    write_passport(folder, replace(passport, base_revision="0" * 64))
    with pytest.raises(QeuError, match="is another one than the run began with"):
        resume(home)
    write_passport(folder, replace(passport, tokenizer_hash="0" * 64))
    with pytest.raises(QeuError, match="The tokenizer of"):
        resume(home)
    write_passport(folder, replace(passport, layout_hash="0" * 64))
    with pytest.raises(QeuError, match="The layout bonsai-v2 is written otherwise"):
        resume(home)
    write_passport(folder, replace(passport, base=str(tmp_path / "gone")))
    with pytest.raises(QeuError, match="gone"):
        resume(home)


def test_a_refused_resume_changes_nothing(home):
    folder = stopped(home)
    before = folder.written_status()
    (folder.path / TRAIN).unlink()
    folder.ask_stop("discard")
    with pytest.raises(QeuError):
        resume(home)
    assert folder.written_status() == before
    assert folder.wanted_stop() == "discard"


def test_an_old_wish_to_stop_does_not_end_it_again(home):
    folder = stopped(home)
    folder.ask_stop("keep")
    resume(home)
    wait_for_state(folder, "finished")


def test_a_process_that_cannot_be_started_leaves_the_run_as_it_was(home):
    folder = stopped(home)
    before = folder.written_status()

    def fail(*_: object) -> int:
        raise QeuError("No process could be started.")

    with pytest.raises(QeuError, match="No process"):
        resume_run(home.adapters, "poems", home.settings, spawn=fail)
    after = folder.written_status()
    assert replace(after, updated=before.updated) == before


def test_what_was_only_made_ready_can_be_begun(home):
    folder = start_run(home.workspace, home.order(), home.settings, spawn=None)
    resume(home)
    wait_for_state(folder, "finished")
