"""`history`: comparisons that were run, searched, shown and taken away."""

import argparse
from typing import TYPE_CHECKING

from qeu.cli.screen import show, show_json, table
from qeu.cli.sides import show_sides
from qeu.cli.workspace import open_workspace
from qeu.core.errors import UsageError
from qeu.core.text import one_line

if TYPE_CHECKING:
    from qeu.store.history import StoredComparison

SHAPES = ("text", "json", "python", "command")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "history",
        help="search earlier comparisons, show one, take one away",
        description="List earlier comparisons, newest first. A term finds any part of question, "
        "texts and model names, in upper or lower case.",
        allow_abbrev=False,
    )
    parser.add_argument("term", nargs="?", default="", help="text to search for")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N (default 20)")
    parser.add_argument("--id", type=int, metavar="N", help="show this one instead of a list")
    parser.add_argument(
        "--as",
        dest="shape",
        choices=SHAPES,
        default="text",
        help="with --id: as text to read, as a JSON file, as Python or as a command that runs it "
        "again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_history)


def run_history(args: argparse.Namespace) -> int:
    """Print the list, or one stored comparison."""
    # here and not above: the help of every command waits for what stands above
    from qeu.store.history import get_comparison, search_comparisons

    if args.limit < 1:
        raise UsageError(f"--limit is {args.limit}; choose 1 or more.")
    if args.shape != "text" and args.id is None:
        raise UsageError("--as needs --id N: the number of a comparison in the list.")
    with open_workspace() as workspace:
        if args.id is not None:
            _show_one(get_comparison(workspace, args.id), "json-line" if args.json else args.shape)
            return 0
        found = search_comparisons(workspace, args.term, limit=args.limit)
    if args.json:
        show_json({"runs": [stored.to_json() for stored in found]})
    elif found:
        show(table([_row(stored) for stored in found]))
    else:
        show("Nothing found." if args.term else "There are no comparisons yet.")
    return 0


def _show_one(stored: "StoredComparison", shape: str) -> None:
    from qeu.services.compare import SIDES, Comparison
    from qeu.services.export import export_command, export_json, export_snippet

    if shape == "json-line":
        show_json(stored.to_json())
    elif shape == "json":
        show(export_json(stored))
    elif shape == "text":
        show(f"#{stored.id} · {stored.at}\n{stored.question}\n")
        show_sides({name: stored.results[name] for name in SIDES})  # type: ignore[misc]
    else:
        comparison = Comparison.from_json(stored.settings)
        if shape == "python":
            show(export_snippet(comparison, stored.results))  # type: ignore[arg-type]
        else:
            show(export_command(comparison))


def _row(stored: "StoredComparison") -> tuple[str, ...]:
    sides = []
    for side in stored.results.values():
        if isinstance(side, dict):
            sides.append(f"{side.get('model')} ({side.get('finish_reason')})")
    return (
        f"#{stored.id}",
        stored.at[:16].replace("T", " "),
        one_line(stored.question, 48),
        " | ".join(sides),
    )
