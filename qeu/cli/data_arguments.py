"""Options that the `data` commands share: filters by facet, the JSON switch."""

import argparse

from qeu.core.record_checks import CHECKS
from qeu.store.filters import Filter
from qeu.store.records import FACETS


def add_json(parser: argparse.ArgumentParser) -> None:
    """The switch for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")


def add_filter(parser: argparse.ArgumentParser, search: bool = True) -> None:
    """Options that narrow a command to some of the records."""
    group = parser.add_argument_group("only records that")
    for facet in FACETS:
        group.add_argument(
            f"--{facet}", action="append", default=[], metavar="VALUE",
            help=f"have this {facet}; may be given several times",
        )  # fmt: skip
    if search:
        group.add_argument("--search", default="", metavar="TEXT", help="hold this text")
    group.add_argument(
        "--found-by", default="", choices=("", "any", *CHECKS), metavar="CHECK",
        help="failed this check in the last `data check`, or any",
    )  # fmt: skip


def read_filter(args: argparse.Namespace, search: str = "") -> Filter:
    """The filter that the options describe."""
    facets = {name: tuple(getattr(args, name)) for name in FACETS}
    return Filter(search=search or getattr(args, "search", ""), check=args.found_by, **facets)
