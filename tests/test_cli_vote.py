"""`python -m qeu vote`: add, undo, standings, export, as text and as JSON."""

import json

import pytest

from qeu.cli.main import main
from qeu.store.workspace import Workspace
from tests.services.voted_runs import LEFT, RIGHT, comparison, store_run


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "home" / "qeu.db")
    for category in ("open_qa", "math"):
        store_run(workspace, comparison(category=category))
    workspace.close()

    def run(*arguments, status=0):
        assert main(("vote", *arguments), None) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    return run


def test_a_vote_is_added_once_and_taken_back(call):
    assert call("add", "1", "--better", "right") == f"Run 1: {RIGHT} is better.\n"
    assert "has your vote already" in call("add", "1", "--better", "left")
    assert f"{RIGHT} is better" in call("undo")
    assert call("undo", status=1) == "There is no vote of yours to take back.\n"
    assert "both are equal" in call("add", "1", "--better", "equal")


def test_a_vote_as_json(call):
    told = call("add", "1", "--better", "left", "--right-ok", "no", "--note", "短い", "--json")
    assert told.isascii()
    vote = json.loads(told)
    assert (vote["run"], vote["better"], vote["new"], vote["blind"]) == (1, "left", True, False)
    assert vote["acceptable"] == {"left": None, "right": False}
    assert json.loads(call("undo", "--json"))["note"] == "短い"


def test_standings_say_that_they_are_too_few(call):
    assert "no votes yet" in call("standings")
    call("add", "1", "--better", "right", "--right-ok", "yes")
    call("add", "2", "--better", "right", "--voter", "ann")
    told = call("standings")
    assert f"{RIGHT} against {LEFT}" in told
    assert "2  " in told
    assert "too few to tell" in told
    assert "  math " in told
    assert "1 of 1" in told
    assert "left position" not in told
    found = json.loads(call("standings", "--json"))
    assert found["pairs"][0]["wins"] == 2
    assert set(found["pairs"][0]["by_category"]) == {"math", "open_qa"}
    assert found["left_position"]["votes"] == 0


def test_export_says_what_it_left_out_and_under_which_licences(call, tmp_path):
    call("add", "1", "--better", "right")
    call("add", "2", "--better", "equal")
    told = call("export", "pairs.jsonl", "--format", "dpo")
    assert "1 lines written to pairs.jsonl" in told
    assert "left out, called equal: 1" in told
    assert "licence mit: 1 texts" in told
    row = json.loads((tmp_path / "pairs.jsonl").read_text("utf-8"))
    assert row["chosen"][0]["content"] == "Thyme grows."
    report = json.loads(call("export", "good.csv", "--format", "records", "--json"))
    assert (report["rows"], report["left_out"]) == (1, {"equal": 1})
    assert (tmp_path / "good.csv").exists()


def test_wrong_uses_are_told(call):
    assert "no run number 9" in call("add", "9", "--better", "left", status=1)
    assert "--better" in call("add", "1", status=2)
    assert "JSONL" in call("export", "pairs.csv", status=2)
    assert "which format" in call("export", "pairs", status=1)
    assert "voter's name" in call("add", "1", "--better", "left", "--voter", "a b", status=2)
