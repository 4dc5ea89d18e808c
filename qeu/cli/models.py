"""`models`: which models there are, what each is fit for, and which pair the page begins with."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict

from qeu.backends.catalog import ModelCard, list_models
from qeu.backends.keyring import Keyring
from qeu.cli.loading import make_shelf
from qeu.cli.screen import say, show, show_json, table
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.services.defaults import (
    Code,
    Defaults,
    Why,
    choose_adapter,
    choose_defaults,
    choose_teacher,
    list_adapter_choices,
    look_at_machine,
)

_SENTENCES: Mapping[Code, str] = {
    "pair": "in 4 bits both need {needed} GB, and this GPU has {free} GB free.",
    "pair_fetch": "in 4 bits both need {needed} GB, and this GPU has {free} GB free; "
    "the first run downloads {fetch} GB.",
    "teacher": "{right} is the strongest teacher on offer.",
    "adapter": "the embedded model without and with an adapter, for {why}",
    "alone": "the embedded model on both sides, for {why}",
}
_WHYS: Mapping[Why, str] = {
    "": "",
    "no_gpu": "there is no GPU here, and no hosted model to ask.",
    "no_room": "the GPU has {free} GB free, and Phi-2 with Llama-3 8B needs {needed} GB.",
    "no_weights": "the weights of Phi-2 and Llama-3 8B are not here, and the Hub does not answer.",
}


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
    cards, defaults = list_models(), find_defaults(args)
    if args.json:
        show_json({"models": [asdict(card) for card in cards], "default": defaults.to_json()})
        return 0
    head = ("model", "parameters", "context", "memory", "licence", "layout", "reads", "writes")
    show(table([head, *(_row(card) for card in cards)]))
    show("\nfit for")
    show(table([(f"  {card.id}", ", ".join(card.fit_for)) for card in cards]))
    show(f"\nThe page begins with {tell_defaults(defaults)}")
    return 0


def tell_defaults(defaults: Defaults) -> str:
    """Both sides and the reason in one sentence."""
    left, right = defaults.left.model, defaults.right.model
    why = _WHYS[defaults.why].format(**defaults.facts)
    told = _SENTENCES[defaults.code].format(why=why, right=right, **defaults.facts)
    return f"{left} | {right}: {told}"


def find_defaults(args: argparse.Namespace) -> Defaults:
    """The pair that the page begins with here; asks the providers of the environment's keys.

    One that does not answer is told of, and left out.
    """
    settings, ring = Settings.from_env(os.environ), Keyring.from_env(os.environ)
    refs: list[str] = []
    if ring.providers:
        from qeu.backends.hosted_pool import HostedPool

        pool = HostedPool()
        for provider in ring.providers:
            try:
                refs += [card.ref for card in pool.list_models(provider, ring)]
            except QeuError as error:
                say(str(error))
    machine = look_at_machine(settings, make_shelf(args))
    adapter = choose_adapter(list_adapter_choices(settings.adapters))
    return choose_defaults(machine, choose_teacher(refs), adapter)


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
