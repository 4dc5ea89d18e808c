"""`runs`: what training runs there are and how they stand; log, stop, resume, delete, compare."""

import argparse
import os
from dataclasses import fields

from qeu.cli.data_arguments import add_json
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.cli.train_watch import follow_runs, say_time
from qeu.core.errors import UsageError
from qeu.core.settings import Settings
from qeu.core.text import one_line

_ACTIONS = {
    "show": "how one run stands, what it learned, and the command that orders it again",
    "log": "the end of what its process and its libraries said",
    "stop": "stop a run and keep what it has learned; --discard removes it",
    "resume": "go on with a run that was stopped, failed or interrupted, and wait for it",
    "delete": "remove a run with its adapter; needs --yes",
}
_LOG_CHARACTERS = 20_000


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "runs", help="training runs: list, show, log, stop, resume, delete, compare",
        description="List the training runs, the one that was ordered last first.",
        allow_abbrev=False,
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=_run_list)
    parts = parser.add_subparsers(metavar="ACTION")
    for name, text in _ACTIONS.items():
        part = parts.add_parser(name, help=text, description=text, allow_abbrev=False)
        part.add_argument("name", metavar="NAME", help="name of the run")
        add_json(part)
        part.set_defaults(run=globals()[f"_run_{name}"])
        if name == "stop":
            part.add_argument("--discard", action="store_true", help="keep nothing of it")
        if name == "resume":
            part.add_argument("--detach", action="store_true", help="start it and do not wait")
        if name == "delete":
            part.add_argument("--yes", action="store_true", help="really delete it")
    text = "the settings in which runs differ, and how each stands"
    part = parts.add_parser("compare", help=text, description=text, allow_abbrev=False)
    part.add_argument("names", metavar="NAME", nargs="+", help="names of two runs or more")
    add_json(part)
    part.set_defaults(run=_run_compare)


def _run_list(args: argparse.Namespace) -> int:
    from qeu.services.train_runs import list_run_cards

    cards = list_run_cards(_settings().adapters)
    if args.json:
        show_json({"runs": [card.to_json() for card in cards]})
        return 0
    head = ("run", "state", "step", "loss", "validation", "base", "data set", "learns", "")
    rows = [
        (
            card.name, card.state, f"{card.step:,}/{card.steps:,}", _number(card.train_loss),
            _number(card.best_validation_loss), card.base, card.dataset, card.variant,
            f"{say_time(card.left_s)} left" if card.left_s else one_line(card.message, 60),
        )
        for card in cards
    ]  # fmt: skip
    if rows:
        show(table([head, *rows]))
    else:
        say("There are no runs yet; `train` makes one.")
    return 0


def _run_show(args: argparse.Namespace) -> int:
    from qeu.services.train_command import to_command
    from qeu.services.train_runs import UNREADABLE, order_of_run, run_card
    from qeu.store.run_folders import find_run

    card = run_card(find_run(_settings().adapters, args.name))
    known = card.to_json() | {"command": ""}
    if card.state != UNREADABLE:
        known["command"] = to_command(order_of_run(_settings().adapters, args.name))
    if args.json:
        show_json(known)
    else:
        shown = [(f.name, _text(known[f.name])) for f in fields(card)]
        show(table([pair for pair in shown if pair[1]]))
        show(f"\n{known['command']}")
    return 0


def _run_log(args: argparse.Namespace) -> int:
    from qeu.store.run_folders import find_run

    text = find_run(_settings().adapters, args.name).log_tail(_LOG_CHARACTERS)
    if args.json:
        show_json({"run": args.name, "log": text})
    else:
        show(text.rstrip("\n"))
    return 0


def _run_stop(args: argparse.Namespace) -> int:
    from qeu.services.train_stop import stop_run
    from qeu.store.run_folders import find_run

    folder = find_run(_settings().adapters, args.name)
    say("Stopping …")
    status = stop_run(folder, "discard" if args.discard else "keep")
    if args.json:
        show_json({"run": args.name, "discarded": status is None}
                  | (status.to_json() if status else {}))  # fmt: skip
    elif status is None:
        show(f"{args.name}: discarded")
    else:
        show(f"{args.name}: {status.state} at step {status.step:,} of {status.steps:,}")
    return 0


def _run_resume(args: argparse.Namespace) -> int:
    from qeu.services.train_resume import resume_run

    settings = _settings()
    folder = resume_run(settings.adapters, args.name, settings)
    if not args.detach:
        return follow_runs([folder], args, ProgressLine(quiet=args.json))
    if args.json:
        show_json({"run": folder.name, "folder": str(folder.path)})
    else:
        show(f"{folder.name}: started again. `python -m qeu runs show {folder.name}`")
    return 0


def _run_delete(args: argparse.Namespace) -> int:
    from qeu.services.adapter_delete import delete_adapter
    from qeu.store.run_folders import find_run

    run = find_run(_settings().adapters, args.name)
    if not args.yes:
        raise UsageError(
            f"This removes {args.name} with its adapter for good. Add --yes if that is meant."
        )
    delete_adapter(run.path.parent, run.name, confirmed=True)
    if args.json:
        show_json({"run": args.name, "deleted": True})
    else:
        show(f"{args.name}: deleted")
    return 0


def _run_compare(args: argparse.Namespace) -> int:
    from qeu.services.train_runs import compare_runs

    found = compare_runs(_settings().adapters, args.names)
    if args.json:
        show_json(found.to_json())
        return 0
    head = ("", *(card.name for card in found.cards))
    rows = [
        (str(one["setting"]), *map(_text, one["values"]))  # type: ignore[call-overload]
        for one in found.differing
    ]
    for name in ("state", "step", "train_loss", "best_validation_loss"):
        rows.append((name, *(_text(getattr(card, name)) for card in found.cards)))
    show(table([head, *rows]))
    return 0


def _settings() -> Settings:
    return Settings.from_env(os.environ)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _text(value: object) -> str:
    """A value as a cell; "" for what is not there."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value in (None, "", False):
        return ""
    return "yes" if value is True else one_line(str(value), 200)
