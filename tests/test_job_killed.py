"""A bulk job on the embedded model, killed with SIGKILL at three moments and gone on with."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.services.data_import import import_file
from qeu.store.job_items import iterate_results
from qeu.store.jobs import count_items, get_job
from qeu.store.workspace import Workspace

MODEL = "smollm2-135m"
ROOT = Path(__file__).parents[1]
RECORDS = 10
PATIENCE_S = 240

pytestmark = pytest.mark.slow


def start(home: Path, *words: str) -> "subprocess.Popen[bytes]":
    """A command of the program in a process of its own."""
    environ = {**os.environ, "QEU_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "qeu", *words]
    return subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE)


def order(home: Path) -> "subprocess.Popen[bytes]":
    """The job: ten English records, the exact setting, two attempts each."""
    return start(
        home, "generate", "val", "--model", MODEL, "--language", "en", "--limit", str(RECORDS),
        "--max-new-tokens", "20", "--exact", "--json", "--seed", "3",
    )  # fmt: skip


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.01)


def done(workspace: Workspace) -> int:
    """How many texts are there; -1 before the job was ordered."""
    jobs = workspace.read("SELECT max(id) FROM jobs")[0][0]
    return -1 if jobs is None else count_items(workspace, get_job(workspace, jobs)).done


def new_home(folder: Path) -> Workspace:
    workspace = Workspace(folder / "qeu.db")
    import_file(workspace, ROOT / "data" / "validation.jsonl", "val")
    return workspace


def texts(workspace: Workspace) -> dict[int, str]:
    """The job's texts by record; each record has one."""
    results = list(iterate_results(workspace, get_job(workspace, 1)))
    found = {result.item.record: result.generation.text for result in results}
    assert len(found) == len(results) == RECORDS
    return found


def test_three_kills_lose_nothing_and_make_nothing_twice(tmp_path: Path) -> None:
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    workspace = new_home(disturbed)
    process = order(disturbed)
    for moment in (0, 2, 6):
        until(lambda moment=moment: done(workspace) >= moment, process)
        process.kill()
        process.wait()
        process = start(disturbed, "jobs", "resume", "1", "--json", "--quiet")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert len([json.loads(line) for line in output.splitlines()]) == RECORDS
    made = workspace.read(
        "SELECT count(*) AS n FROM events WHERE kind = 'generate' "
        "GROUP BY json_extract(data, '$.key')"
    )
    assert {row["n"] for row in made} == {1}
    # with the exact setting the texts are those of a run that nobody disturbed
    undisturbed = new_home(calm)
    assert order(calm).wait(PATIENCE_S) == 0
    assert texts(workspace) == texts(undisturbed)
