"""Who works on a job: a process, named so that another one can tell whether it still lives."""

import os

import psutil


def my_owner() -> str:
    """This process: its number and when it began, because numbers are used again."""
    process = psutil.Process(os.getpid())
    return f"{process.pid}:{process.create_time():.2f}"


def owner_lives(owner: str) -> bool:
    """Whether the process of this name still runs (on this machine)."""
    number, _, began = owner.partition(":")
    try:
        process = psutil.Process(int(number))
        return process.status() != psutil.STATUS_ZOMBIE and f"{process.create_time():.2f}" == began
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True
