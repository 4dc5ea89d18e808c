"""Turns, the kept step, and enough of waiting: decided by what stands in the folders."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.run_metrics import RunMetrics
from qeu.core.run_passport import WatchSettings
from qeu.core.run_status import RunStatus
from qeu.services.train_report import RunReport
from qeu.services.train_turn import TURN_LOCK, earlier_runs, lock_run, wait_for_turn
from qeu.services.train_watch import best_step, waited_enough
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder, create_run, write_passport
from tests.services.test_train_failure import PASSPORT


def make(adapters: Path, name: str, **status: object) -> RunFolder:
    folder = create_run(adapters, name)
    write_passport(folder, replace(PASSPORT, name=name))
    folder.write_status(RunStatus(**status))  # type: ignore[arg-type]
    return folder


def test_those_that_were_ordered_earlier_and_live_go_first(tmp_path):
    mine = make(tmp_path, "mine", order="2026-01-02", owner=my_owner())
    make(tmp_path, "earlier", order="2026-01-01", owner=my_owner())
    make(tmp_path, "later", order="2026-01-03", owner=my_owner())
    make(tmp_path, "also", order="2026-01-02", owner=my_owner())
    make(tmp_path, "dead", order="2026-01-01", owner="1:never")
    make(tmp_path, "nobody's", order="2026-01-01")
    make(tmp_path, "at-work", order="2026-01-01", owner=my_owner(), state="running")
    make(tmp_path, "broken").path.joinpath("status.json").write_text("{")
    assert earlier_runs(mine) == ["also", "earlier"]


def test_the_turn_is_taken_when_nobody_has_it_and_given_back(tmp_path):
    first = make(tmp_path, "first", order="2026-01-01", owner=my_owner())
    second = make(tmp_path, "second", order="2026-01-02", owner=my_owner())
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            first.write_status(replace(first.written_status(), state="running"))
        if len(waits) == 4:
            assert turn is not None
            turn.release()

    turn = wait_for_turn(first, lambda: False)
    assert (tmp_path / TURN_LOCK).exists()
    mine = wait_for_turn(second, lambda: False, pause)
    assert len(waits) == 4
    assert wait_for_turn(first, lambda: True) is None
    assert mine is not None
    mine.release()


def test_a_run_is_one_process_s(tmp_path):
    from qeu.core.errors import QeuError

    folder = make(tmp_path, "poems")
    lock = lock_run(folder)
    with pytest.raises(QeuError, match="Another process is at work on poems"):
        lock_run(folder)
    lock.release()
    lock_run(folder).release()


def losses(*values: float | None) -> RunMetrics:
    lines = [
        {"kind": "validation", "step": 10 * at, "loss": value, "answer_loss": None}
        for at, value in enumerate(values)
    ]
    return RunMetrics({"validation": tuple(lines)})


def test_the_kept_step_is_the_last_or_the_best_of_those_that_are_there():
    known = losses(1.0, 3.0, 2.0, 2.5)
    assert best_step(known, [10, 20, 30], "last") == 30
    assert best_step(known, [10, 20, 30], "loss") == 20
    assert best_step(known, [10, 30], "loss") == 30
    # where a part is never learned it has no best step
    assert best_step(known, [10, 20, 30], "answer_loss") == 30
    assert best_step(RunMetrics(), [10], "loss") == 10


@pytest.mark.parametrize(
    ("values", "enough"),
    [((9, 3.0), False), ((9, 3.0, 3.5), False), ((9, 3.0, 3.5, 3.1), True), ((9, 3, 2, 1), False)],
)
def test_it_ends_after_so_many_saves_without_a_better_one(values, enough):
    watch = WatchSettings(best="loss", patience=2)
    assert waited_enough(losses(*values), watch) is enough
    assert waited_enough(losses(*values), replace(watch, patience=0)) is False
    assert waited_enough(losses(*values), replace(watch, best="answer_loss")) is False


def test_a_wish_to_end_is_heard_and_stays(tmp_path):
    folder = make(tmp_path, "poems")
    report = RunReport(folder, folder.written_status())
    assert not report.is_set()
    folder.ask_stop("keep")
    end = time.monotonic() + 10
    while not report.is_set() and time.monotonic() < end:
        time.sleep(0.05)
    assert report.wish == "keep"
    folder.forget_stop()
    time.sleep(0.3)
    assert report.wish == "keep"
    beside = RunReport(folder, folder.written_status(), writes=False)
    beside.tell(state="failed")
    assert folder.written_status().state == "queued"
