"""`adapters`: the list, one adapter, and the folders that cannot be loaded."""

import json
import os
from pathlib import Path

import pytest

from qeu.cli.main import main
from tests.backends.test_adapter_files import make, tensors


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("QEU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "adapters"))
    monkeypatch.setenv("QEU_CACHE", str(tmp_path / "cache"))
    path = make(tmp_path / "adapters", "poems", base="microsoft/phi-2")
    (path / "run.json").write_text(json.dumps({"layout": "bonsai-v1", "target": "answer"}))
    make(tmp_path / "adapters", "poems/checkpoint-5", base="microsoft/phi-2")
    make(tmp_path / "adapters", "cut", weights=tensors(a=(2, 2))[:-1])
    return tmp_path / "adapters"


def test_the_list_shows_runs_checkpoints_and_problems(capsys):
    assert main(["adapters"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["adapter", "base", "size", "rank", "layout", "target", "trained"]
    assert lines[1].split()[:2] == ["poems", "phi-2"]
    assert "bonsai-v1" in lines[1]
    assert lines[2].startswith("  checkpoint-5")
    assert lines[3].startswith("! ")
    assert "cut" in lines[3]


def test_json_is_one_object_on_one_line(capsys):
    assert main(["adapters", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    data = json.loads(out)
    first = data["adapters"][0]
    assert (first["ref"], first["checkpoints"]) == ("phi-2@poems", ["poems/checkpoint-5"])
    assert [one["name"] for one in data["problems"]] == ["cut"]


def test_show_tells_all_about_one(capsys):
    assert main(["adapters", "show", "poems"]) == 0
    out = capsys.readouterr().out
    for part in ("phi-2@poems", "bonsai-v1", "poems/checkpoint-5", "answer"):
        assert part in out
    assert main(["adapters", "show", "poems", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hash"]) == 64


def test_what_is_not_there_fails_with_what_is(capsys):
    assert main(["adapters", "show", "verse"]) == 1
    assert "there are: poems, poems/checkpoint-5." in capsys.readouterr().err
    assert main(["adapters", "show", "cut"]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["adapters", "delete", "poems"]) == 2
    assert main(["adapters", "show"]) == 2


def test_an_empty_folder_is_no_failure(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "none"))
    assert main(["adapters"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "There are no adapters" in said.err
    assert main(["adapters", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"adapters": [], "problems": []}
