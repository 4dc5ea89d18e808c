"""Run a sweep that was ordered in a terminal: its progress, its figures, going on after Ctrl-C."""

import argparse
import threading
from typing import TYPE_CHECKING

from qeu.cli.loading import INTERRUPTED, run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show_json
from qeu.cli.sweep_view import show_sweep, write_csv

if TYPE_CHECKING:
    from qeu.backends.engines import Engines
    from qeu.services.sweep import SweepProgress
    from qeu.services.sweep_result import Sweep
    from qeu.store.workspace import Workspace


def work_on(
    args: argparse.Namespace,
    workspace: "Workspace",
    engines: "Engines",
    number: int,
    model: str,
) -> int:
    """Run a sweep that was ordered, and show it; Ctrl-C keeps what was made."""
    from qeu.services.sweep import run_sweep

    line = ProgressLine(quiet=args.json)

    def tell(progress: "SweepProgress") -> None:
        line.draw(
            f"{progress.done:,} of {progress.total:,} texts, "
            f"{progress.cells_done:,} of {progress.cells:,} cells"
        )

    def work(stop: threading.Event) -> "Sweep | None":
        load = told_load(line, model)
        return run_sweep(engines, workspace, number, progress=tell, stop=stop, on_load=load)

    found, _ = run_stoppable(work)
    line.clear()
    if found is None:
        say(
            f"Stopped. What was written is kept: the same command, or `sweep resume {number}`, "
            "goes on."
        )
        return INTERRUPTED
    write_csv(args.csv, found)
    if args.json:
        show_json(found.to_json())
    else:
        show_sweep(args, found)
    return 0
