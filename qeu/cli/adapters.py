"""`adapters`: which adapters there are, what each was trained as, and which cannot be loaded."""

import argparse
import os
from dataclasses import asdict

from qeu.cli import adapter_parts
from qeu.cli.data_arguments import add_json
from qeu.cli.screen import say, show, show_json, table
from qeu.core.settings import Settings
from qeu.services.adapters import AdapterCard, list_cards, show_card


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "adapters",
        help="list adapters; merge, export, push or delete one",
        description="List the adapters in QEU_ADAPTERS with base, size, layout and checkpoints, "
        "and the folders that cannot be loaded with the reason. MODEL@ADAPTER asks one of them; "
        "any folder on this disk and any Hub id (owner/name) can stand for ADAPTER too.",
        allow_abbrev=False,
    )
    add_json(parser)
    parser.set_defaults(run=run_list)
    parts = parser.add_subparsers(title="commands", metavar="COMMAND")
    show_part = parts.add_parser(
        "show", help="tell all about one", description="Tell all about one adapter or folder.",
        allow_abbrev=False,
    )  # fmt: skip
    show_part.add_argument("name", metavar="NAME", help="adapter or folder")
    adapter_parts.add_json_behind(show_part)
    show_part.set_defaults(run=run_show)
    adapter_parts.add_parts(parts)


def run_show(args: argparse.Namespace) -> int:
    """Tell all about one adapter."""
    settings = Settings.from_env(os.environ)
    return _show_one(show_card(settings.adapters, args.name, settings.cache_dir), args.json)


def run_list(args: argparse.Namespace) -> int:
    """Print the table of adapters."""
    settings = Settings.from_env(os.environ)
    cards, broken = list_cards(settings.adapters, settings.cache_dir)
    if args.json:
        problems = [asdict(one) | {"path": str(one.path)} for one in broken]
        show_json({"adapters": [card.to_json() for card in cards], "problems": problems})
        return 0
    if cards:
        head = ("adapter", "base", "size", "rank", "layout", "target", "trained")
        show(table([head, *map(_row, cards)]))
    else:
        say(f"There are no adapters in {settings.adapters}. Train one first.")
    for note in [card.warning for card in cards if card.warning] + [one.reason for one in broken]:
        show(f"! {note}")
    return 0


def _row(card: AdapterCard) -> tuple[str, ...]:
    run, slash, step = card.name.partition("/")
    return (
        f"  {step}" if slash else run,
        card.base or card.trained_on or "unknown",
        _size(card.bytes),
        str(card.rank),
        card.layout or "-",
        card.target or "-",
        card.changed.partition("T")[0],
    )


def _show_one(card: AdapterCard, as_json: bool) -> int:
    if as_json:
        show_json(card.to_json())
        return 0
    lines = [
        ("adapter", card.name),
        ("ask it as", card.ref or "-"),
        ("trained on", card.trained_on or "unknown"),
        ("rank", str(card.rank)),
        ("target modules", ", ".join(card.target_modules) or "-"),
        ("size", _size(card.bytes)),
        ("trained", card.changed),
        ("layout", card.layout or "-"),
        ("target", card.target or "-"),
        ("role", card.role or "-"),
        ("checkpoints", ", ".join(card.checkpoints) or "-"),
        ("hash", card.hash),
    ]
    show(table(lines))
    if card.warning:
        show(f"! {card.warning}")
    return 0


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"
