"""`check`: the contract's checks on any text, without a model."""

import argparse
import sys
from typing import TYPE_CHECKING

from qeu.cli.arguments import add_category, read_texts
from qeu.cli.screen import show, show_json
from qeu.cli.sides import SIGNS
from qeu.core.errors import UsageError
from qeu.core.text import clean_text, one_line

if TYPE_CHECKING:
    from qeu.core.contract import Check


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "check",
        help="check a text: length, sentence form, language, loops, leaks",
        description="Check a reasoning (or an answer) against the contract: lines, words or "
        "characters, sentence form of creative tasks, language, loops, and whether it gives the "
        "answer away. The text comes from the argument, from @FILE, or from standard input.",
        allow_abbrev=False,
    )
    parser.add_argument("text", nargs="?", default="-", help="the text; - or none: standard input")
    parser.add_argument(
        "--as",
        dest="part",
        choices=("reasoning", "answer"),
        default="reasoning",
        help="what the text is (default: reasoning)",
    )
    add_category(parser)
    parser.add_argument("--question", default="", metavar="TEXT", help="what had been asked")
    parser.add_argument(
        "--reference", default="", metavar="TEXT", help="the right answer, if known"
    )
    parser.add_argument(
        "--language", choices=("en", "ja", "zh"), help="language that the text should be in"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Print each check with its verdict and the stretches that it marks."""
    if args.text == "-" and sys.stdin.isatty():
        raise UsageError("There is no text. Give it as an argument, as @FILE, or by a pipe.")
    given = {"the text": args.text, "--question": args.question, "--reference": args.reference}
    texts = {name: clean_text(text) for name, text in read_texts(given).items()}
    text = texts["the text"]
    if not text.strip():
        raise UsageError("The text is empty; there is nothing to check.")
    checks = _check(args, text, texts["--question"], texts["--reference"])
    if args.json:
        failed = [check.name for check in checks if check.verdict == "fail"]
        show_json({"checks": [check.to_json() for check in checks], "failed": failed})
        return 0
    for check in checks:
        show(f"{SIGNS[check.verdict]} {check.name.replace('_', ' ')}: {check.message}")
        for span in check.spans if check.verdict in ("fail", "partial") else ():
            show(f"    {one_line(text[span.start : span.end], 60)}: {span.note}")
    return 0


def _check(
    args: argparse.Namespace, text: str, question: str, reference: str
) -> "tuple[Check, ...]":
    # here and not above: the help of every command waits for what stands above
    from qeu.core.contract import check_answer, check_reasoning

    if args.part == "answer":
        return check_answer(text, expected_language=args.language)
    return check_reasoning(
        text,
        category=args.category,
        question=question,
        reference=reference,
        expected_language=args.language or "en",
    )
