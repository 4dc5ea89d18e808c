"""List, check and hash the adapter folders on disk, without loading them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.request import hash_adapter

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterFolder:
    """A complete adapter; `base` is the model id or path that it was trained on, "" if unknown."""

    name: str
    path: Path
    base: str
    rank: int

    @property
    def hash(self) -> str:
        """What changes the output, as one SHA-256: the configuration and the weights."""
        files = [self.path / CONFIG, *sorted(self.path.glob("*.safetensors"))]
        return hash_adapter({file.name: _digest(file) for file in files})


def list_adapters(folder: Path) -> list[AdapterFolder]:
    """All complete adapters in a folder, by name; a run without one offers its checkpoints."""
    found = []
    for path in sorted(_subfolders(folder)):
        checkpoints = [p for p in _subfolders(path) if p.name.startswith("checkpoint-")]
        for candidate in [path] if _is_complete(path) else sorted(checkpoints, key=_step):
            if _is_complete(candidate):
                try:
                    found.append(_read(folder, candidate))
                except QeuError:
                    # listed are those that can be loaded; `find_adapter` says what ails this one
                    continue
    return found


def find_adapter(folder: Path, name: str) -> AdapterFolder:
    """The adapter `NAME` or `NAME/checkpoint-N`; raises QeuError saying what is there instead."""
    path = folder / name
    inside = bool(name) and "\\" not in name and ".." not in Path(name).parts
    if not inside or Path(name).is_absolute() or not path.is_dir():
        names = ", ".join(a.name for a in list_adapters(folder)) or "none yet; train one first"
        raise QeuError(f"There is no adapter {name!r}. In {folder} there are: {names}.")
    if not _is_complete(path):
        pickles = [p.name for p in path.glob("adapter_model.bin")]
        why = (
            f"holds {pickles[0]}, a pickle that could run code; save it as safetensors"
            if pickles
            else f"lacks {CONFIG if not (path / CONFIG).is_file() else WEIGHTS}"
        )
        raise QeuError(f"Adapter {name!r} cannot be loaded: its folder {why}.")
    return _read(folder, path)


def check_base(adapter: AdapterFolder, loaded: str, aliases: Iterable[str]) -> None:
    """Refuse an adapter of another base; `aliases` are all names and paths of the loaded model."""
    base = adapter.base.strip()
    if not base:
        return
    known = {_plain(alias) for alias in aliases if alias} | {_plain(loaded)}
    if _plain(base) not in known:
        raise QeuError(
            f"Adapter {adapter.name!r} was trained on {base}, but {loaded} is loaded. "
            "Choose that model, or an adapter of this one."
        )


def _plain(name: str) -> str:
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name.strip().lower()


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _step(path: Path) -> int:
    digits = path.name.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def _is_complete(path: Path) -> bool:
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def _read(folder: Path, path: Path) -> AdapterFolder:
    name = path.relative_to(folder).as_posix()
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is not an object")
        base, rank = config.get("base_model_name_or_path") or "", int(config.get("r") or 0)
    except (OSError, ValueError, TypeError) as e:
        raise QeuError(f"Adapter {name!r}: {CONFIG} cannot be read ({e}). Train it again.") from e
    return AdapterFolder(name, path, str(base), rank)


def _digest(file: Path) -> str:
    status = file.stat()
    return _digest_of_version(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_version(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
