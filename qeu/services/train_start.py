"""Start a run: plan it again, freeze its records into a folder, and let its process go."""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import psutil

import qeu
from qeu.backends.catalog import find_model
from qeu.backends.training_encoder import find_base
from qeu.backends.wheel import Progress as Fetched
from qeu.core.errors import QeuError
from qeu.core.run_passport import RunPassport, hash_layout
from qeu.core.run_status import RunStatus
from qeu.core.settings import Settings
from qeu.core.twins import make_twins, twin_name
from qeu.services.train_base import base_revision, hash_tokenizer
from qeu.services.train_data import freeze_records, hash_frozen
from qeu.services.train_order import TrainOrder
from qeu.services.train_plan import TrainPlan, plan_order
from qeu.services.train_spawn import Spawn, spawn_worker
from qeu.services.train_stop import stop_in_background
from qeu.store.changes import Progress
from qeu.store.owner import my_owner
from qeu.store.run_folders import (
    TRAIN,
    VALIDATION,
    RunFolder,
    create_run,
    now,
    write_passport,
)
from qeu.store.workspace import Workspace

# A folder that is being filled or emptied; behind it the number of the process that does.
_UNREADY = (".making-", ".removed-")
_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def start_run(
    workspace: Workspace,
    order: TrainOrder,
    settings: Settings,
    *,
    on_progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    on_fetch: Callable[[Fetched], None] = lambda _: None,
    spawn: Spawn | None = spawn_worker,
) -> RunFolder:
    """The folder of a run that was started; it waits for its turn where others run.

    With `spawn` None it is only made ready, for whoever starts its worker otherwise. Raises
    QeuError with all problems of the plan, `Stopped` when `stop` is set; nothing is made then.
    """
    plan = plan_order(workspace, order, settings, on_progress, stop, on_fetch)
    return _start_all(workspace, [plan], settings, stop, spawn)[0]


def start_twins(
    workspace: Workspace,
    order: TrainOrder,
    kinds: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    *,
    on_progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    on_fetch: Callable[[Fetched], None] = lambda _: None,
    spawn: Spawn | None = spawn_worker,
) -> list[RunFolder]:
    """Start every kind with every seed over the same records, NAME-own-s0 first; all or none."""
    plans = plan_twins(workspace, order, kinds, seeds, settings, on_progress, stop, on_fetch)
    return _start_all(workspace, plans, settings, stop, spawn)


def plan_twins(
    workspace: Workspace,
    order: TrainOrder,
    kinds: Sequence[str],
    seeds: Sequence[int],
    settings: Settings,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    on_fetch: Callable[[Fetched], None] = lambda _: None,
) -> list[TrainPlan]:
    """The plans of all twins; raises QeuError for kinds or seeds that cannot be meant."""
    orders = twin_orders(order, kinds, seeds)
    return [plan_order(workspace, one, settings, progress, stop, on_fetch) for one in orders]


def twin_orders(order: TrainOrder, kinds: Sequence[str], seeds: Sequence[int]) -> list[TrainOrder]:
    """The orders of all twins, each knowing the others."""
    twins = make_twins(kinds, seeds)
    labels = tuple(twin.label for twin in twins)
    return [
        replace(
            order,
            name=twin_name(order.name, twin),
            variant=twin.variant_of(order.variant),
            twins=labels,
        )
        for twin in twins
    ]


def _start_all(
    workspace: Workspace,
    plans: Sequence[TrainPlan],
    settings: Settings,
    stop: threading.Event | None,
    spawn: Spawn | None,
) -> list[RunFolder]:
    if settings.public:
        raise QeuError("A public page trains nothing. Start the program on a machine of your own.")
    if problems := list(dict.fromkeys(p for plan in plans for p in plan.problems)):
        raise QeuError(" ".join(problems))
    _sweep(settings.adapters)
    made: list[RunFolder] = []
    try:
        for plan in plans:
            made.append(make_ready(workspace, plan, settings, settings.adapters, stop))
            made[-1] = _publish(made[-1], plan.order.name)
        for folder in made:
            if spawn is None:
                folder.write_status(replace(folder.written_status(), owner=""))
            else:
                spawn(folder, None, settings)
    except BaseException:
        for folder in made:
            if _is_started(folder):
                stop_in_background(folder, "discard")
            else:
                shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return made


def make_ready(
    workspace: Workspace,
    plan: TrainPlan,
    settings: Settings,
    parent: Path,
    stop: threading.Event | None,
) -> RunFolder:
    """The run's whole folder within another one, under a name that nobody looks at yet.

    Raises QeuError where it cannot be written, `Stopped` when `stop` is set; nothing stays then.
    """
    # a number of its own, too: two pages of one process may start at the same moment
    folder = create_run(parent, f".making-{uuid4().hex[:8]}-{os.getpid()}")
    try:
        freeze_records(folder, workspace, plan.order, plan.train_ids, plan.watched_ids, stop)
        passport = make_passport(folder, plan, settings)
        if wrong := passport.problems():
            raise QeuError(" ".join(wrong))
        status = RunStatus(order=now(), owner=my_owner(), steps=passport.training.steps)
        folder.write_status(status)
        write_passport(folder, passport)
    except OSError as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise QeuError(
            f"The run's folder in {parent} cannot be written ({error.strerror}). "
            "Make room or choose another folder in QEU_ADAPTERS."
        ) from error
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _publish(folder: RunFolder, name: str) -> RunFolder:
    """The folder under its name: a folder that is listed is complete."""
    path = folder.path.with_name(name)
    try:
        # fails for a folder that has anything in it, so of two at one moment only one comes through
        folder.path.rename(path)
    except OSError as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise QeuError(
            f"The name {name!r} is taken in {path.parent}. Choose another, or delete that adapter."
        ) from error
    return RunFolder(path)


def make_passport(folder: RunFolder, plan: TrainPlan, settings: Settings) -> RunPassport:
    """The passport of a planned run whose records are frozen in the folder: nothing is open."""
    order = plan.order
    card = find_model(order.base)
    weights = find_base(card, settings.cache_dir)
    data_hash, records = hash_frozen(folder.frozen(TRAIN))
    validation_hash, watched = hash_frozen(folder.frozen(VALIDATION))
    return replace(
        order.passport(records),
        # found again from any folder; a name of the table or the Hub stays as it is
        base=str(Path(card.path).expanduser().absolute()) if card.path else order.base,
        created=now(),
        base_revision=base_revision(weights),
        data_hash=data_hash,
        validation_records=watched,
        validation_hash=validation_hash,
        tokenizer_hash=hash_tokenizer(weights),
        layout_hash=hash_layout(order.variant.layout, order.variant.target),
        # without the build ("+cpu"), which differs between machines
        versions={"qeu": qeu.__version__}
        | {package: version(package).partition("+")[0] for package in _PACKAGES},
    )


def _is_started(folder: RunFolder) -> bool:
    """Whether a process other than ours has the run."""
    try:
        return folder.written_status().owner not in ("", my_owner())
    except QeuError:
        return False


def _sweep(adapters: Path) -> None:
    """Take away what processes that are gone have left half made or half removed."""
    for path in adapters.iterdir() if adapters.is_dir() else ():
        number = path.name.rpartition("-")[2]
        if (
            path.name.startswith(_UNREADY)
            and number.isdigit()
            and not psutil.pid_exists(int(number))
        ):
            shutil.rmtree(path, ignore_errors=True)
