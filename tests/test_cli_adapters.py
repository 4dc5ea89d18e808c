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
    assert main(["adapters", "--json", "show", "poems"]) == 0
    assert len(json.loads(capsys.readouterr().out)["hash"]) == 64


def test_what_is_not_there_fails_with_what_is(capsys):
    assert main(["adapters", "show", "verse"]) == 1
    assert "there are: poems, poems/checkpoint-5." in capsys.readouterr().err
    assert main(["adapters", "show", "cut"]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["adapters", "rename", "poems"]) == 2
    assert main(["adapters", "show"]) == 2


def test_an_empty_folder_is_no_failure(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("QEU_ADAPTERS", str(tmp_path / "none"))
    assert main(["adapters"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "There are no adapters" in said.err
    assert main(["adapters", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"adapters": [], "problems": []}


def test_export_writes_the_zip_and_tells_it(capsys, tmp_path):
    file = tmp_path / "out" / "poems.zip"
    assert main(["adapters", "export", "poems", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"{file}: 0.00 MB, poems/adapter_config.json")
    assert main(["adapters", "export", "poems/checkpoint-5", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["adapter"] == "poems/checkpoint-5"
    assert "poems-checkpoint-5/run.json" in told["files"]
    assert main(["adapters", "export", "poems", str(tmp_path / "poems.tar")]) == 1
    assert "Let it end with .zip" in capsys.readouterr().err


def test_delete_needs_a_yes(capsys, folder):
    assert main(["adapters", "delete", "poems"]) == 1
    assert "Nothing was deleted. Repeat it with --yes" in capsys.readouterr().err
    assert (folder / "poems").is_dir()
    assert main(["adapters", "delete", "poems/checkpoint-5", "--yes"]) == 0
    assert main(["adapters", "delete", "poems", "--yes", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("poems/checkpoint-5 is deleted")
    assert json.loads(lines[1])["deleted"] is True
    assert not (folder / "poems").exists()
    assert main(["adapters", "delete", "poems", "--yes"]) == 1
    assert "There is no adapter 'poems' to delete" in capsys.readouterr().err


def test_push_tells_what_would_go_out_before_it_asks_for_a_yes(capsys):
    assert main(["adapters", "push", "poems", "somebody/poems"]) == 1
    said = capsys.readouterr()
    assert "poems to somebody/poems (private)" in said.out
    assert "adapter_model.safetensors: " in said.out
    assert "licence of the base: mit" in said.out
    assert "licence of the texts: not known" in said.out
    assert "A teacher's licence may forbid" in said.out
    assert "Nothing was sent to somebody/poems" in said.err
    assert main(["adapters", "push", "poems", "somebody/poems", "--public", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["pushed"], told["private"]) == (False, False)
    # the tests' environment forbids the network
    assert main(["adapters", "push", "poems", "somebody/poems", "--yes"]) == 1
    assert "HF_HUB_OFFLINE=1 forbids to reach the Hub" in capsys.readouterr().err


def test_merge_refuses_before_anything_is_written(capsys, tmp_path):
    assert main(["adapters", "merge", "poems", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    target = tmp_path / "merged"
    assert main(["adapters", "merge", "poems", str(target), "--base", "groq/llama"]) == 1
    assert "runs on a server" in capsys.readouterr().err
    assert not target.exists()
