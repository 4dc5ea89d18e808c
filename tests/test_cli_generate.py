"""`generate` and `jobs` as a person types them; the models are scripted."""

import json
from pathlib import Path

import pytest

from qeu.cli.main import main
from qeu.services.job_output import FULL_COLUMNS
from qeu.store.jobs import get_job
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel, failed
from tests.store.dataset_rows import fill

A = "smollm2-135m"
GOOD = "List what is known. Then choose a rule."


class JobShelf(FakeShelf):
    """A shelf that can say what its models are without loading them."""

    def identify(self, model_id: str, adapter: str | None, *, exact: bool = False):
        """As the model says; None where it is not known."""
        model = self.models.get(model_id)
        return model.identify(adapter) if isinstance(model, JobModel) else None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with six rows."""
    monkeypatch.setenv("QEU_HOME", str(tmp_path))
    workspace = Workspace(tmp_path / "qeu.db")
    fill(workspace, 6, category="open_qa")
    workspace.close()
    return tmp_path


def run(*words: str, write=lambda prompt: GOOD) -> int:
    return main(words, lambda settings: JobShelf(JobModel(A, write)))  # type: ignore[arg-type,return-value]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_of_json_a_result(home: Path, capsys: pytest.CaptureFixture[str]):
    assert run("generate", "demo", "--model", A, "--limit", "2", "--json") == 0
    out = capsys.readouterr().out
    assert out.isascii()
    found = [json.loads(line) for line in out.splitlines()]
    assert [(row["job"], row["seq"], row["response"]) for row in found] == [
        (1, "1EN", GOOD),
        (1, "2JA", GOOD),
    ]
    assert found[0]["hinted"] == "no"


def test_the_plan_tells_what_is_there_and_what_is_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    ask = ("generate", "demo", "--model", A, "--hinted", "--dry-run", "--json")
    assert run(*ask) == 0
    first = lines(capsys)[0]
    assert (first["cached"], first["todo"], first["skipped"], first["seconds"]) == (0, 6, 0, None)
    assert first["tokens"] == 6 * 128
    assert run("generate", "demo", "--model", A, "--hinted", "--limit", "4") == 0
    capsys.readouterr()
    assert run(*ask) == 0
    second = lines(capsys)[0]
    assert (second["cached"], second["todo"]) == (4, 2)
    assert second["tokens"] == 2 * 8
    assert second["seconds"] is not None


def test_jobs_are_listed_shown_and_written(home: Path, capsys: pytest.CaptureFixture[str]):
    assert run("jobs") == 0
    assert "no jobs yet" in capsys.readouterr().err
    assert run("generate", "demo", "--model", A) == 0
    capsys.readouterr()
    assert run("jobs", "--json") == 0
    (job,) = lines(capsys)[0]["jobs"]
    assert (job["id"], job["state"], job["done"], job["todo"]) == (1, "done", 6, 0)
    for name, columns in (("plain.jsonl", 3), ("full.jsonl", len(FULL_COLUMNS))):
        full = ["--full"] if columns > 3 else []
        assert run("jobs", "write", "1", str(home / name), *full) == 0
        rows = [json.loads(line) for line in (home / name).read_text("utf-8").splitlines()]
        assert len(rows) == 6
        assert len(rows[0]) == columns, sorted(rows[0])
    assert rows[0]["question"].startswith("Where does coffee grow?")


def test_failures_are_told_and_tried_again(home: Path, capsys: pytest.CaptureFixture[str]):
    def write(prompt: str):
        return failed("It is too long.") if "(3)" in prompt else GOOD

    assert run("generate", "demo", "--model", A, write=write) == 0
    capsys.readouterr()
    assert run("jobs", "show", "1", "--json") == 0
    shown = lines(capsys)[0]
    assert shown["failed"] == 1
    assert shown["reasons"] == [{"state": "failed", "reason": "It is too long.", "count": 1}]
    assert run("jobs", "retry", "1", "--json") == 0
    assert len(lines(capsys)) == 6


def test_where_all_fails_the_command_fails(home: Path, capsys: pytest.CaptureFixture[str]):
    ask = ("generate", "demo", "--model", A)
    assert run(*ask, write=lambda prompt: failed("It is too long.")) == 1
    assert "All 6 texts failed; `jobs show 1` says why." in capsys.readouterr().err


def test_an_engine_in_trouble_pauses_the_job_and_resume_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    ask = ("generate", "demo", "--model", A)
    assert run(*ask, write=lambda prompt: failed("The key is refused.", "key")) == 1
    assert "The key is refused." in capsys.readouterr().err
    workspace = Workspace(home / "qeu.db")
    assert get_job(workspace, 1).state == "paused"
    assert run("jobs", "resume", "1") == 0
    assert get_job(workspace, 1).state == "done"


def test_pause_and_stop_of_what_is_over_are_refused(home: Path, capsys: pytest.CaptureFixture[str]):
    assert run("generate", "demo", "--model", A) == 0
    for action in ("pause", "stop", "resume"):
        assert run("jobs", action, "1") == 1
    assert "is done" in capsys.readouterr().err
    assert run("jobs", "show", "9") == 1
    assert "There is no job 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--samples", "99"), 2, "samples is 99"),
        (("--target", "template"), 2, "template is empty"),
        (("--category", "code"), 1, "nothing to generate"),
        (("--temperature", "9"), 2, "temperature is 9"),
    ],
)
def test_what_cannot_be_is_refused(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    status: int,
    sentence: str,
):
    assert run("generate", "demo", "--model", A, *words) == status
    assert sentence in capsys.readouterr().err


def test_an_unknown_data_set_is_told(home: Path, capsys: pytest.CaptureFixture[str]):
    assert run("generate", "other", "--model", A) == 1
    assert "no data set 'other'" in capsys.readouterr().err


def test_texts_come_from_files(home: Path, capsys: pytest.CaptureFixture[str]):
    view = home / "view.txt"
    view.write_text("Always ask what would be enough.", "utf-8")
    seen: list[str] = []

    def write(prompt: str) -> str:
        seen.append(prompt)
        return GOOD

    words = ("--view", f"@{view}", "--view-name", "enough", "--limit", "1", "--json")
    assert run("generate", "demo", "--model", A, *words, write=write) == 0
    assert "Always ask what would be enough." in seen[0]
    assert lines(capsys)[0]["view"] == "enough"
