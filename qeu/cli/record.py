"""`record`: keep a comparison that was run as an exhibit for people who cannot run it."""

import argparse
from pathlib import Path

from qeu.cli.screen import say, show_json
from qeu.cli.workspace import open_workspace


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "record",
        help="record a comparison of the history as an exhibit that travels with the data",
        description="Append a comparison that really ran, with its models, receipts, texts and "
        "checks, to a file of recorded runs. Keys and paths of this machine are left out. The page "
        "shows data/exhibits.jsonl.",
        allow_abbrev=False,
    )
    parser.add_argument("number", type=int, metavar="N", help="its number in `history`")
    parser.add_argument("--note", default="", metavar="TEXT", help="what is to be seen in it")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="file of recorded runs (data/exhibits.jsonl)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_record)


def run_record(args: argparse.Namespace) -> int:
    """Record it and say where."""
    # here and not above: the help of every command waits for what stands above
    from qeu.services.exhibits import EXHIBITS_FILE, add_exhibit, make_exhibit
    from qeu.store.history import get_comparison

    with open_workspace() as workspace:
        stored = get_comparison(workspace, args.number)
    exhibit = make_exhibit(stored, args.note)
    file = args.to or EXHIBITS_FILE
    add_exhibit(file, exhibit)
    if args.json:
        show_json(exhibit.to_json())
    else:
        say(f"Run {args.number} ({', '.join(exhibit.models)}) is recorded in {file}.")
    return 0
