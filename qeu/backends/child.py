"""Run one of our modules in a child process that can be stopped and ends with its parent."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qeu.core.errors import QeuError

_POLL_S = 0.1


class FetchStopped(QeuError):
    """The person who started the fetch stopped it."""


def run_child(
    module: str,
    arguments: Sequence[str],
    log: Path,
    *,
    environ: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    on_line: Callable[[bytes], None] = lambda line: None,
    on_tick: Callable[[], None] = lambda: None,
) -> int:
    """Run `python -m module` and return its exit code; standard error goes to the file `log`.

    `on_line` gets its lines on a reader thread, `on_tick` is called about every 0.1 s. A stop, or
    any exception of `on_tick`, kills the child before it is raised.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, **(environ or {}), "PYTHONPATH": os.pathsep.join(paths)}
    with log.open("wb") as errors:
        # standard input stays open and unused: its end tells the child that we are gone
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
        )
        reader = threading.Thread(target=_read, args=(process, on_line), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                if stop is not None and stop.is_set():
                    raise FetchStopped("It was stopped. Start it again when you want it.")
                on_tick()
                reader.join(_POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join(5)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
    return process.returncode


def leave_with_parent() -> None:
    """In the child: end at once when the parent is gone, and let the page go first meanwhile."""
    if hasattr(os, "nice"):
        os.nice(5)
    threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    # not sys.stdin: its lock, held by a waiting thread, breaks the interpreter's shutdown
    while os.read(0, 1):
        pass
    os._exit(3)


def _read(process: subprocess.Popen[bytes], on_line: Callable[[bytes], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        on_line(line)
