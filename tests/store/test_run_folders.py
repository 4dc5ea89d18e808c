"""A run's folder as the truth about it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.store.owner import my_owner
from qeu.store.run_folders import (
    TRAIN,
    VALIDATION,
    FrozenRecord,
    create_run,
    find_run,
    list_runs,
    write_passport,
)

PASSPORT = RunPassport.from_json(
    json.loads((Path(__file__).parents[1] / "contract" / "run.json").read_text("utf-8"))
)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    create_run(tmp_path / "adapters", "a")
    with pytest.raises(QeuError, match="'a' is taken"):
        create_run(tmp_path / "adapters", "a")


def test_passport_and_status_come_back(tmp_path: Path) -> None:
    run = create_run(tmp_path, "poems")
    write_passport(run, PASSPORT)
    run.write_status(RunStatus("running", my_owner(), step=3, steps=9))
    again = find_run(tmp_path, "poems")
    assert again.passport() == PASSPORT
    assert (again.status().state, again.status().step) == ("running", 3)
    assert [one.name for one in list_runs(tmp_path)] == ["poems"]


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    script = "from qeu.store.owner import my_owner; print(my_owner())"
    gone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    run = create_run(tmp_path, "a")
    run.write_status(RunStatus("running", gone.strip(), left_s=5.0))
    assert (run.status().state, run.status().left_s) == ("interrupted", None)
    # the same number, another start: numbers are used again
    run.write_status(RunStatus("running", f"{os.getpid()}:0-1"))
    assert run.status().state == "interrupted"
    run.write_status(RunStatus("finished", gone.strip()))
    assert run.status().state == "finished"


def test_metrics_are_appended_behind_half_a_line(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    run.add_metric("train", 1, {"loss": 2.0})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind":"train","ste')
    run.add_metric("train", 2, {"loss": 1.5})
    assert run.metrics().curve("train", "loss") == [(1, 2.0), (2, 1.5)]


def test_samples_of_a_step_are_those_written_last(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    for text in ("old", "new"):
        run.add_samples(20, [{"text": text}])
    assert [(one["step"], one["samples"]) for one in run.samples()] == [(20, [{"text": "new"}])]


def test_frozen_records_come_back_with_whose_reasoning_they_get(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    one = Record(instruction="問い\ud800", reasoning="R")
    records = [FrozenRecord(one), FrozenRecord(one, replace(one, instruction="other"))]
    run.freeze(TRAIN, records)
    assert list(run.frozen(TRAIN)) == records
    assert list(run.frozen(VALIDATION)) == []


def test_a_stop_is_wished_for_once(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    assert run.wanted_stop() == ""
    run.ask_stop("keep")
    run.ask_stop("discard")
    assert run.wanted_stop() == "discard"
    run.forget_stop()
    assert run.wanted_stop() == ""


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    for name in ("checkpoint-100", "checkpoint-20", "checkpoint-x", ".work"):
        (run.path / name).mkdir()
    assert [step for step, _ in run.checkpoints()] == [20, 100]


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", ".hidden", "no\0"])
def test_a_run_is_looked_for_in_its_folder_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(QeuError, match="There is no run"):
        find_run(tmp_path, name)


def test_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    assert run.log_tail() == ""
    (run.path / "train.log").write_text("x" * 100_000 + "終わり", "utf-8")
    assert run.log_tail(10).endswith("xxx終わり")


def test_a_removed_run_leaves_nothing(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a")
    (run.path / "checkpoint-1").mkdir()
    run.remove()
    assert list(tmp_path.iterdir()) == []
