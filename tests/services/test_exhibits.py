"""Recorded runs: only real ones get in, nothing of this machine goes along, changes are noticed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.errors import QeuError
from qeu.services.compare import Comparison, SideSettings, start_comparison, store_comparison
from qeu.services.exhibits import add_exhibit, make_exhibit, read_exhibits
from qeu.store.history import StoredComparison
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend

MODEL = "smollm2-135m"
ASKED = Comparison(
    SideSettings(MODEL), SideSettings(MODEL, "creator"), "Add 2 and 3. My key is hf_" + "a" * 20
)


@pytest.fixture
def stored(tmp_path: Path) -> StoredComparison:
    workspace = Workspace(tmp_path / "home" / "qeu.db")
    shelf = FakeShelf(ScriptedBackend(MODEL, ["It", " is 5."]))
    with start_comparison(shelf, ASKED) as run:
        assert run.wait(20)
    found = store_comparison(workspace, ASKED, run)
    workspace.close()
    return found


def test_a_run_comes_back_as_it_was_recorded(tmp_path: Path, stored: StoredComparison) -> None:
    file = tmp_path / "new" / "exhibits.jsonl"
    exhibit = make_exhibit(stored, " see the creator ")
    add_exhibit(file, exhibit)
    assert read_exhibits(file) == [exhibit]
    assert exhibit.models == (MODEL,)
    assert exhibit.note == "see the creator"
    back = exhibit.as_stored()
    assert back.results["left"]["text"] == stored.results["left"]["text"]
    assert back.results["left"]["receipt"]
    assert Comparison.from_json(back.settings).right.role == "creator"


def test_no_key_gets_into_the_file(tmp_path: Path, stored: StoredComparison) -> None:
    file = tmp_path / "exhibits.jsonl"
    add_exhibit(file, make_exhibit(stored))
    assert "hf_aaa" not in file.read_text()
    assert "hf_aaa" in json.dumps(stored.to_json())


def test_the_same_run_is_not_recorded_twice(tmp_path: Path, stored: StoredComparison) -> None:
    file = tmp_path / "exhibits.jsonl"
    add_exhibit(file, make_exhibit(stored))
    with pytest.raises(QeuError, match="already"):
        add_exhibit(file, make_exhibit(stored, "another note"))
    assert len(read_exhibits(file)) == 1


@pytest.mark.parametrize(
    "wrong", [{"finish_reason": "error"}, {"finish_reason": "cancelled"}, {"receipt": None}]
)
def test_what_did_not_run_to_its_end_is_refused(stored: StoredComparison, wrong: dict) -> None:
    results = {**stored.results, "right": {**stored.results["right"], **wrong}}
    with pytest.raises(QeuError, match="right side"):
        make_exhibit(replace(stored, results=results))


def test_a_changed_text_and_a_broken_line_are_named(
    tmp_path: Path, stored: StoredComparison
) -> None:
    file = tmp_path / "exhibits.jsonl"
    add_exhibit(file, make_exhibit(stored))
    line = json.loads(file.read_text())
    line["results"]["left"]["text"] += " and it was wonderful"
    file.write_text("\n" + json.dumps(line) + "\n")
    with pytest.raises(QeuError, match=r"Line 2 .* changed after"):
        read_exhibits(file)
    for broken in ("{", "[1]", '{"exhibit": 9}', '{"exhibit": 1}', "[" * 100_000):
        file.write_text(broken)
        with pytest.raises(QeuError, match="Line 1"):
            read_exhibits(file)
    with pytest.raises(QeuError, match="cannot be read"):
        read_exhibits(tmp_path / "none.jsonl")


def test_the_command_records_a_run_of_the_history(
    tmp_path: Path, stored: StoredComparison, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("QEU_HOME", str(tmp_path / "home"))
    file = tmp_path / "exhibits.jsonl"
    words = ["record", str(stored.id), "--to", str(file), "--note", "a sum"]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == read_exhibits(file)[0].to_json()
    assert main(words) == 1
    assert "already" in capsys.readouterr().err
    assert main(["record", "999", "--to", str(file)]) == 1
