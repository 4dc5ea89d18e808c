"""`python -m qeu usefulness`: rows as they come, a line a source, JSON for programs."""

import json

import pytest

from qeu.cli.main import main
from tests.services.test_usefulness import STUDENT, Engines, LossModel, sums


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rows = sums()
    rows[0]["reasoning"] += f" The answer is {rows[0]['output']}."
    rows[1]["reasoning"] = ""
    labels = {"category": "math", "language": "en"}
    (tmp_path / "rows.json").write_text(json.dumps([row | labels for row in rows]), "utf-8")
    model = LossModel(lambda prompt, completion: 1.5 if "Plan" in prompt else 2.0)

    def run(*arguments, status=0):
        assert main(arguments, lambda settings: Engines(model)) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    run.model = model
    run("data", "import", "rows.json", "--dataset", "d")
    return run


def test_rows_and_means_are_shown(call):
    told = call("usefulness", "d", "--student", STUDENT)
    lines = told.splitlines()
    assert "1EN  +0.000  +0.500  leak 1.00, 1 cut  d" in lines[0]
    assert lines[1].endswith("d  There is no reasoning.")
    assert "usefulness" in told
    assert "+0.500 ± 0.000" in told
    assert "1 of 5" in told
    assert lines[-1] == "1 not measured: There is no reasoning."


def test_json_is_one_line_a_text_and_one_for_all(call):
    told = call("usefulness", "d", "--student", STUDENT, "--limit", "3", "--json")
    assert told.isascii()
    *rows, last = map(json.loads, told.splitlines())
    assert [row["seq"] for row in rows] == ["1EN", "2EN", "3EN"]
    assert rows[0]["gain_without"] == 0.5
    assert rows[1]["useful"] is None
    assert last["sources"][0]["gain_without"]["value"] == 0.5
    count = len(call.model.measured)
    assert call("usefulness", "d", "--student", STUDENT, "--limit", "3", "--json") == told
    assert len(call.model.measured) == count


def test_wrong_uses_are_told(call):
    assert "not both" in call("usefulness", "--student", STUDENT, status=2)
    assert "not both" in call("usefulness", "d", "--job", "1", "--student", STUDENT, status=2)
    assert "no job 9" in call("usefulness", "--job", "9", "--student", STUDENT, status=1)
    assert "--limit" in call("usefulness", "d", "--student", STUDENT, "--limit", "-1", status=2)
    empty = call("usefulness", "d", "--student", STUDENT, "--language", "ja", status=1)
    assert "no text to measure" in empty
    assert "does not tell the loss" in call("usefulness", "d", "--student", "groq/x", status=1)
