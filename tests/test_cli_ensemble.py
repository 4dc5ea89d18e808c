"""`ensemble` and `jobs summary` on the command line: what they print, and what they change."""

import json
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.core.settings import Settings
from qeu.store.datasets import find_dataset
from qeu.store.queries import read_page
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel
from tests.services.job_group import A, finished
from tests.store.dataset_rows import fill

FUSED = "List what is known. Sleep on it."


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Four rows and a finished job of two teachers, where the commands look."""
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    workspace = Workspace(Settings.from_env({"QEU_HOME": str(tmp_path)}).home / "qeu.db")
    fill(workspace, 4, category="open_qa", language="en")
    finished(workspace)
    return workspace


def reasonings(workspace: Workspace) -> list[str]:
    return [s.record.reasoning for s in read_page(workspace, find_dataset(workspace, "demo")).rows]


def test_texts_are_put_together_and_accepted(workspace: Workspace, capsys):
    before = reasonings(workspace)
    assert main(["ensemble", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["method"], told["records"], told["made"]) == ("medoid", 4, 4)
    assert reasonings(workspace) == before
    assert main(["ensemble", "1", "--accept", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kept"], told["accepted"]["accepted"]) == (4, 4)
    assert reasonings(workspace) == ["List what is known. Then choose a rule."] * 4


def test_a_model_fuses_them(workspace: Workspace, capsys):
    model = JobModel(A, lambda prompt: FUSED)
    args = ["ensemble", "1", "--method", A, "--accept"]
    assert main(args, lambda settings: FakeShelf(model)) == 0  # type: ignore[arg-type,return-value]
    assert "4 made" in capsys.readouterr().out
    assert reasonings(workspace) == [FUSED] * 4


def test_nothing_to_accept_is_a_failure_with_a_sentence(workspace: Workspace, capsys):
    assert main(["ensemble", "1", "--accept"]) == 0
    assert main(["ensemble", "1", "--accept"]) == 1
    assert "No text can be accepted" in capsys.readouterr().err
    assert main(["ensemble", "9"]) == 1
    assert "no job 9" in capsys.readouterr().err


def test_a_job_is_summed_up(workspace: Workspace, capsys):
    assert main(["jobs", "summary", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["source"] for one in told["sources"]] == ["smollm2-135m", "phi-2"]
    assert told["sources"][0]["passed"]["of"] == 4
    assert main(["jobs", "summary", "1"]) == 0
    shown = capsys.readouterr().out
    assert "100% (51%-100%)" in shown
    assert "A and B agree" in shown
