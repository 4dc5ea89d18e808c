"""Follow runs until they end: progress as a line, or metrics as JSON; Ctrl-C stops and keeps."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from qeu.core.run_status import RunStatus
    from qeu.store.run_folders import RunFolder

_LOOK_S = 0.3


@dataclass
class _Followed:
    """A run, how far its metrics were read (in bytes), and the last loss that was seen."""

    folder: "RunFolder"
    read: int = 0
    loss: float | None = None
    gone: bool = False
    status: "RunStatus | None" = field(default=None)

    @property
    def is_open(self) -> bool:
        return not self.gone and (self.status is None or self.status.is_open)

    def look(self) -> Iterator[dict[str, object]]:
        """Read the status, and the lines of metrics that were added since."""
        from qeu.store.run_folders import METRICS

        try:
            # before the metrics: who has ended writes none any more
            self.status = self.folder.status()
            with (self.folder.path / METRICS).open("rb") as file:
                file.seek(self.read)
                added = file.read()
        except FileNotFoundError:
            return
        except QeuError:
            self.gone = True  # it was discarded
            return
        whole = added[: added.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue  # half a line, written when the power went
            if values.get("kind") == "train":
                self.loss = values.get("loss")
            yield values


def follow_runs(
    folders: Sequence["RunFolder"], args: argparse.Namespace, line: ProgressLine
) -> int:
    """Wait until all have ended; 0 where all finished, else 1.

    The first Ctrl-C asks them to stop and keep, and waits; the second leaves them to their
    processes, which go on stopping. Both raise KeyboardInterrupt at the end.
    """
    from qeu.services.train_stop import stop_in_background

    runs = [_Followed(folder) for folder in folders]
    asked = False
    while True:
        try:
            for run in runs:
                _tell(run, args, line)
            sys.stdout.flush()  # who reads a pipe would see nothing until the end
            if not any(run.is_open for run in runs):
                break
            time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            line.clear()
            names = ", ".join(run.folder.name for run in runs if run.is_open)
            if asked:
                say(f"Left to its own process: {names}. `python -m qeu runs` says how it stands.")
                raise
            asked = True
            say(f"Stopping and keeping what was learned: {names}. Ctrl-C again does not wait.")
            for run in runs:
                _ask(run, stop_in_background)
    line.clear()
    failed = [_tell_end(run, args) for run in runs]
    if asked:
        raise KeyboardInterrupt
    return 1 if any(failed) else 0


def _ask(run: _Followed, stop_in_background: "object") -> None:
    try:
        if run.is_open:
            stop_in_background(run.folder, "keep")  # type: ignore[operator]
    except QeuError:
        return  # it ended by itself just now


def _tell(run: _Followed, args: argparse.Namespace, line: ProgressLine) -> None:
    for values in run.look():
        if args.json:
            show_json({"run": run.folder.name, **values})
    status = run.status
    if status is None or not run.is_open:
        return
    parts = [f"{run.folder.name}: {status.phase or status.state}"]
    if status.step or status.state == "running":
        parts.append(f"step {status.step:,} of {status.steps:,}")
    if run.loss is not None:
        parts.append(f"loss {run.loss:.3f}")
    if status.left_s is not None:
        parts.append(f"{say_time(status.left_s)} left")
    line.draw(", ".join(parts))
    line.log(run.folder.name, f"{run.folder.name}: {status.state}", brief=True)


def _tell_end(run: _Followed, args: argparse.Namespace) -> bool:
    """Say how a run ended; whether it did not finish."""
    from qeu.services.train_runs import run_card

    name, status = run.folder.name, run.status
    if run.gone or status is None:
        say(f"The run {name!r} was discarded.")
        return True
    card = run_card(run.folder)
    if args.json:
        show_json({"run": name, "kind": "status", **status.to_json()})
    else:
        show(f"{name}: {card.state} at step {card.step:,} of {card.steps:,}")
        losses = (
            ("train loss", card.train_loss), ("validation loss", card.validation_loss),
            ("best validation loss", card.best_validation_loss),
        )  # fmt: skip
        for words, loss in losses:
            if loss is not None:
                show(f"  {words} {loss:.4f}")
        if card.has_adapter:
            show(f"  ask it as {card.base}@{name}")
    if card.state == "finished":
        return False
    say(f"{name}: {card.message or f'{card.state}.'} {card.advice}".rstrip())
    return True


def say_time(seconds: float) -> str:
    """A time as a person says it: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
