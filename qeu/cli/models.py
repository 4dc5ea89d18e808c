"""`models`: which models there are and what each is fit for."""

import argparse
from dataclasses import asdict

from qeu.backends.catalog import ModelCard, list_models
from qeu.cli.screen import show, show_json, table


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "models",
        help="list the models and what each is fit for",
        description="List the models by name, with size, context, licence and what each is fit "
        "for. Any Hub id (owner/name), local folder or .gguf file can be used as a model too; "
        "MODEL@ADAPTER adds an adapter.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_models)


def run_models(args: argparse.Namespace) -> int:
    """Print the table of models."""
    cards = list_models()
    if args.json:
        show_json({"models": [asdict(card) for card in cards]})
        return 0
    head = ("model", "parameters", "context", "memory", "licence", "layout", "reads", "writes")
    show(table([head, *(_row(card) for card in cards)]))
    show("\nfit for")
    show(table([(f"  {card.id}", ", ".join(card.fit_for)) for card in cards]))
    return 0


def _row(card: ModelCard) -> tuple[str, ...]:
    size = card.parameters
    return (
        card.id,
        f"{size / 1e9:.1f} billion" if size >= 1e9 else f"{size / 1e6:.0f} million",
        f"{card.context:,}",
        f"{card.needs_bytes / 1e9:.1f} GB",
        card.licence,
        card.layout,
        " ".join(card.reads),
        " ".join(card.writes),
    )
