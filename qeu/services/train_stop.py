"""Stop a run: ask first, then signal, then kill; with "discard" nothing of it stays."""

import os
import signal
import threading
import time
from dataclasses import replace

from qeu.core.errors import QeuError
from qeu.core.run_status import RunStatus
from qeu.store.owner import my_owner, owner_lives, owner_number
from qeu.store.run_folders import RunFolder

# How long a run may take to end by itself: a step and a save may be under way.
PATIENCE_S = {"keep": 60.0, "discard": 10.0}
_KILL_AFTER_S = 10.0
_LOOK_S = 0.1


def stop_run(folder: RunFolder, way: str = "keep", wait_s: float | None = None) -> RunStatus | None:
    """End a run and wait until its process is gone; how it stands then, None where discarded.

    After `wait_s` (None: PATIENCE_S) its processes are signalled, 10 s later killed; what was
    killed while it kept is "interrupted", and its last checkpoint stays. A run that has ended can
    only be discarded. Raises QeuError where there is nothing to stop.
    """
    _ask(folder, way)
    return _see_to_end(folder, way, PATIENCE_S[way] if wait_s is None else wait_s)


def stop_in_background(folder: RunFolder, way: str = "keep") -> None:
    """Ask at once, and see to its end in a thread of this process; raises as `stop_run` does."""
    _ask(folder, way)
    threading.Thread(
        target=_see_to_end,
        args=(folder, way, PATIENCE_S[way]),
        name=f"qeu-stop-{folder.name}",
        daemon=True,
    ).start()


def _see_to_end(folder: RunFolder, way: str, patience_s: float) -> RunStatus | None:
    _wait_for_end(folder, patience_s)
    if way == "discard" or folder.wanted_stop() == "discard":
        _remove(folder)
        return None
    try:
        status = folder.status()
    except QeuError:  # somebody else discarded it meanwhile
        return None
    if status.is_open:
        # nobody ever worked on it
        status = replace(status, state="stopped", owner="", left_s=None, phase="")
        folder.write_status(status)
        folder.forget_stop()
    return status


def _ask(folder: RunFolder, way: str) -> None:
    status = folder.status()
    if way == "keep" and not status.is_open:
        raise QeuError(
            f"The run {folder.name!r} is {status.state} already; there is nothing to stop."
        )
    try:
        folder.ask_stop(way)
    except FileNotFoundError:
        raise QeuError(f"The run {folder.name!r} was discarded just now.") from None


def _wait_for_end(folder: RunFolder, patience_s: float) -> None:
    """Return when no process works on the run any more; after a while see to it."""
    begun = time.monotonic()
    ways = [(patience_s, signal.SIGTERM), (patience_s + _KILL_AFTER_S, signal.SIGKILL)]
    while owner := _living_owner(folder):
        if ways and time.monotonic() - begun >= ways[0][0]:
            _signal(owner, ways.pop(0)[1])
        time.sleep(_LOOK_S)


def _living_owner(folder: RunFolder) -> str:
    """Who works on it, "" where nobody does."""
    try:
        status = folder.written_status()
    except QeuError:  # its folder is gone
        return ""
    # an owner that is we ourselves has only just made the folder; its worker will see the wish
    return status.owner if status.is_open and owner_lives(status.owner) else _lingering(status)


def _lingering(status: RunStatus) -> str:
    """A process that has told its end and is still on its way out."""
    return status.owner if owner_lives(status.owner) and status.owner != my_owner() else ""


def _signal(owner: str, number: signal.Signals) -> None:
    """Signal the process and those it started, never those that we belong to."""
    if owner == my_owner():
        return
    try:
        group = os.getpgid(owner_number(owner))
        if group != os.getpgid(0):
            os.killpg(group, number)
        else:
            os.kill(owner_number(owner), number)
    except ProcessLookupError:
        return  # it ended by itself just now


def _remove(folder: RunFolder) -> None:
    try:
        folder.remove()
    except FileNotFoundError:
        return  # two asked for it at once
