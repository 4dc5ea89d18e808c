"""Stopping runs: asked, signalled, killed; kept or gone."""

import os
import signal
import threading
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.run_status import RunStatus
from qeu.services import train_stop
from qeu.services.train_start import start_run
from qeu.services.train_stop import stop_in_background, stop_run
from qeu.store.owner import my_owner, owner_lives, owner_number
from qeu.store.run_folders import find_run, list_runs
from tests.services.train_home import Home, wait_for, wait_for_state
from tests.tiny_checkpoints import build_checkpoint

LONG = 100_000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def home(tmp_path: Path, base: Path) -> Home:
    return Home(tmp_path, base)


def started(home: Home, name: str = "poems"):
    folder = home.start(name, steps=LONG, save_every=LONG)
    wait_for_state(folder, "running")
    return folder


def test_stop_and_keep_keeps_what_was_learned(home):
    folder = started(home)
    status = stop_run(folder)
    assert status.state == "stopped"
    assert 0 < status.step < LONG
    assert (folder.path / "adapter_model.safetensors").is_file()
    assert not owner_lives(status.owner)
    assert folder.wanted_stop() == ""


def test_stop_and_discard_leaves_nothing(home):
    folder = started(home)
    owner = folder.status().owner
    assert stop_run(folder, "discard") is None
    assert not owner_lives(owner)
    assert not folder.path.exists()
    assert list_runs(home.adapters) == []


def test_who_does_not_hear_is_signalled(home):
    folder = started(home, "deaf")
    assert stop_run(folder, "keep", wait_s=0.2).state == "interrupted"
    assert not owner_lives(folder.written_status().owner)


def test_who_does_not_hear_signals_either_is_killed(home, monkeypatch):
    monkeypatch.setattr(train_stop, "_KILL_AFTER_S", 0.3)
    folder = started(home, "stubborn")
    owner = folder.status().owner
    os.kill(owner_number(owner), signal.SIGTERM)
    assert stop_run(folder, "discard", wait_s=0.2) is None
    assert not owner_lives(owner)
    assert not folder.path.exists()


def test_a_run_in_the_queue_ends_there(home):
    first, second = started(home, "first"), home.start("second", steps=5)
    status = stop_run(second)
    assert (status.state, status.step) == ("stopped", 0)
    assert first.status().state == "running"
    stop_run(first, "discard")


def test_what_has_ended_can_only_be_discarded(home):
    folder = home.start(steps=1)
    wait_for_state(folder, "finished")
    with pytest.raises(QeuError, match="is finished already"):
        stop_run(folder)
    assert folder.wanted_stop() == ""
    assert stop_run(folder, "discard") is None
    assert not folder.path.exists()


def test_a_page_asks_and_goes_on(home):
    folder = started(home)
    stop_in_background(folder)
    wait_for_state(folder, "stopped")
    with pytest.raises(QeuError, match="nothing to stop"):
        stop_in_background(folder)


def test_two_stops_at_once_both_come_to_an_end(home):
    folder, results = started(home), []

    def stop(way: str) -> None:
        try:
            results.append(stop_run(folder, way))
        except QeuError as error:
            results.append(error)

    threads = [threading.Thread(target=stop, args=(way,)) for way in ("keep", "discard", "discard")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3
    assert not folder.path.exists()


def test_a_run_that_was_never_begun_is_stopped_at_once(home):
    folder = start_run(home.workspace, home.order(), home.settings, spawn=None)
    assert folder.status().owner == ""
    assert stop_run(folder).state == "stopped"


def test_nobody_signals_those_that_it_belongs_to(home):
    # a folder that is being made belongs to this process; the signals would end this very test
    folder = start_run(home.workspace, home.order(), home.settings, spawn=None)
    folder.write_status(RunStatus(owner=my_owner()))
    thread = threading.Thread(target=stop_run, args=(folder, "keep", 0.0), daemon=True)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    folder.write_status(RunStatus("stopped"))
    thread.join(60)
    assert not thread.is_alive()


def test_a_killed_worker_is_interrupted_whatever_the_clock_says(home):
    folder = started(home)
    status = folder.written_status()
    os.kill(owner_number(status.owner), signal.SIGKILL)
    wait_for(lambda: not owner_lives(status.owner))
    # a clock that jumped has left times of another century
    text = (folder.path / "status.json").read_text("utf-8")
    (folder.path / "status.json").write_text(text.replace('"updated": "20', '"updated": "21'))
    assert find_run(home.adapters, "poems").status().state == "interrupted"
