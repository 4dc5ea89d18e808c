"""Go on with a run that was stopped, failed or interrupted, once all that it needs is there."""

import json
import zipfile
from pathlib import Path

from filelock import FileLock, Timeout

from qeu.backends.catalog import find_model
from qeu.backends.headers import read_safetensors
from qeu.backends.training_encoder import find_base
from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport, hash_layout
from qeu.core.run_status import RESUMABLE, RunStatus
from qeu.core.settings import Settings
from qeu.services.train_base import base_revision, hash_tokenizer
from qeu.services.train_data import hash_frozen
from qeu.services.train_order import TrainOrder, disk_bytes, disk_problems, free_bytes
from qeu.services.train_spawn import Spawn, spawn_worker
from qeu.store.run_folders import TRAIN, VALIDATION, RunFolder, find_run, now

# Held while a resume looks and starts, so that of two at one moment the second sees the first.
LAUNCH_LOCK = ".launch.lock"
_WAIT_S = 30.0
# What a checkpoint cannot do without: weights, optimiser, schedule, where it stood.
_ZIPPED = ("optimizer.pt", "scheduler.pt")


def resume_run(
    adapters: Path, name: str, settings: Settings, *, spawn: Spawn = spawn_worker
) -> RunFolder:
    """Start the run's process again, from its newest whole checkpoint or from its first step.

    Raises QeuError with all that stands in the way; then nothing was changed.
    """
    folder = find_run(adapters, name)
    lock = FileLock(folder.path / LAUNCH_LOCK)
    try:
        with lock.acquire(timeout=_WAIT_S):
            if problems := resume_problems(folder, settings):
                raise QeuError(" ".join(problems))
            folder.forget_stop()
            status = folder.written_status()
            folder.write_status(
                RunStatus(
                    order=now(),
                    started=status.started,
                    step=status.step,
                    steps=status.steps,
                    seconds=status.seconds,
                    has_adapter=status.has_adapter,
                    kept_step=status.kept_step,
                    versions=status.versions,
                )
            )
            try:
                spawn(folder, resume_point(folder), settings)
            except BaseException:
                folder.write_status(status)
                raise
    except Timeout as error:
        raise QeuError(
            f"The run {name!r} is being started by another window. Look at it there."
        ) from error
    return folder


def resume_problems(folder: RunFolder, settings: Settings) -> list[str]:
    """All that keeps a run from going on, each as one sentence; empty where it can."""
    try:
        status, passport = folder.status(), folder.passport()
    except QeuError as error:
        return [f"{error} Without it nobody knows what the run was; train it anew."]
    if not can_resume(status):
        return [
            f"The run {folder.name!r} is {status.state}, and only one that was stopped, failed or "
            "interrupted can go on."
        ]
    if wrong := passport.problems():
        return wrong
    found = _data_problems(folder, passport) + _base_problems(passport, settings)
    return found or _disk_problems(folder, passport)


def can_resume(status: RunStatus) -> bool:
    """Whether a run in this state may go on; one that was made ready and never begun may, too."""
    return status.state in RESUMABLE or (status.state == "queued" and not status.owner)


def resume_point(folder: RunFolder) -> str | None:
    """The newest checkpoint that is whole, by its folder's name; None: from the first step."""
    for step, path in reversed(folder.checkpoints()):
        if _is_whole(path, step):
            return path.name
    return None


def _is_whole(path: Path, step: int) -> bool:
    """Whether all that training needs can be read; a disk that was full leaves half a file."""
    try:
        state = json.loads((path / "trainer_state.json").read_text("utf-8"))
        read_safetensors(path / "adapter_model.safetensors")
    except (OSError, ValueError, QeuError):
        return False
    if not isinstance(state, dict) or state.get("global_step") != step:
        return False
    # torch writes zip files, whose list of contents stands at their end
    return all(zipfile.is_zipfile(path / name) for name in _ZIPPED)


def _data_problems(folder: RunFolder, passport: RunPassport) -> list[str]:
    found = []
    wanted = ((TRAIN, passport.data_hash), (VALIDATION, passport.validation_hash))
    for file, expected in wanted:
        try:
            same = hash_frozen(folder.frozen(file))[0] == expected
        except (OSError, ValueError, TypeError, KeyError, QeuError):
            same = False
        if not same:
            found.append(
                f"{file} of {folder.name!r} is not what the run began with; somebody changed it. "
                "Put it back, or train anew."
            )
    return found


def _base_problems(passport: RunPassport, settings: Settings) -> list[str]:
    try:
        weights = find_base(find_model(passport.base), settings.cache_dir)
    except QeuError as error:
        return [str(error)]
    found = []
    if base_revision(weights) != passport.base_revision:
        found.append(
            f"The base {passport.base} is another one than the run began with. "
            "Bring that one back, or train anew."
        )
    if hash_tokenizer(weights) != passport.tokenizer_hash:
        found.append(
            f"The tokenizer of {passport.base} is another one than the run began with. "
            "Bring that one back, or train anew."
        )
    if hash_layout(passport.layout, passport.target) != passport.layout_hash:
        found.append(
            f"The layout {passport.layout} is written otherwise in this version than the run "
            "learned it. Train anew."
        )
    return found


def _disk_problems(folder: RunFolder, passport: RunPassport) -> list[str]:
    from qeu.backends.memory_estimate import shape_of

    needed = disk_bytes(TrainOrder.from_passport(passport), shape_of(find_model(passport.base)))
    there = sum(file.stat().st_size for _, path in folder.checkpoints() for file in path.iterdir())
    return disk_problems(needed and max(0, needed - there), free_bytes(folder.path))
