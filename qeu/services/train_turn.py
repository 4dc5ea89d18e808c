"""Locks of training: one process a run, one run at a time in a folder of adapters, in order."""

import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from qeu.core.errors import QeuError
from qeu.store.run_folders import RunFolder, list_runs

# Within a run's folder, held by whoever works on it; within the folder of adapters, by who trains.
RUN_LOCK, TURN_LOCK = ".lock", ".training.lock"
# Within a run's folder: what is not whole yet. A run that is cut off may leave some there.
WORK = ".work"
_POLL_S = 0.5


def lock_run(folder: RunFolder) -> FileLock:
    """Take the run for this process, until it ends; QeuError where another one has it."""
    return _take(
        folder.path / RUN_LOCK,
        f"Another process is at work on {folder.name}. Wait until it has ended, or stop it.",
    )


def wait_for_turn(
    folder: RunFolder, is_stopped: Callable[[], bool], pause: Callable[[float], None] = time.sleep
) -> FileLock | None:
    """Wait until no other run trains and none that was ordered earlier waits; None if stopped.

    Who has the lock has the turn, until it lets go or its process ends, however that ends.
    """
    lock = FileLock(folder.path.parent / TURN_LOCK)
    while not is_stopped():
        if not earlier_runs(folder):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                pass
            else:
                return lock
        pause(_POLL_S)
    return None


def earlier_runs(folder: RunFolder) -> list[str]:
    """Names of the runs that wait and were ordered before this one, by living processes."""
    mine = (folder.written_status().order, folder.name)
    found = []
    for other in list_runs(folder.path.parent):
        if other.name == folder.name:
            continue
        try:
            status = other.status()
        except QeuError:
            continue  # being made or removed: nobody waits in it
        if status.state == "queued" and status.owner and (status.order, other.name) < mine:
            found.append(other.name)
    return found


def _take(path: Path, why_not: str) -> FileLock:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise QeuError(why_not) from None
    return lock
