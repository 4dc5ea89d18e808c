"""`train` as a person types it, over a tiny base of our own; real processes that learn nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.run_passport import RunPassport
from qeu.services import train_spawn
from qeu.services.train_stop import stop_run
from qeu.store.imports import add_records, rows_of
from qeu.store.run_folders import RunFolder, list_runs
from qeu.store.workspace import Workspace
from tests.services.train_home import wait_for, wait_for_state
from tests.store.dataset_rows import make_row, tell
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_checkpoint(tmp_path_factory.mktemp("base") / "tiny"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with nine rows, one of which has no answer."""
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    workspace = Workspace(tmp_path / "qeu.db")
    rows = (make_row(n, reasoning=f"Think of {n}.") for n in range(8))
    add_records(workspace, "demo", rows_of([*rows, make_row(9, output="", reasoning="x")]), tell)
    workspace.close()
    return tmp_path


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is a stand-in, which keeps to the protocol and learns nothing."""
    monkeypatch.setattr(train_spawn, "WORKER", "tests.services.stub_worker")


def run(base: str, *words: str) -> int:
    return main(("train", "--dataset", "demo", "--base", base, "--name", "poems", *words))


def test_the_plan_is_a_table_that_can_be_read(home, base, capsys):
    assert run(base, "--dry-run", "--epochs", "2") == 0
    out = capsys.readouterr().out
    assert "8 examples of 9 records" in out
    assert "left out: 1 (no output, where it is to be learned)" in out
    for word in ("reasoning", "cut at", "keeps 99 % whole", "shortest", "memory", "disk", "steps"):
        assert word in out


def test_one_object_for_programs(home, base, capsys):
    words = ("--dry-run", "--json", "--length", "300", "--no-packing", "--epochs", "2")
    assert run(base, *words, "--batch", "2", "--loss", "output", "--rank", "4") == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert out.isascii()
    assert out.count("\n") == 1
    assert (found["examples"], found["matched"], found["steps"]) == (8, 9, 8)
    assert found["left_out"] == {"no_output": 1}
    assert sum(found["tokens_by_field"].values()) == found["tokens"] > found["learned_tokens"] > 0
    assert set(found["cut_at"]) == {"300", "512", "1024", "2048"}
    assert [one["which"] for one in found["shown"]] == ["shortest", "median", "longest", "random"]
    passport = RunPassport.from_json(found["settings"])
    assert passport.problems() == []
    assert (passport.lora.rank, passport.lora.alpha, passport.loss_on) == (4, 8, ("output",))
    assert "q_proj" in passport.lora.target_modules
    assert "lm_head" not in passport.lora.target_modules


def test_a_filter_narrows_it(home, base, capsys):
    assert run(base, "--dry-run", "--json", "--language", "ja") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["matched"], found["filter"]) == (3, {"language": ["ja"]})


def test_problems_are_told_at_once_and_end_with_1(home, base, capsys):
    (home / "adapters" / "poems").mkdir(parents=True)
    assert run(base, "--dry-run", "--lr", "3", "--rank", "0", "--target", "answer") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["rank", "alpha", "learning_rate", "The"]
    assert run(base, "--dry-run", "--json", "--lr", "3") == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2


def test_what_is_missing_is_said(home, base, capsys):
    assert main(("train", "--base", base)) == 2
    assert "Missing: --dataset, --name" in capsys.readouterr().err


def test_a_data_set_that_is_not_there_is_told(home, base, capsys):
    words = ("train", "--dataset", "other", "--base", base, "--name", "x", "--dry-run")
    assert main(words) == 1
    assert "There are: demo." in capsys.readouterr().err


def test_a_run_is_waited_for(home, base, stub, capsys):
    assert run(base, "--steps", "3") == 0
    out, err = capsys.readouterr()
    assert "poems: finished at step 3 of 3" in out
    assert f"ask it as {base}@poems" in out
    assert "poems: " in err


def test_metrics_stream_as_lines_and_the_status_ends_them(home, base, stub, capsys):
    assert run(base, "--steps", "4", "--save-every", "2", "--json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["train", "train", "validation", "train", "train", "validation", "status"]
    assert [line["run"] for line in lines] == ["poems"] * 7
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4]
    assert (lines[-1]["state"], lines[-1]["step"], err) == ("finished", 4, "")


def test_a_run_that_cannot_be_says_all_that_is_wrong(home, base, stub, capsys):
    assert run(base, "--lr", "3", "--rank", "0") == 1
    err = capsys.readouterr().err
    assert "learning_rate is 3.0" in err
    assert "rank is 0" in err
    assert list_runs(home / "adapters") == []


def test_a_run_that_dies_is_a_failure_with_a_way_on(home, base, stub, capsys):
    words = ("train", "--dataset", "demo", "--base", base, "--name", "dumb")
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "dumb: Its process ended without a word" in err
    assert "Resume begins again at the first step." in err


def test_detached_it_is_not_waited_for(home, base, stub, capsys):
    assert run(base, "--steps", "5", "--detach", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == "poems"
    wait_for_state(RunFolder(Path(found["folder"])), "finished")


def test_prepared_it_is_told_how_to_start_it_on_several_gpus(home, base, capsys):
    assert run(base, "--prepare") == 0
    out = capsys.readouterr().out
    assert "accelerate launch --multi_gpu --num_processes 2" in out
    assert str(home / "adapters" / "poems") in out


def test_twins_are_one_run_each(home, base, stub, capsys):
    words = ("--steps", "2", "--twins", "own,none", "--seeds", "0,1")
    assert run(base, *words, "--dry-run", "--json") == 0
    plans = json.loads(capsys.readouterr().out)["twins"]
    names = ["poems-own-s0", "poems-none-s0", "poems-own-s1", "poems-none-s1"]
    assert [plan["settings"]["name"] for plan in plans] == names
    assert len({plan["examples"] for plan in plans}) == 1
    assert run(base, *words, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ends = [line for line in lines if line["kind"] == "status"]
    assert [(line["run"], line["state"]) for line in ends] == [(n, "finished") for n in names]
    assert run(base, "--twins", "some") == 2
    assert "no twin 'some'" in capsys.readouterr().err


def test_settings_are_kept_and_begun_with(home, base, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    words = ("--dry-run", "--json", "--rank", "4", "--language", "ja", "--watch-rows", "5")
    assert run(base, *words, "--role", "by_category", "--save-settings", str(file)) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(("train", "--settings", str(file), "--dry-run", "--json")) == 0
    again = json.loads(capsys.readouterr().out)
    # others write on the same disk
    assert again | {"free_bytes": 0} == first | {"free_bytes": 0}
    assert (first["settings"]["role"], first["filter"]) == ("by_category", {"language": ["ja"]})
    more = ("train", "--settings", str(file), "--dry-run", "--json", "--rank", "2", "--lr", "0.01")
    assert main(more) == 0
    changed = json.loads(capsys.readouterr().out)["settings"]
    assert (changed["lora"]["rank"], changed["lora"]["alpha"]) == (2, 4)
    assert (changed["watch"]["rows"], changed["training"]["learning_rate"]) == (5, 0.01)


def test_a_settings_file_that_cannot_be_meant_is_told(home, base, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    assert run(base, "--settings", str(file), "--dry-run") == 2
    assert "cannot be read" in capsys.readouterr().err
    file.write_text("lora: {rnak: 3}")
    assert run(base, "--settings", str(file), "--dry-run") == 1
    assert "lora.rnak" in capsys.readouterr().err
    assert run(base, "--dry-run", "--save-settings", str(tmp_path)) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_preset_is_begun_with(home, base, capsys):
    words = ("--preset", "smollm2-135m-demo", "--dry-run", "--json", "--rank", "4")
    assert run(base, *words) == 0
    found = json.loads(capsys.readouterr().out)["settings"]
    assert (found["training"]["learning_rate"], found["watch"]["samples"]) == (5e-4, 4)
    assert (found["lora"]["rank"], found["lora"]["alpha"], found["base"]) == (4, 8, base)


def start_apart(base: str, *words: str) -> subprocess.Popen[str]:
    """The command in a process of its own, with the stand-in for a worker."""
    code = (
        "import sys; from qeu.services import train_spawn; "
        "train_spawn.WORKER = 'tests.services.stub_worker'; "
        "from qeu.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ("train", "--dataset", "demo", "--base", base, *words)
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1], env=os.environ | {"QEU_HOME": os.environ["QEU_HOME"]},
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_stops_and_keeps(home, base):
    process = start_apart(base, "--name", "poems", "--steps", "100000", "--save-every", "100000")
    folder = RunFolder(home / "adapters" / "poems")
    wait_for(lambda: (folder.path / "metrics.jsonl").exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Stopping and keeping what was learned: poems" in err
    assert folder.status().state == "stopped"
    assert (folder.path / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_it_to_its_process(home, base):
    process = start_apart(base, "--name", "deaf", "--steps", "100000", "--save-every", "100000")
    folder = RunFolder(home / "adapters" / "deaf")
    wait_for(lambda: (folder.path / "metrics.jsonl").exists())
    process.send_signal(signal.SIGINT)
    wait_for(lambda: folder.wanted_stop() == "keep")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "Left to its own process: deaf" in err
    assert folder.status().state == "running"
    stop_run(folder, "discard", wait_s=0.0)
