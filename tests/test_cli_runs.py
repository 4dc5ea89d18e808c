"""`runs` as a person types it, over folders that runs have left and one that runs."""

import json
import shlex
from pathlib import Path

import pytest

from qeu.cli.main import build_parser, main
from qeu.cli.train_options import read_order
from qeu.core.run_status import RunStatus
from qeu.services import train_spawn
from qeu.services.train_runs import order_of_run
from qeu.store.run_folders import find_run
from tests.services.stub_worker import save_adapter
from tests.services.test_train_runs import GONE, make
from tests.services.train_home import Home, wait_for, wait_for_state
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs."""
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    folder = tmp_path / "adapters"
    first = make(folder, "first", RunStatus("finished", order="2026-01-01", step=60, steps=60))
    first.add_metric("train", 60, {"loss": 1.5})
    first.add_metric("validation", 60, {"loss": 1.75})
    save_adapter(first.path)
    status = RunStatus("failed", GONE, "2026-01-02", step=3, trouble="nan", message="No number.")
    make(folder, "second", status, seed=9)
    return folder


def run(*words: str) -> int:
    return main(("runs", *words))


def test_all_runs_are_listed(adapters, capsys):
    assert run() == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "second", "first"]
    assert "1.500" in lines[2]
    assert "No number." in lines[1]
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [(one["name"], one["state"]) for one in found] == [
        ("second", "failed"), ("first", "finished"),
    ]  # fmt: skip


def test_no_runs_are_said_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "none"))
    assert run() == 0
    assert "no runs yet" in capsys.readouterr().err


def test_one_run_is_shown_with_the_command_that_orders_it_again(adapters, capsys):
    assert run("show", "first", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["has_adapter"], found["validation_loss"]) == (
        "finished", True, 1.75,
    )  # fmt: skip
    words = shlex.split(found["command"])[3:]
    assert read_order(build_parser().parse_args(words)) == order_of_run(adapters, "first")
    assert run("show", "first") == 0
    assert found["command"] in capsys.readouterr().out
    assert run("show", "third") == 1
    assert "There are: first, second." in capsys.readouterr().err


def test_a_damaged_run_is_shown_as_what_it_is(adapters, capsys):
    (adapters / "second" / "run.json").write_text("{")
    assert run("show", "second") == 0
    assert "unreadable" in capsys.readouterr().out


def test_the_log_is_shown(adapters, capsys):
    (adapters / "second" / "train.log").write_text("one\ntwo\n", "utf-8")
    assert run("log", "second") == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert run("log", "second", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"run": "second", "log": "one\ntwo\n"}


def test_deleting_is_meant(adapters, capsys):
    assert run("delete", "second") == 2
    assert "Add --yes" in capsys.readouterr().err
    assert (adapters / "second").exists()
    assert run("delete", "second", "--yes") == 0
    assert not (adapters / "second").exists()
    assert run("delete", "second", "--yes") == 1


def test_runs_are_compared(adapters, capsys):
    assert run("compare", "first", "second") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["first", "second"]
    assert ["seed", "7", "9"] in lines
    assert run("compare", "first", "second", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differing"] == [{"setting": "seed", "values": [7, 9]}]
    assert run("compare", "first") == 1


def test_what_has_ended_is_not_stopped(adapters, capsys):
    assert run("stop", "first") == 1
    assert "is finished already" in capsys.readouterr().err
    assert run("stop", "second", "--discard") == 0
    assert not (adapters / "second").exists()


def test_a_run_is_stopped_and_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setattr(train_spawn, "WORKER", "tests.services.stub_worker")
    home = Home(tmp_path, build_checkpoint(tmp_path / "base"))
    folder = home.start(steps=60)
    wait_for(lambda: bool(folder.checkpoints()))
    assert run("stop", "poems", "--json") == 0
    stopped = json.loads(capsys.readouterr().out)
    assert (stopped["state"], stopped["discarded"]) == ("stopped", False)
    assert run("resume", "poems", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "resumed" in [line["kind"] for line in lines]
    assert (lines[-1]["kind"], lines[-1]["state"]) == ("status", "finished")
    assert run("resume", "poems") == 1
    assert "is finished" in capsys.readouterr().err
    assert find_run(home.adapters, "poems").status().state == "finished"


def test_a_resume_need_not_be_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setattr(train_spawn, "WORKER", "tests.services.stub_worker")
    home = Home(tmp_path, build_checkpoint(tmp_path / "base"))
    folder = home.start("dumb")
    wait_for_state(folder, "interrupted")
    assert run("resume", "dumb", "--detach") == 0
    assert "started again" in capsys.readouterr().out
