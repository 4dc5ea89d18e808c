"""Which process works on a job or a run, named so that another one can tell whether it lives."""

import os
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def my_owner() -> str:
    """This process: its number and when it began, because numbers are used again."""
    return owner_of(os.getpid())


def owner_of(number: int) -> str:
    """The name of a process that runs now."""
    return f"{number}:{_began(number)}"


def owner_lives(owner: str) -> bool:
    """Whether the process of this name still runs (on this machine)."""
    number, _, began = owner.partition(":")
    try:
        process = psutil.Process(int(number))
        return process.status() != psutil.STATUS_ZOMBIE and _began(int(number)) == began
    except (psutil.NoSuchProcess, ValueError, OSError):
        return False
    except psutil.AccessDenied:
        return True


def owner_number(owner: str) -> int:
    """The number of the process."""
    return int(owner.partition(":")[0])


def _began(number: int) -> str:
    """When it began; on Linux in ticks since this boot, which no change of the clock moves."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text("utf-8", "replace")
        # the name, in brackets, may hold blanks and brackets; the 22nd field is the start
        ticks = stat.rpartition(")")[2].split()[19]
        return f"{_BOOT.read_text().strip()[:8]}-{ticks}"
    except FileNotFoundError:
        return f"{psutil.Process(number).create_time():.2f}"
