"""Probe a run before it starts: its longest batch, for a few steps, in a process of its own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport
from qeu.core.settings import Settings
from qeu.services.train_spawn import worker_environment
from qeu.store.datasets import Stopped

PROBE = "qeu.services.train_probe"
# Of the free memory; what stands beside training takes some at times.
SAFE_SHARE = 0.9
_POLL_S = 0.1


@dataclass(frozen=True)
class ProbeResult:
    """What was measured, 0 where it failed, and `verdict` in one or two sentences.

    `peak_bytes` is the most memory that training took, of `free_bytes` before. `trouble` is one of
    TROUBLES where it failed.
    """

    fits: bool
    verdict: str
    seconds_per_step: float = 0.0
    tokens_per_step: int = 0
    peak_bytes: int = 0
    free_bytes: int = 0
    device: str = ""
    trouble: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def run_probe(
    folder: Path,
    passport: RunPassport,
    stop: threading.Event | None = None,
    settings: Settings | None = None,
) -> ProbeResult:
    """Measure steps on the longest batch of the records frozen in `folder`; nothing is left there.

    Raises `Stopped` when `stop` is set, QeuError where no process can be started. A failure of the
    training itself is a result.
    """
    settings = settings or Settings.from_env(os.environ)
    command = [sys.executable, "-m", PROBE, str(folder.absolute())]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=worker_environment(settings, os.environ), cwd=folder,
        )  # fmt: skip
    except OSError as error:
        raise QeuError(
            f"The probe could not be started ({error.strerror}). End other programs and try again."
        ) from error
    answer: list[tuple[bytes, bytes]] = []
    text = json.dumps(passport.to_json()).encode()
    reader = threading.Thread(target=lambda: answer.append(process.communicate(text)))
    reader.start()
    while reader.is_alive():
        if stop and stop.is_set():
            process.kill()
            reader.join()
            raise Stopped("The probe")
        reader.join(_POLL_S)
    out, errors = answer[0]
    return judge_probe(_read_line(out), process.returncode, passport, errors)


def judge_probe(
    found: Mapping[str, object] | None, returncode: int, passport: RunPassport, errors: bytes = b""
) -> ProbeResult:
    """The verdict on what the process printed; None where it printed nothing."""
    if found is None and returncode < 0:
        # the machine ends a process that takes too much without asking it
        verdict = (
            f"The probe was ended by signal {-returncode}, most likely since memory ran out. "
            "Shorten max_length or the batch, or end other programs."
        )
        return ProbeResult(False, verdict, trouble="memory")
    if found is None:
        text = errors.decode("utf-8", "replace").strip()[-300:]
        return ProbeResult(False, f"The probe failed ({text}).", trouble="library")
    if "trouble" in found:
        verdict = f"{found['message']} {found['advice']}"
        return ProbeResult(False, verdict, trouble=str(found["trouble"]))
    result = ProbeResult(True, "", **found)  # type: ignore[arg-type]
    fits = result.peak_bytes <= SAFE_SHARE * result.free_bytes
    needed, free = result.peak_bytes / 1e9, result.free_bytes / 1e9
    steps = passport.training.steps
    pace = (
        f"A step of {result.tokens_per_step:,} tokens takes {result.seconds_per_step:.1f} s, "
        f"{steps:,} of them {_say_time(steps * result.seconds_per_step)} at most."
    )
    if fits:
        memory = f"Memory: {needed:.1f} GB of {free:.1f} GB that are free."
    else:
        memory = (
            f"Memory is short: {needed:.1f} GB are needed and {free:.1f} GB are free. "
            "Shorten max_length or the batch, or end other programs."
        )
    return ProbeResult(fits, f"{pace} {memory}", **found)  # type: ignore[arg-type]


def _say_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def _read_line(out: bytes) -> Mapping[str, object] | None:
    """The last line that is an object; libraries may print before it."""
    for line in reversed(out.decode("utf-8", "replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None
