"""What the page reads of runs' folders: kept until a file changes, and thinned out for a screen."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.run_metrics import MOST_READ, TRAIN_VALUES, RunMetrics, thin_out
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.services.train_runs import read_status
from qeu.store.run_folders import METRICS, SAMPLES, RunFolder

RATES = ("contract", "leak", "closed", "loop")
LOSSES = ("loss", "reasoning_loss", "answer_loss")
MOST_POINTS = 400
MOST_KEPT = 16
# A file that took long to read is not read again before so many times that time has passed.
REST = 15

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class RunCurves:
    """All curves of a run by (kind, name), of MOST_POINTS at most; rates go from 0 to 1."""

    points: Mapping[tuple[str, str], Points] = field(default_factory=dict)

    def of(self, kind: str, name: str) -> Points:
        """One curve; empty where nothing was measured."""
        return self.points.get((kind, name), [])

    def last(self, kind: str, name: str) -> float | None:
        """The last value of a curve."""
        found = self.of(kind, name)
        return found[-1][1] if found else None

    def first(self, kind: str, name: str) -> float | None:
        """The first value, which for what is watched is the base's own."""
        found = self.of(kind, name)
        return found[0][1] if found else None


@dataclass(frozen=True)
class RunView:
    """A run as it stands; `passport` None where it cannot be read, which `problem` tells."""

    folder: RunFolder
    status: RunStatus
    passport: RunPassport | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The run's and its adapter's name."""
        return self.folder.name

    @property
    def ordered(self) -> str:
        """When it was ordered, ISO 8601."""
        return self.status.order or (self.passport.created if self.passport else "")

    @property
    def base(self) -> str:
        """The model that learned; "" where it is not known."""
        return self.passport.base if self.passport else ""


def read_run(folder: RunFolder) -> RunView:
    """A run's state and passport; what cannot be read is told and stops nothing."""
    problem = ""
    passport, status = None, RunStatus("failed")
    try:
        passport = folder.passport()
        status = read_status(folder)
    except QeuError as error:
        problem = str(error)
    return RunView(folder, status, passport, problem)


def make_curves(metrics: RunMetrics) -> RunCurves:
    """Every curve that a run measured."""
    found: dict[tuple[str, str], Points] = {}
    for kind, names in (("train", TRAIN_VALUES), ("validation", LOSSES)):
        for name in names:
            whole = [(s, v) for s, v in metrics.curve(kind, name) if math.isfinite(v)]
            found[kind, name] = thin_out(whole, MOST_POINTS)
    for name in RATES:
        rates = [(line["step"], _share(line.get(name))) for line in metrics.of("samples")]
        known = [(step, share) for step, share in rates if share is not None]
        found["samples", name] = thin_out(known, MOST_POINTS)  # type: ignore[arg-type]
    return RunCurves({key: points for key, points in found.items() if points})


def _share(value: object) -> float | None:
    if not isinstance(value, Mapping) or not value.get("of"):
        return None
    return value.get("count", 0) / value["of"]


@dataclass
class _Kept:
    mark: tuple[int, int]
    value: object
    again_at: float


class RunReader:
    """Reads metrics and samples once for all open pages; asks the disk only for size and time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def curves(self, folder: RunFolder) -> RunCurves:
        """The curves of a run."""
        found = self._read(folder, METRICS, lambda: make_curves(folder.metrics(MOST_READ)))
        assert isinstance(found, RunCurves)
        return found

    def samples(self, folder: RunFolder) -> list[Mapping[str, object]]:
        """The samples of a run, by step."""
        found = self._read(folder, SAMPLES, folder.samples)
        assert isinstance(found, list)
        return found

    def _read(self, folder: RunFolder, file: str, read: Callable[[], object]) -> object:
        path = folder.path / file
        key, mark = (str(path), file), _mark(path)
        # one reader at a time: pages that ask together get what the first of them read
        with self._lock:
            kept = self._kept.get(key)
            if kept and (kept.mark == mark or time.monotonic() < kept.again_at):
                self._kept.move_to_end(key)
                return kept.value
            start = time.monotonic()
            value = read()
            end = time.monotonic()
            self._kept[key] = _Kept(mark, value, end + REST * (end - start))
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return value


def _mark(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (-1, -1)
    return found.st_size, found.st_mtime_ns
