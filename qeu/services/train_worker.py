"""The process that trains one run: `python -m qeu.services.train_worker FOLDER`.

Takes the run, waits for its turn, trains, and says in the folder how it went; whoever started it
may be long gone. Exit status: 0 ended as ordered or as wished, 1 failed (status.json says why),
2 not begun (what stands on standard error says why).
"""

import argparse
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.services.train_report import RunReport
from qeu.services.train_turn import WORK, lock_run, wait_for_turn
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder, now

DONE, FAILED, NOT_BEGUN = 0, 1, 2
_TURN = "turn"
_POLL_S = 0.2


def main(argv: Sequence[str]) -> int:
    """Train the run in a folder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="qeu.services.train_worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's folder, with run.json and status.json")
    parser.add_argument(
        "--resume", default="", metavar="CHECKPOINT", help="go on from FOLDER/CHECKPOINT"
    )
    args = parser.parse_args(argv)
    folder = RunFolder(args.folder.resolve())
    try:
        if os.environ.get("RANK", "0") != "0":
            return _follow(folder, args.resume)
        lock = lock_run(folder)
        status, passport = folder.written_status(), folder.passport()
        _check_resume(folder, args.resume)
    except (QeuError, OSError) as error:
        print(error, file=sys.stderr)
        return NOT_BEGUN
    try:
        return _lead(folder, status, passport, args.resume)
    finally:
        lock.release()


def _lead(folder: RunFolder, status: RunStatus, passport: RunPassport, resume: str) -> int:
    """Wait for the turn, train, and tell how it ended."""
    shutil.rmtree(folder.path / WORK, ignore_errors=True)
    fresh = replace(
        status, state="queued", owner=my_owner(), steps=passport.training.steps,
        step=int(resume.rpartition("-")[2]) if resume else 0,
        left_s=None, phase="", trouble="", message="", advice="",
    )  # fmt: skip
    report = RunReport(folder, fresh)
    if hasattr(os, "nice"):
        os.nice(10)  # whoever clicks on the page goes first
    try:
        turn = wait_for_turn(folder, report.is_set)
        if turn is None:
            return _end(report, "stopped")
        report.tell(state="starting", phase="libraries", started=status.started or now())
        _call_followers(folder)
        if os.environ.get("WORLD_SIZE", "1") == "1":
            # one process trains on one card; with several it would be asked to copy the model
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
        # from here on what is heavy is imported
        from qeu.services.train_run import train

        outcome = train(folder, passport, resume, report)
    except Exception as error:
        traceback.print_exc()
        return _fail(report, error)
    kept = {"has_adapter": True, "kept_step": outcome.kept_step} if outcome.kept_step else {}
    status = _end(report, outcome.state, message=outcome.message, **kept)
    if outcome.kept_step:
        _write_card(folder)
    return status


def _write_card(folder: RunFolder) -> None:
    """The adapter's README; a run that cannot write it has an adapter all the same."""
    from qeu.services.adapter_card import write_card

    try:
        write_card(folder, None)
    except (QeuError, OSError) as error:
        print(f"The adapter has no card: {error}", file=sys.stderr, flush=True)


def _end(report: RunReport, state: str, **more: object) -> int:
    if report.wish != "discard":  # of that wish the folder itself will be gone
        report.folder.forget_stop()
    report.tell(state=state, phase="", left_s=None, **more)
    print(state, flush=True)
    return DONE


def _fail(report: RunReport, error: Exception) -> int:
    from qeu.services.train_failure import explain_crash

    folder = report.folder
    # half a checkpoint may be what filled the disk, so it goes before the status is written
    shutil.rmtree(folder.path / WORK, ignore_errors=True)
    checkpoints = folder.checkpoints()
    failure = explain_crash(
        error, folder.passport(), checkpoints[-1][1].name if checkpoints else ""
    )
    report.tell(
        state="failed", phase="", left_s=None,
        trouble=failure.trouble, message=failure.message, advice=failure.advice,
    )  # fmt: skip
    print(f"{failure.message} {failure.advice}", file=sys.stderr, flush=True)
    return FAILED


def _check_resume(folder: RunFolder, resume: str) -> None:
    names = [path.name for _, path in folder.checkpoints()]
    if resume and resume not in names:
        raise QeuError(
            f"{folder.name} has no complete checkpoint {resume!r}. "
            f"There are: {', '.join(names) or 'none'}."
        )


def _follow(folder: RunFolder, resume: str) -> int:
    """Train beside the first of several processes, which alone writes and waits for the turn."""
    if not _wait_until(lambda: _read_turn(folder) == _launch(), folder):
        return DONE
    from qeu.services.train_run import train

    report = RunReport(folder, folder.written_status(), writes=False)
    train(folder, folder.passport(), resume, report)
    return DONE


def _call_followers(folder: RunFolder) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        (folder.path / WORK).mkdir(exist_ok=True)
        (folder.path / WORK / _TURN).write_text(_launch(), "utf-8")


def _read_turn(folder: RunFolder) -> str:
    try:
        return (folder.path / WORK / _TURN).read_text("utf-8")
    except OSError:
        return ""


def _launch() -> str:
    """What all processes of one `accelerate launch` have in common."""
    names = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    return ":".join(os.environ.get(name, "") for name in names)


def _wait_until(is_so: Callable[[], bool], folder: RunFolder) -> bool:
    """False where a stop is wished first."""
    while not is_so():
        if folder.wanted_stop():
            return False
        time.sleep(_POLL_S)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
