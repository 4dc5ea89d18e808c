"""Start the process of a run, in a session of its own, so that it outlives whoever started it."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import qeu
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.store.owner import owner_of
from qeu.store.run_folders import LOG, RunFolder

WORKER = "qeu.services.train_worker"
# Heard only at the start of a process: fresh pages for every step cost a third of the speed, and
# threads that wait by spinning stand in each other's way on a machine that is shared. What the
# user's environment says of them stays: a machine that does nothing else gains by spinning.
MEMORY_AND_THREADS = {
    "GOMP_SPINCOUNT": "0",
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
_QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
# Waits for one byte and becomes the worker, with the same number and start: by then the status
# names it, and only the worker writes the status from there on. Without the byte it ends.
_GATE = (
    "import os, sys; os.read(0, 1) or sys.exit(1); "
    "os.dup2(os.open(os.devnull, os.O_RDONLY), 0); os.execv(sys.argv[1], sys.argv[1:])"
)
# (folder, checkpoint to resume or None, settings) → the process's number
Spawn = Callable[[RunFolder, str | None, Settings], int]


def spawn_worker(
    folder: RunFolder, resume: str | None, settings: Settings, module: str = ""
) -> int:
    """Start the run's worker, which waits for its turn by itself; the number of its process.

    `module` "" is the real worker. The status is "queued" and names the process before it does
    anything. Raises QeuError where no process can be started.
    """
    command = [sys.executable, "-m", module or WORKER, str(folder.path.absolute())]
    command += ["--resume", resume] if resume else []
    gate = [sys.executable, "-S", "-E", "-c", _GATE, *command]
    try:
        with (folder.path / LOG).open("ab") as log:
            process = subprocess.Popen(
                gate,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(settings, os.environ),
                # no file that lies where a person happens to be can stand in for a library
                cwd=folder.path.parent,
                start_new_session=True,
            )
    except OSError as error:
        raise QeuError(
            f"No process could be started for {folder.name!r} ({error.strerror}). "
            "End other programs and try again."
        ) from error
    assert process.stdin is not None
    with process.stdin:
        status = replace(folder.written_status(), state="queued", owner=owner_of(process.pid))
        folder.write_status(status)
        process.stdin.write(b"\n")
    # somebody has to take note of its end, or it stays as a zombie while we live
    threading.Thread(target=process.wait, name=f"qeu-reap-{process.pid}", daemon=True).start()
    return process.pid


def worker_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, with what memory and threads need, no network, and the settings in force."""
    root = str(Path(qeu.__file__).parent.parent)
    found = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH", ""))))
    ours = {
        "QEU_DEVICE": settings.device,
        "QEU_HOME": str(settings.home.absolute()),
        "QEU_CACHE": str(settings.cache_dir.absolute()),
        "QEU_ADAPTERS": str(settings.adapters.absolute()),
    }
    return {**MEMORY_AND_THREADS, **environ, **_QUIET, **ours, "PYTHONPATH": found}


def accelerate_command(folder: RunFolder, processes: int) -> str:
    """What starts the run on several GPUs at once, as a person types it."""
    # --multi_gpu starts that many processes without a GPU too; --cpu alone would start only one
    words = ["accelerate", "launch", "--multi_gpu", "--num_processes", str(processes)]
    words += ["-m", WORKER, str(folder.path.absolute())]
    variables = (f"{name}={value}" for name, value in MEMORY_AND_THREADS.items())
    return f"{' '.join(variables)} {shlex.join(words)}"
