"""Delete an adapter with its run: asked for twice, never while somebody works with it."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

import qeu
from qeu.backends.adapter_files import CONFIG, WEIGHTS, is_inside, list_adapters
from qeu.backends.shelf import LoadedModel
from qeu.core.errors import QeuError
from qeu.services.defaults import SHIPPED_ADAPTER
from qeu.services.train_turn import RUN_LOCK
from qeu.store.run_folders import RUN, STATUS, RunFolder

# What tells that a folder is an adapter or a run, whole or broken, and not somebody's other work.
_MARKS = (CONFIG, WEIGHTS, RUN, STATUS, "adapter_model.bin")
_AWAY = ".removed-"
_SHIPPED_FOLDER = Path(qeu.__file__).resolve().parent.parent / "adapters"


@dataclass(frozen=True)
class Deletion:
    """What a deletion takes away; `shipped` came with the program, and git brings it back."""

    name: str
    bytes: int
    checkpoints: int
    records: bool
    shipped: bool

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def plan_deletion(folder: Path, name: str, loaded: Iterable[LoadedModel] = ()) -> Deletion:
    """What deleting this adapter or checkpoint would take away; deletes nothing.

    Raises QeuError where there is none of that name in the folder, while its run goes on, and
    while one of the `loaded` models computes with it.
    """
    path = _find(folder, name)
    _refuse_open(path, name)
    for model in loaded:
        if model.busy and name in model.adapters:
            raise QeuError(
                f"Adapter {name!r} is in use: {model.model_id} is computing with it. "
                "Stop its runs, or wait until they are done."
            )
    checkpoints = sum(one.is_dir() for one in path.glob("checkpoint-*"))
    shipped = name == SHIPPED_ADAPTER and _same(folder, _SHIPPED_FOLDER)
    return Deletion(name, _bytes(path), checkpoints, (path / RUN).is_file(), shipped)


def delete_adapter(
    folder: Path, name: str, *, confirmed: bool, loaded: Iterable[LoadedModel] = ()
) -> Deletion:
    """Delete an adapter or a checkpoint for good; unless `confirmed`, raises what would be lost.

    It goes out of sight by one rename first: no list ever sees half of it. What a model holds in
    memory stays there until its next run. Raises QeuError as `plan_deletion` does.
    """
    plan = plan_deletion(folder, name, loaded)
    if not confirmed:
        size = f"{plan.bytes / 1e6:.1f} MB"
        if plan.shipped:
            raise QeuError(
                f"{name!r} came with the program ({size}); `git checkout adapters` would bring it "
                "back. Nothing was deleted. Repeat it with --yes to delete it."
            )
        raise QeuError(
            f"{name!r} would be deleted for good: {size}, {plan.checkpoints} checkpoints, its "
            "run's curves and texts. Nothing was deleted. Repeat it with --yes to delete it."
        )
    path = _find(folder, name)
    _sweep(path.parent)
    away = path.with_name(f"{_AWAY}{path.name}-{os.getpid()}")
    try:
        if path.is_symlink():
            path.unlink()  # the link is ours, what it points to is not
            return plan
        _rename_locked(path, away, name)
        shutil.rmtree(away)
    except OSError as e:
        raise QeuError(
            f"{name!r} could not be deleted ({e.strerror or e}). Check who owns {path}."
        ) from e
    return plan


def _find(folder: Path, name: str) -> Path:
    path = folder / name
    parts = Path(name).parts
    known = len(parts) == 1 or (len(parts) == 2 and parts[1].startswith("checkpoint-"))
    plain = known and not any(part.startswith(".") for part in parts)
    if plain and is_inside(folder, name) and any((path / mark).is_file() for mark in _MARKS):
        return path
    names = ", ".join(adapter.name for adapter in list_adapters(folder)) or "none"
    raise QeuError(
        f"There is no adapter {name[:200]!r} to delete. In {folder} there are: {names}. "
        "What lies elsewhere is not deleted here."
    )


def _run_of(path: Path) -> Path:
    return path.parent if path.name.startswith("checkpoint-") else path


def _refuse_open(path: Path, name: str) -> None:
    run = RunFolder(_run_of(path))
    if not (run.path / STATUS).is_file():
        return
    try:
        state = run.status()
    except QeuError:
        return  # nobody can go on with a run whose status cannot be read
    # without an owner it was made ready and never started
    if state.is_open and state.owner:
        raise QeuError(
            f"The run of {name!r} is {state.state}. Stop it first, or wait until it has ended."
        )


def _rename_locked(path: Path, away: Path, name: str) -> None:
    """Rename while no worker can begin on it: one that was resumed just now holds the lock."""
    try:
        with FileLock(_run_of(path) / RUN_LOCK, timeout=0):
            path.rename(away)
    except Timeout:
        raise QeuError(
            f"A training works in the folder of {name!r}. Stop it first, or wait until it has "
            "ended."
        ) from None


def _sweep(folder: Path) -> None:
    """Take away what a deletion left whose program was killed."""
    for left in folder.glob(f"{_AWAY}*"):
        number = left.name.rpartition("-")[2]
        if not number.isdigit() or not psutil.pid_exists(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _bytes(path: Path) -> int:
    found = 0
    for one in path.rglob("*"):
        try:
            found += one.lstat().st_size if one.is_file() else 0
        except FileNotFoundError:  # renamed meanwhile
            continue
    return found


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except OSError:
        return False
