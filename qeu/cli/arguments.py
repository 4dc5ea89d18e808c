"""Options that several commands share: texts from files, sampling by name, limits in the help."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from qeu.core.arguments import unprotect_argument
from qeu.core.errors import UsageError
from qeu.core.record import CATEGORIES
from qeu.core.sampling import Sampling

MOST_TEXT_BYTES = 64 * 1024 * 1024


def read_texts(given: Mapping[str, str | None]) -> dict[str, str]:
    """Each text as meant: `-` is standard input (once), `@FILE` a file, all else itself."""
    if sum(text == "-" for text in given.values()) > 1:
        raise UsageError("Standard input can be read for one text only; use @FILE for the others.")
    return {name: _read_text(name, text) for name, text in given.items() if text is not None}


def _read_text(name: str, text: str) -> str:
    if text == "-":
        return _decode(name, sys.stdin.buffer.read(MOST_TEXT_BYTES))
    if not text.startswith("@"):
        return unprotect_argument(text)
    try:
        with Path(text[1:]).expanduser().open("rb") as file:
            return _decode(name, file.read(MOST_TEXT_BYTES))
    except OSError as error:
        raise UsageError(
            f"The file {text[1:]!r} for {name} cannot be read ({error.strerror}). "
            f"A text that begins with @ itself is written as \\{text[:12]}"
        ) from error


def _decode(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The text for {name} is not UTF-8 (byte {error.start:,}). Save it as UTF-8 first."
        ) from error


def add_category(parser: "argparse._ActionsContainer") -> None:
    """The kind of task, which decides what a reasoning must look like."""
    parser.add_argument(
        "--category",
        choices=CATEGORIES,
        default="open_qa",
        metavar="KIND",
        help=f"kind of task: {', '.join(CATEGORIES)} (default: open_qa)",
    )


def add_sampling(parser: argparse.ArgumentParser, prefix: str = "", shown: bool = True) -> None:
    """One option per sampling field, named as the field; nothing given stays None."""
    group = parser.add_argument_group("sampling") if shown else parser
    for f in fields(Sampling):
        option = f"--{prefix}{f.name.replace('_', '-')}"
        dest = f"{prefix}{f.name}".replace("-", "_")
        if f.name == "greedy":
            group.add_argument(
                option,
                dest=dest,
                action=argparse.BooleanOptionalAction if prefix else "store_true",
                default=None,
                help=f.metadata["help"] if shown else argparse.SUPPRESS,
            )
            continue
        low, high = f.metadata["low"], f.metadata["high"]
        limits = f"{low:g} to {high:,}" if high < 1e6 else f"{low:g} or more"
        group.add_argument(
            option,
            dest=dest,
            type=_number,
            metavar="N",
            help=f"{f.metadata['help']} {limits}; default {f.default:g}."
            if shown
            else argparse.SUPPRESS,
        )


def read_sampling(args: argparse.Namespace, prefix: str = "") -> dict[str, object]:
    """The sampling fields that were given, by their names."""
    values = {f.name: getattr(args, prefix + f.name) for f in fields(Sampling)}
    return {name: value for name, value in values.items() if value is not None}


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


_number.__name__ = "number"  # argparse names it when it refuses a value
