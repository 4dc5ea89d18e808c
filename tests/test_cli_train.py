"""`train --dry-run` as a person types it, over a tiny base of our own."""

import json
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.run_passport import RunPassport
from qeu.store.imports import add_records, rows_of
from qeu.store.workspace import Workspace
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


def test_without_dry_run_it_says_what_is_missing(home, base, capsys):
    assert run(base) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_a_data_set_that_is_not_there_is_told(home, base, capsys):
    words = ("train", "--dataset", "other", "--base", base, "--name", "x", "--dry-run")
    assert main(words) == 1
    assert "There are: demo." in capsys.readouterr().err
