"""Work with a loaded model that Ctrl-C ends in good order: what was made by then is kept."""

import argparse
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from qeu.cli.screen import ProgressLine, say
from qeu.core.errors import QeuError
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.engines import Engines
    from qeu.backends.shelf import Shelf
    from qeu.backends.weights import Progress

T = TypeVar("T")
INTERRUPTED = 130


def make_shelf(args: argparse.Namespace) -> "Shelf":
    """The local models of this process; tests bring their own."""
    from qeu.backends.shelf import Shelf

    return (args.make_shelf or Shelf)(Settings.from_env(os.environ))


def make_engines(args: argparse.Namespace) -> "Engines":
    """All models that this process can ask, with the keys of its environment."""
    from qeu.backends.engines import open_engines

    return open_engines(Settings.from_env(os.environ), os.environ, make_shelf(args))


def told_load(line: ProgressLine, model: str) -> "Callable[[Progress], None]":
    """What a shelf calls as its `progress`, in steps coarse enough for a log."""

    def tell(progress: "Progress") -> None:
        share = progress.done / progress.total if progress.total else 0.0
        line.log(model, f"{model}: {progress.step}{f' {int(share * 10) * 10}%' if share else ''}")

    return tell


def run_stoppable(work: Callable[[threading.Event], T]) -> tuple[T, bool]:
    """What `work` returns, and whether Ctrl-C set its stop; raises what it raised.

    A second Ctrl-C ends the process at once.
    """
    stop, ready, done = threading.Event(), threading.Event(), threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def do() -> None:
        ready.wait()
        try:
            results.append(work(stop))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    # A thread: Ctrl-C in the middle of a computation would throw away what is done. It is not
    # joined: a join that is interrupted takes the thread for ended (CPython 3.11, bpo-45274).
    threading.Thread(target=do, name="qeu-work", daemon=True).start()
    while not done.is_set():
        try:
            ready.set()  # from here on Ctrl-C is caught
            while not done.wait(0.1):
                pass
        except KeyboardInterrupt:
            if stop.is_set():
                # an engine at work in C++ can crash while Python takes itself down around it
                sys.stderr.flush()
                os._exit(INTERRUPTED)
            stop.set()
            say("Stopping …")
    if errors and stop.is_set() and isinstance(errors[0], QeuError):
        say(str(errors[0]))  # that it was stopped is no failure
        raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return results[0], stop.is_set()
