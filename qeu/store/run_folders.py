"""A training run's folder: the truth about it, whoever reads or writes it and whatever dies.

run.json (RunPassport), status.json (RunStatus), metrics.jsonl and samples.jsonl (core/run_metrics),
train.jsonl and validation.jsonl (the records as they were at the start), train.log, `stop` (a wish
to end), checkpoint-N (renamed into place when complete), and at the end the adapter's two files.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.core.run_metrics import RunMetrics, read_metrics
from qeu.core.run_passport import RunPassport
from qeu.core.run_status import OPEN_STATES, RunStatus
from qeu.store.owner import owner_lives

RUN, STATUS, METRICS, SAMPLES = "run.json", "status.json", "metrics.jsonl", "samples.jsonl"
TRAIN, VALIDATION, LOG, STOP = "train.jsonl", "validation.jsonl", "train.log", "stop"
STOP_WAYS = ("keep", "discard")


@dataclass(frozen=True)
class FrozenRecord:
    """A record as the run learns it; `other` is whose reasoning it gets, where shuffled."""

    record: Record
    other: Record | None = None


@dataclass(frozen=True)
class RunFolder:
    """One run; reading never needs its process."""

    path: Path

    @property
    def name(self) -> str:
        """The run's and its adapter's name."""
        return self.path.name

    def passport(self) -> RunPassport:
        """What the run was ordered to be; raises QeuError where it cannot be read."""
        return RunPassport.from_json(_read_object(self.path / RUN))

    def status(self) -> RunStatus:
        """Where it stands; an open run whose process is gone is "interrupted"."""
        status = self.written_status()
        if status.state in OPEN_STATES and status.owner and not owner_lives(status.owner):
            return replace(status, state="interrupted", left_s=None, phase="")
        return status

    def written_status(self) -> RunStatus:
        """The status as it was last written."""
        return RunStatus.from_json(_read_object(self.path / STATUS))

    def write_status(self, status: RunStatus) -> None:
        """Replace the status at once, with the time of now."""
        status = replace(status, updated=now())
        _write(self.path / STATUS, json.dumps(status.to_json(), indent=2) + "\n")

    def metrics(self, most: int = 0) -> RunMetrics:
        """All that was measured, of training steps about `most`; empty before the first step.

        0 reads every step, which takes half a second for 100,000 of them.
        """
        return read_metrics(_read_text(self.path / METRICS), most)

    def add_metric(self, kind: str, step: int, values: Mapping[str, object]) -> None:
        """Append one line; it is on the disk's way when this returns."""
        line = {"kind": kind, "step": step, "time": now(), **values}
        _append(self.path / METRICS, line)

    def samples(self) -> list[Mapping[str, object]]:
        """{"step", "samples": [...]} by step, each step as it was written last."""
        found: dict[int, Mapping[str, object]] = {}
        for row in _read_text(self.path / SAMPLES).split("\n"):
            try:
                line = json.loads(row) if row else None
            except ValueError:  # half a line, written when the power went
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                found[line["step"]] = line
        return [found[step] for step in sorted(found)]

    def add_samples(self, step: int, samples: list[Mapping[str, object]]) -> None:
        """Append the texts of one step."""
        _append(self.path / SAMPLES, {"step": step, "samples": samples})

    def freeze(self, file: str, records: Iterable[FrozenRecord]) -> None:
        """Write TRAIN or VALIDATION."""
        with (self.path / file).open("w", encoding="utf-8", errors="surrogatepass") as out:
            for one in records:
                values = {"record": one.record.to_json()}
                if one.other is not None:
                    values["other"] = one.other.to_json()
                out.write(json.dumps(values) + "\n")

    def frozen(self, file: str) -> Iterator[FrozenRecord]:
        """The records of TRAIN or VALIDATION; none where there is no such file."""
        path = self.path / file
        if not path.exists():
            return
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                values = json.loads(line)
                other = values.get("other")
                yield FrozenRecord(
                    Record.from_json(values["record"]), Record.from_json(other) if other else None
                )

    def ask_stop(self, way: str) -> None:
        """Wish it to end: "keep" what it has learned, or "discard" all of it."""
        assert way in STOP_WAYS, way
        _write(self.path / STOP, way)

    def wanted_stop(self) -> str:
        """The wish, one of STOP_WAYS; "" where there is none."""
        way = _read_text(self.path / STOP).strip()
        return way if way in STOP_WAYS else ""

    def forget_stop(self) -> None:
        """The wish is done with."""
        (self.path / STOP).unlink(missing_ok=True)

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(step, folder) of every complete checkpoint, in order."""
        found = []
        for path in self.path.glob("checkpoint-*"):
            digits = path.name.rpartition("-")[2]
            if path.is_dir() and digits.isascii() and digits.isdigit():
                found.append((int(digits), path))
        return sorted(found)

    def log_tail(self, characters: int = 4_000) -> str:
        """The end of train.log."""
        try:
            with (self.path / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * characters))
                return file.read().decode("utf-8", "replace")[-characters:]
        except FileNotFoundError:
            return ""

    def remove(self) -> None:
        """Delete the folder: out of sight by one rename first, so that never half of it stays."""
        away = self.path.with_name(f".removed-{self.path.name}-{os.getpid()}")
        self.path.rename(away)
        shutil.rmtree(away)


def create_run(adapters: Path, name: str) -> RunFolder:
    """A new, empty folder for a run; raises QeuError where the name is taken."""
    path = adapters / name
    adapters.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        raise QeuError(
            f"The name {name!r} is taken in {adapters}. Choose another, or delete that adapter."
        ) from None
    return RunFolder(path)


def find_run(adapters: Path, name: str) -> RunFolder:
    """The run of this name; raises QeuError naming those that there are."""
    plain = bool(name) and not set(name) & set("/\\\0") and not name.startswith(".")
    if plain and (adapters / name / RUN).is_file():
        return RunFolder(adapters / name)
    names = ", ".join(run.name for run in list_runs(adapters)) or "none"
    raise QeuError(f"There is no run {name[:200]!r}. There are: {names}.")


def list_runs(adapters: Path) -> list[RunFolder]:
    """All runs with a passport, by name; adapters that came without one are none."""
    if not adapters.is_dir():
        return []
    paths = (path for path in adapters.iterdir() if not path.name.startswith("."))
    return [RunFolder(path) for path in sorted(paths) if (path / RUN).is_file()]


def write_passport(folder: RunFolder, passport: RunPassport) -> None:
    """Write run.json at once."""
    text = json.dumps(passport.to_json(), indent=2, ensure_ascii=False) + "\n"
    _write(folder.path / RUN, text)


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_object(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise QeuError(f"{path.parent.name} has no {path.name}: it is no run of this program, "
                       "or one that was being made when the program ended.") from None  # fmt: skip
    except (OSError, ValueError, RecursionError) as e:
        raise QeuError(f"{path.name} of {path.parent.name} cannot be read ({e}).") from e
    if not isinstance(found, dict):
        raise QeuError(f"{path.name} of {path.parent.name} is not an object.")
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _append(path: Path, line: Mapping[str, object]) -> None:
    # one write of one line: a reader sees it whole or not at all. Behind half a line that a crash
    # left, the new one begins on its own
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            broken = file.read(1) != b"\n"
        else:
            broken = False
        text = json.dumps(line, separators=(",", ":")) + "\n"
        file.write(("\n" * broken + text).encode())


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(text, "utf-8", "surrogatepass")
    temporary.replace(path)
