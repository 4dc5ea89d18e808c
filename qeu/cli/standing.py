"""`status`: where you stand in the loop, in numbers, and the next sensible step."""

import argparse
import os

from qeu.cli.screen import show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.settings import Settings

# What to type for each step that the service names.
NEXT = {
    "import": "python -m qeu data import FILE --dataset NAME",
    "review": "python -m qeu jobs, then python -m qeu ensemble JOB --accept",
    "watch_run": "python -m qeu runs",
    "watch_job": "python -m qeu jobs",
    "generate": "python -m qeu generate NAME --model MODEL --target reasoning",
    "train": "python -m qeu train --dataset NAME --base MODEL --name RUN",
    "evaluate": "python -m qeu evaluate --help",
    "vote": "python -m qeu vote --help",
    "improve": "python -m qeu data stats NAME",
}
_ROWS = (
    ("records", "records"),
    ("without_reasoning", "  without reasoning"),
    ("open_jobs", "bulk jobs going on"),
    ("waiting", "to review"),
    ("accepted", "accepted"),
    ("runs", "training runs"),
    ("open_runs", "  going on"),
    ("adapters", "adapters"),
    ("votes", "votes"),
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "status",
        help="where you stand in the loop, and the next step",
        description="Count records, texts to review, accepted ones, runs, adapters and votes.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_status)


def run_status(args: argparse.Namespace) -> int:
    """Print the numbers; makes no workspace where there is none."""
    # here and not above: the help of every command waits for what stands above
    from qeu.services.standing import read_standing

    with open_workspace() as workspace:
        standing = read_standing(workspace, Settings.from_env(os.environ).adapters)
    found = standing.to_json()
    if args.json:
        show_json(found)
        return 0
    show(table([[label, f"{found[name]:,}"] for name, label in _ROWS]))
    show(f"next: {NEXT[standing.next_step().name]}")
    return 0
