"""Deleting an adapter: only when confirmed, never while it is worked with, never half."""

import os
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from qeu.backends.adapter_files import scan_adapters
from qeu.backends.shelf import LoadedModel
from qeu.core.errors import QeuError
from qeu.core.run_status import RunStatus
from qeu.services.adapter_delete import delete_adapter, plan_deletion
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder
from tests.backends.test_adapter_files import make, tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Adapters poems (a finished run with two checkpoints) and plain."""
    found = tmp_path / "adapters"
    path = make(found, "poems")
    (path / "run.json").write_text("{}")
    RunFolder(path).write_status(RunStatus("finished"))
    make(path, "checkpoint-5")
    make(path, "checkpoint-10")
    make(found, "plain")
    return found


def loaded(busy: bool, *names: str) -> list[LoadedModel]:
    return [LoadedModel("phi-2", "bfloat16", "cpu", 1, names, busy)]


def names(folder: Path) -> list[str]:
    return [adapter.name for adapter in scan_adapters(folder)[0]]


def test_without_confirmation_it_is_told_what_would_be_lost(folder):
    with pytest.raises(QeuError, match=r"would be deleted for good: 0\.0 MB, 2 checkpoints"):
        delete_adapter(folder, "poems", confirmed=False)
    assert "poems" in names(folder)
    plan = plan_deletion(folder, "poems")
    assert (plan.checkpoints, plan.records, plan.shipped) == (2, True, False)
    assert plan.bytes > 3 * len(tensors(a=(2, 3)))


def test_the_whole_run_goes(folder):
    delete_adapter(folder, "poems", confirmed=True)
    assert [p.name for p in folder.iterdir()] == ["plain"]


def test_a_checkpoint_goes_alone(folder):
    delete_adapter(folder, "poems/checkpoint-5", confirmed=True)
    assert names(folder) == ["plain", "poems", "poems/checkpoint-10"]
    assert (folder / "poems" / "run.json").exists()


@pytest.mark.parametrize("state", ["queued", "starting", "running", "saving"])
def test_an_open_run_keeps_its_folder_and_its_checkpoints(folder, state):
    RunFolder(folder / "poems").write_status(RunStatus(state, owner=my_owner()))
    for name in ("poems", "poems/checkpoint-5"):
        with pytest.raises(QeuError, match=f"is {state}. Stop it first"):
            delete_adapter(folder, name, confirmed=True)
    assert len(names(folder)) == 4


def test_a_run_whose_process_is_gone_can_go(folder):
    RunFolder(folder / "poems").write_status(RunStatus("running", owner="999999999:x"))
    delete_adapter(folder, "poems", confirmed=True)
    assert names(folder) == ["plain"]


def test_a_run_that_was_never_started_can_go_and_one_that_cannot_be_read(folder):
    RunFolder(folder / "poems").write_status(RunStatus("queued"))
    delete_adapter(folder, "poems", confirmed=True)
    (folder / "plain" / "status.json").write_text("{")
    delete_adapter(folder, "plain", confirmed=True)
    assert list(folder.iterdir()) == []


def test_a_worker_that_has_just_begun_holds_the_folder(folder):
    held, done = threading.Event(), threading.Event()

    def work() -> None:
        with FileLock(folder / "poems" / ".lock"):
            held.set()
            done.wait(10)

    worker = threading.Thread(target=work)
    worker.start()
    assert held.wait(10)
    try:
        with pytest.raises(QeuError, match="A training works in the folder"):
            delete_adapter(folder, "poems", confirmed=True)
    finally:
        done.set()
        worker.join()
    assert "poems" in names(folder)
    delete_adapter(folder, "poems", confirmed=True)


def test_a_model_that_computes_with_it_keeps_it_and_an_idle_one_does_not(folder):
    with pytest.raises(QeuError, match="'plain' is in use: phi-2 is computing with it"):
        delete_adapter(folder, "plain", confirmed=True, loaded=loaded(True, "plain"))
    delete_adapter(folder, "plain", confirmed=True, loaded=loaded(True, "poems"))
    delete_adapter(folder, "poems", confirmed=True, loaded=loaded(False, "poems"))
    assert names(folder) == []


@pytest.mark.parametrize("name", ["verse", "", "..", "poems/..", "poems/run.json", "/etc", ".lock"])
def test_only_adapters_of_the_folder_are_deleted(folder, name):
    (folder / ".lock").mkdir()
    with pytest.raises(QeuError, match=r"There is no adapter .* to delete"):
        delete_adapter(folder, name, confirmed=True)
    assert len(names(folder)) == 4


def test_a_folder_that_is_no_adapter_is_left_alone_and_a_broken_one_goes(folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "letter.txt").write_text("dear")
    with pytest.raises(QeuError, match="no adapter 'notes'"):
        delete_adapter(folder, "notes", confirmed=True)
    make(folder, "cut", weights=tensors(a=(2, 3))[:-1])
    delete_adapter(folder, "cut", confirmed=True)
    assert sorted(p.name for p in folder.iterdir()) == ["notes", "plain", "poems"]


def test_of_a_link_only_the_link_goes(folder, tmp_path):
    elsewhere = make(tmp_path, "elsewhere")
    (folder / "linked").symlink_to(elsewhere)
    delete_adapter(folder, "linked", confirmed=True)
    assert not (folder / "linked").is_symlink()
    assert (elsewhere / "adapter_config.json").exists()


def test_what_a_killed_deletion_left_goes_with_the_next(folder):
    (folder / ".removed-old-999999999").mkdir()
    (folder / f".removed-now-{os.getpid()}").mkdir()
    delete_adapter(folder, "plain", confirmed=True)
    assert not (folder / ".removed-old-999999999").exists()
    assert (folder / f".removed-now-{os.getpid()}").exists()


def test_the_shipped_one_says_how_it_comes_back(folder, monkeypatch):
    monkeypatch.setattr("qeu.services.adapter_delete._SHIPPED_FOLDER", folder)
    make(folder, "thinks-first")
    with pytest.raises(QeuError, match=r"git checkout adapters.*--yes"):
        delete_adapter(folder, "thinks-first", confirmed=False)
    assert delete_adapter(folder, "thinks-first", confirmed=True).shipped
    assert "thinks-first" not in names(folder)
