"""List, check and hash the adapter folders on disk, without loading them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

from qeu.backends.adapter_base import check_base
from qeu.backends.adapter_run import TrainedAs, read_run
from qeu.backends.headers import Header, read_safetensors
from qeu.core.errors import QeuError
from qeu.core.request import hash_adapter

__all__ = [
    "CONFIG", "WEIGHTS", "AdapterFolder", "BrokenAdapter", "check_base", "find_adapter",
    "list_adapters", "open_adapter", "scan_adapters",
]  # fmt: skip

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
# A training run's own file (store/run_folders.py).
_STATUS = "status.json"
_PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
# A configuration of a few hundred kilobytes is none.
_LARGEST_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class AdapterFolder:
    """A complete adapter; `base` is the model id or path that it was trained on, "" if unknown.

    `run` is what its run.json tells of the training, None without one. `bytes` are those of the
    weights file, `changed` its time in seconds since 1970.
    """

    name: str
    path: Path
    base: str
    rank: int
    target_modules: tuple[str, ...] = ()
    bytes: int = 0
    changed: float = 0.0
    run: TrainedAs | None = None

    @property
    def hash(self) -> str:
        """What changes the output, as one SHA-256: the configuration and the weights."""
        files = [self.path / CONFIG, *sorted(self.path.glob("*.safetensors"))]
        return hash_adapter({file.name: _digest(file) for file in files})

    @property
    def bases(self) -> tuple[str, ...]:
        """All names of the base that the folder tells, the configuration's first."""
        names = (self.base.strip(), self.run.base if self.run else "")
        return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True)
class BrokenAdapter:
    """A folder that is meant as an adapter and cannot be loaded, with the reason as a sentence."""

    name: str
    path: Path
    reason: str


def list_adapters(folder: Path) -> list[AdapterFolder]:
    """All adapters in a folder that can be loaded, each run before its checkpoints."""
    return scan_adapters(folder)[0]


def scan_adapters(folder: Path) -> tuple[list[AdapterFolder], list[BrokenAdapter]]:
    """The adapters that can be loaded and those that cannot: runs by name, checkpoints by step."""
    found: list[AdapterFolder] = []
    broken: list[BrokenAdapter] = []
    for run in sorted(_subfolders(folder)):
        checkpoints = [path for path in _subfolders(run) if _is_checkpoint(path)]
        for path in (run, *sorted(checkpoints, key=_step)):
            if not _is_meant(path):
                continue
            name = path.relative_to(folder).as_posix()
            try:
                found.append(open_adapter(path, name))
            except QeuError as e:
                broken.append(BrokenAdapter(name, path, str(e)))
    return found, broken


def find_adapter(folder: Path, name: str) -> AdapterFolder:
    """The adapter `NAME` or `NAME/checkpoint-N`; raises QeuError saying what is there instead."""
    if not is_inside(folder, name):
        names = ", ".join(a.name for a in list_adapters(folder)) or "none yet; train one first"
        raise QeuError(f"There is no adapter {name!r}. In {folder} there are: {names}.")
    return open_adapter(folder / name, name)


def is_inside(folder: Path, name: str) -> bool:
    """Whether the name is that of a folder within this one; other places are never looked at."""
    parts = Path(name).parts
    if not name or "\\" in name or "\0" in name or ".." in parts or Path(name).is_absolute():
        return False
    try:
        return bool(parts) and (folder / name).is_dir()
    except OSError:  # a name too long for a path
        return False


def open_adapter(path: Path, name: str) -> AdapterFolder:
    """Read what a folder tells of its adapter; QeuError where it cannot be loaded."""
    if not _is_complete(path):
        pickles = [pickle for pickle in _PICKLES if (path / pickle).is_file()]
        why = (
            f"holds {pickles[0]}, a pickle that could run code; save it as safetensors"
            if pickles and not (path / WEIGHTS).is_file()
            else f"lacks {CONFIG if not (path / CONFIG).is_file() else WEIGHTS}"
        )
        raise QeuError(f"Adapter {name!r} cannot be loaded: its folder {why}.")
    try:
        if (path / CONFIG).stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ValueError("it is larger than any configuration")
        config = json.loads((path / CONFIG).read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is not an object")
        base, rank = config.get("base_model_name_or_path") or "", int(config.get("r") or 0)
        modules = config.get("target_modules") or ()
        modules = (modules,) if isinstance(modules, str) else tuple(sorted(map(str, modules)))
    except (OSError, ValueError, TypeError, RecursionError) as e:
        raise QeuError(f"Adapter {name!r}: {CONFIG} cannot be read ({e}). Train it again.") from e
    kind = str(config.get("peft_type", "LORA")).rpartition(".")[2]
    if kind != "LORA":
        raise QeuError(
            f"Adapter {name!r} is of kind {kind}, and only LoRA adapters are run here. "
            "Train it again as LoRA."
        )
    status = (path / WEIGHTS).stat()
    _header(path / WEIGHTS)  # a cut-off file is told now, not when it is asked for
    run = read_run(path) or (read_run(path.parent) if _is_checkpoint(path) else None)
    return AdapterFolder(name, path, str(base), rank, modules, status.st_size, status.st_mtime, run)


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_checkpoint(path: Path) -> bool:
    return path.name.startswith("checkpoint-")


def _step(path: Path) -> int:
    digits = path.name.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _is_complete(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def _is_meant(path: Path) -> bool:
    """Whether a folder wants to be an adapter; one that a run works in does only when complete."""
    if (path / _STATUS).is_file():
        return _is_complete(path)
    return any((path / name).is_file() for name in (CONFIG, WEIGHTS, *_PICKLES))


def _header(file: Path) -> Header:
    status = file.stat()
    return _header_of_version(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _header_of_version(path: Path, size: int, mtime_ns: int) -> Header:
    return read_safetensors(path)


def _digest(file: Path) -> str:
    status = file.stat()
    return _digest_of_version(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_version(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
