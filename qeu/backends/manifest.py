"""Remember the files of a complete folder, and notice a missing, altered or foreign one."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qeu.backends.headers import read_safetensors
from qeu.backends.wheel import sha256_of
from qeu.core.errors import QeuError

MANIFEST = "manifest.json"
# Smaller files are hashed at every start; the weights only if their time stamp has changed.
ALWAYS_HASHED_BYTES = 16_000_000


@dataclass(frozen=True)
class Entry:
    """One file of a complete folder, as the manifest remembers it."""

    bytes: int
    sha256: str
    mtime_ns: int


def write_manifest(folder: Path, version: int, source: Mapping[str, str]) -> None:
    """Record every file of a folder; `version` says how they were made."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # the manifest must not outlive the data in a power cut
        files[path.name] = {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
            "mtime_ns": path.stat().st_mtime_ns,
        }
    manifest = {"format": version, "source": dict(source), "files": files}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def is_complete(folder: Path, version: int) -> bool:
    """True if the folder is exactly what its manifest of this version says; takes milliseconds."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if manifest["format"] != version:
            return False
        files = {name: Entry(**entry) for name, entry in manifest["files"].items()}
        # a file more than we saved is as bad as one less: transformers would read it
        names = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
        if not any(n.endswith(".safetensors") for n in files) or names != {*files, MANIFEST}:
            return False
        return all(_is_intact(folder / name, entry) for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_intact(path: Path, entry: Entry) -> bool:
    status = path.stat()
    if status.st_size != entry.bytes:
        return False
    if path.suffix == ".safetensors":
        try:
            read_safetensors(path)
        except QeuError:
            return False
    if status.st_mtime_ns == entry.mtime_ns and status.st_size > ALWAYS_HASHED_BYTES:
        return True
    return sha256_of(path) == entry.sha256
