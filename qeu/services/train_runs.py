"""The runs that there are, each as one row; compare them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.run_metrics import MOST_READ
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.core.twins import describe_variant
from qeu.services.train_order import TrainOrder
from qeu.services.train_resume import can_resume, resume_point
from qeu.store.run_folders import METRICS, STATUS, RunFolder, find_run, list_runs

UNREADABLE = "unreadable"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
# Different in every run, and no setting.
_NO_SETTING = ("name", "created", "twins")


@dataclass(frozen=True)
class RunCard:
    """A run as a person sees it; losses are None where none was measured, times in seconds.

    `variant` says in words what is learned. `best_step` had the lowest validation loss.
    """

    name: str
    state: str
    order: str = ""
    base: str = ""
    dataset: str = ""
    variant: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    phase: str = ""
    train_loss: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    best_step: int = 0
    has_adapter: bool = False
    kept_step: int = 0
    trouble: str = ""
    message: str = ""
    advice: str = ""
    can_resume: bool = False
    is_open: bool = False

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side: `differing` {"setting", "values": one a run, None where it has none}."""

    cards: tuple[RunCard, ...]
    differing: tuple[Mapping[str, object], ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "runs": [card.to_json() for card in self.cards],
            "differing": [dict(one) for one in self.differing],
        }


def list_run_cards(adapters: Path) -> list[RunCard]:
    """All runs, the one that was ordered last first; one that cannot be read says so."""
    cards = [run_card(folder) for folder in list_runs(adapters)]
    # one that was deleted while we looked is not damaged
    cards = [card for card in cards if card.state != UNREADABLE or (adapters / card.name).is_dir()]
    return sorted(cards, key=lambda card: (card.order, card.name), reverse=True)


def run_card(folder: RunFolder) -> RunCard:
    """One run as a row."""
    try:
        passport, status = folder.passport(), read_status(folder)
        _check(folder, passport, status)
    except QeuError as error:
        return RunCard(
            folder.name, UNREADABLE, has_adapter=_has_adapter(folder.path), message=str(error)
        )
    return RunCard(
        name=folder.name,
        state=status.state,
        order=status.order or passport.created,
        base=passport.base,
        dataset=passport.dataset,
        variant=describe_variant(TrainOrder.from_passport(passport).variant),
        step=status.step,
        steps=status.steps or passport.training.steps,
        seconds=status.seconds,
        left_s=status.left_s,
        phase=status.phase,
        has_adapter=_has_adapter(folder.path),
        kept_step=status.kept_step,
        trouble=status.trouble,
        message=status.message,
        advice=status.advice,
        can_resume=can_resume(status),
        is_open=status.is_open,
        **_figures(folder),  # type: ignore[arg-type]
    )


def _check(folder: RunFolder, passport: RunPassport, status: RunStatus) -> None:
    """Raise QeuError where somebody has written into the files what is no setting or no number."""
    try:
        wrong = passport.problems()
    except TypeError as error:
        wrong = [f"run.json of {folder.name} cannot be read ({error})."]
    numbers = (status.step, status.steps, status.seconds, status.kept_step, status.left_s or 0)
    if not all(isinstance(number, int | float) for number in numbers):
        wrong.append(f"status.json of {folder.name} has a text where a number belongs.")
    if wrong:
        raise QeuError(" ".join(wrong))


def compare_runs(adapters: Path, names: Sequence[str]) -> RunComparison:
    """The settings in which runs differ, and how they stand; raises QeuError for an unknown one."""
    folders = [find_run(adapters, name) for name in dict.fromkeys(names)]
    if len(folders) < 2:
        raise QeuError("Comparing needs two runs or more. Name another one.")
    differing = differing_settings([folder.passport() for folder in folders])
    return RunComparison(tuple(map(run_card, folders)), tuple(differing))


def differing_settings(passports: Sequence[RunPassport]) -> list[Mapping[str, object]]:
    """{"setting", "values": one a run, None where it has none} of all that is not the same."""
    settings = [_flat(passport) for passport in passports]
    keys = dict.fromkeys(key for one in settings for key in one)
    differing: list[Mapping[str, object]] = []
    for key in keys:
        values = [one.get(key) for one in settings]
        if any(value != values[0] for value in values):
            differing.append({"setting": key, "values": values})
    return differing


def order_of_run(adapters: Path, name: str) -> TrainOrder:
    """What was ordered then, to be ordered again under another name."""
    return TrainOrder.from_passport(find_run(adapters, name).passport())


def read_status(folder: RunFolder) -> RunStatus:
    """The status, with what can be said of a run that could not say it itself."""
    return _with_reason(folder, _status(folder))


def _status(folder: RunFolder) -> RunStatus:
    """The status; an adapter that came with its run.json alone is a run that has finished."""
    if not (folder.path / STATUS).exists() and _has_adapter(folder.path):
        steps = folder.passport().training.steps
        return RunStatus("finished", step=steps, steps=steps, has_adapter=True, kept_step=steps)
    return folder.status()


def _with_reason(folder: RunFolder, status: RunStatus) -> RunStatus:
    """An interrupted run with what can be said and done about it: it could not say so itself."""
    if status.state == "queued" and not status.owner:
        message, advice = "It was made ready and never started.", "Resume starts it."
    elif status.state != "interrupted" or status.message:
        return status
    else:
        message = "Its process ended without a word: it was killed, or the machine stopped."
        point = resume_point(folder)
        advice = (
            f"Resume goes on from {point}." if point else "Resume begins again at the first step."
        )
    return replace(status, message=message, advice=advice)


def _figures(folder: RunFolder) -> dict[str, object]:
    """Losses by the names of a card's fields."""
    try:
        stat = (folder.path / METRICS).stat()
        return _figures_of_version(folder, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        return {}


@lru_cache(maxsize=256)
def _figures_of_version(folder: RunFolder, size: int, mtime_ns: int) -> dict[str, object]:
    """The same; a list that is looked at every second reads only what has grown."""
    metrics = folder.metrics(MOST_READ)
    train = metrics.curve("train", "loss")
    validation = metrics.curve("validation", "loss")
    found: dict[str, object] = {}
    if train:
        found["train_loss"] = train[-1][1]
    if validation:
        found["validation_loss"] = validation[-1][1]
    # step 0 is the base: it was not learned
    if learned := [(loss, step) for step, loss in validation if step]:
        found["best_validation_loss"], found["best_step"] = min(learned)
    return found


def _flat(passport: RunPassport) -> dict[str, object]:
    """Settings by dotted names, as plain values."""
    found: dict[str, object] = {}
    for name, value in passport.to_json().items():
        if name in _NO_SETTING:
            continue
        if isinstance(value, dict):
            found |= {f"{name}.{key}": one for key, one in value.items()}
        else:
            found[name] = value
    return json.loads(json.dumps(found))


def _has_adapter(path: Path) -> bool:
    return all((path / name).is_file() for name in _ADAPTER)
