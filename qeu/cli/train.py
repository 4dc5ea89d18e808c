"""`train`: train an adapter and wait for it; --dry-run only says what a run would learn."""

import argparse
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import add_json, told
from qeu.cli.loading import run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.cli.train_options import add_options, read_order, save_settings
from qeu.cli.train_view import show_plan
from qeu.cli.train_watch import follow_runs
from qeu.cli.workspace import open_workspace
from qeu.core.errors import UsageError
from qeu.core.settings import Settings
from qeu.core.twins import KIND_WORDS, TWIN_KINDS, twin_problems

if TYPE_CHECKING:
    from qeu.services.train_order import TrainOrder
    from qeu.services.train_plan import TrainPlan
    from qeu.services.train_probe_run import ProbeResult
    from qeu.store.run_folders import RunFolder
    from qeu.store.workspace import Workspace


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "train",
        help="train an adapter on a data set; --dry-run says what it would learn",
        description="Train an adapter in a process of its own and wait for it. Ctrl-C stops the "
        "run and keeps what it has learned; a second one leaves it to its process. "
        "--json prints one object a line of metrics, and the status at the end. With --dry-run "
        "nothing is trained: examples, tokens by field, what is left out and why, what each "
        "length cuts, steps, time, memory and disk; the exit status is 1 where the plan has "
        "problems.",
        allow_abbrev=False,
    )
    add_options(parser)
    group = parser.add_argument_group("what is done")
    group.add_argument("--dry-run", action="store_true", help="only make the plan")
    probe = "with --dry-run: try one step on the longest batch, for time and memory"
    group.add_argument("--probe", action="store_true", help=probe)
    group.add_argument("--detach", action="store_true", help="start it and do not wait")
    prepare = "make its folder, and print how to start it on several GPUs"
    group.add_argument("--prepare", action="store_true", help=prepare)
    group.add_argument("--save-settings", type=Path, metavar="FILE",
                       help="write the settings as YAML first")  # fmt: skip
    kinds = "; ".join(f"{kind}: {words}" for kind, words in KIND_WORDS.items())
    group.add_argument("--twins", type=_names, metavar="A,B",
                       help=f"one run each over the same records: {kinds}")  # fmt: skip
    group.add_argument("--seeds", type=_numbers, metavar="N,N", default=(0,),
                       help="each of the twins with each of these seeds (0)")  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Plan or train; 1 where the plan has problems or a run did not finish."""
    order = read_order(args)
    if args.twins is not None and (wrong := twin_problems(args.twins, args.seeds)):
        raise UsageError(" ".join(wrong))
    if args.probe and not args.dry_run:
        raise UsageError("--probe belongs to --dry-run; the run itself begins with such a step.")
    if args.save_settings:
        save_settings(order, args.save_settings)
        say(f"Settings written to {args.save_settings}")
    line = ProgressLine(quiet=args.json)
    if args.dry_run:
        return _run_dry(args, order, line)
    with open_workspace() as workspace:
        folders, _ = run_stoppable(lambda stop: _start(args, workspace, order, line, stop))
    line.clear()
    if args.prepare or args.detach:
        _tell_started(args, folders)
        return 0
    return follow_runs(folders, args, line)


def _run_dry(args: argparse.Namespace, order: "TrainOrder", line: ProgressLine) -> int:
    with open_workspace() as workspace:
        plans, _ = run_stoppable(lambda stop: _plan(args, workspace, order, line, stop))
        probe = None
        if args.probe and not plans[0].problems:
            line.log("probe", "trying one step on the longest batch")
            (plans[0], probe), _ = run_stoppable(lambda stop: _probe(workspace, plans[0], stop))
    line.clear()
    if args.json:
        found = [plan.to_json() for plan in plans]
        known = {"twins": found} if args.twins else found[0]
        show_json(known | ({"probe": probe.to_json()} if probe else {}))
    else:
        for plan in plans:
            show_plan(plan)
        if probe:
            show(f"probe: {probe.verdict}")
    problems = list(dict.fromkeys(p for plan in plans for p in plan.problems))
    if not args.json:
        for problem in problems:
            say(problem)
    return 1 if problems or (probe and not probe.fits) else 0


def _probe(
    workspace: "Workspace", plan: "TrainPlan", stop: threading.Event
) -> "tuple[TrainPlan, ProbeResult]":
    from qeu.services.train_try import try_step

    return try_step(workspace, plan, Settings.from_env(os.environ), stop)


def _plan(
    args: argparse.Namespace,
    workspace: "Workspace",
    order: "TrainOrder",
    line: ProgressLine,
    stop: threading.Event,
) -> "list[TrainPlan]":
    from qeu.services.train_plan import plan_order
    from qeu.services.train_start import plan_twins

    how = (Settings.from_env(os.environ), told(line), stop, told_load(line, order.base))
    if args.twins:
        return plan_twins(workspace, order, args.twins, args.seeds, *how)
    return [plan_order(workspace, order, *how)]


def _start(
    args: argparse.Namespace,
    workspace: "Workspace",
    order: "TrainOrder",
    line: ProgressLine,
    stop: threading.Event,
) -> "list[RunFolder]":
    from qeu.services.train_spawn import spawn_worker
    from qeu.services.train_start import start_run, start_twins

    settings = Settings.from_env(os.environ)
    more = {
        "on_progress": told(line),
        "stop": stop,
        "on_fetch": told_load(line, order.base),
        "spawn": None if args.prepare else spawn_worker,
    }
    if args.twins:
        return start_twins(workspace, order, args.twins, args.seeds, settings, **more)  # type: ignore[arg-type]
    return [start_run(workspace, order, settings, **more)]  # type: ignore[arg-type]


def _tell_started(args: argparse.Namespace, folders: "Sequence[RunFolder]") -> None:
    """Where the runs are, and how they are started where they were only made ready."""
    from qeu.services.train_spawn import accelerate_command

    for folder in folders:
        command = accelerate_command(folder, 2) if args.prepare else ""
        if args.json:
            known = {"run": folder.name, "folder": str(folder.path)}
            show_json(known | ({"command": command} if command else {}))
        else:
            show(command or f"{folder.name}: started. `python -m qeu runs show {folder.name}`")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in _names(text))


_numbers.__name__ = "whole numbers"  # argparse names it when it refuses a value
_names.__name__ = f"kinds ({', '.join(TWIN_KINDS)})"
