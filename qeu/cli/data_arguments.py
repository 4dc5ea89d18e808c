"""What the `data` commands share: a command on one data set, filters by facet, previews."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qeu.cli.screen import ProgressLine, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.record_checks import CHECKS
from qeu.core.text import one_line
from qeu.store.filters import Filter
from qeu.store.records import FACETS

if TYPE_CHECKING:
    from qeu.services.data_preview import Preview
    from qeu.store.changes import Applied
    from qeu.store.datasets import Dataset
    from qeu.store.workspace import Workspace

Parts = argparse._SubParsersAction
Run = Callable[[argparse.Namespace, "Workspace", "Dataset", ProgressLine], int]


def add_part(
    parts: "Parts[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: Run,
    more: str = "",
    dry_run: bool = False,
    filters: bool = False,
) -> argparse.ArgumentParser:
    """A command on one data set; `more` is told behind `text` in its own help."""

    def start(args: argparse.Namespace) -> int:
        from qeu.store.datasets import find_dataset

        with open_workspace() as workspace:
            dataset = find_dataset(workspace, args.name)
            return run(args, workspace, dataset, ProgressLine(quiet=args.json))

    about = f"{text[0].upper()}{text[1:]}.{' ' if more else ''}{more}"
    parser = parts.add_parser(name, help=text, description=about, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="data set")
    if dry_run:
        parser.add_argument(
            "--dry-run", "--preview", action="store_true", help="only show what would change"
        )
    if filters:
        add_filter(parser)
    add_json(parser)
    parser.set_defaults(run=start)
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """The switch for programs."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")


def add_filter(
    parser: argparse.ArgumentParser, search: bool = True, without: Sequence[str] = ()
) -> None:
    """Options that narrow a command to some of the records; `without` names facets left out."""
    group = parser.add_argument_group("only records that")
    for facet in FACETS:
        if facet in without:
            continue
        group.add_argument(
            f"--{facet}", action="append", default=[], metavar="VALUE",
            help=f"have this {facet}; may be given several times",
        )  # fmt: skip
    if search:
        group.add_argument("--search", default="", metavar="TEXT", help="hold this text")
    group.add_argument(
        "--found-by", default="", choices=("", "any", *CHECKS), metavar="CHECK",
        help=f"failed this check in the last `data check`: any, {', '.join(CHECKS)}",
    )  # fmt: skip


def read_filter(args: argparse.Namespace, search: str = "", without: Sequence[str] = ()) -> Filter:
    """The filter that the options describe."""
    facets = {name: tuple(getattr(args, name)) for name in FACETS if name not in without}
    return Filter(search=search or getattr(args, "search", ""), check=args.found_by, **facets)


def told(line: ProgressLine) -> Callable[[int, int], None]:
    """What services call as their `progress`."""
    return lambda done, total: line.draw(f"{done:,} of {total:,}")


def show_preview(args: argparse.Namespace, line: ProgressLine, preview: "Preview") -> int:
    """Counts and a sample of before and after."""
    line.clear()
    if args.json:
        show_json(preview.to_json())
        return 0
    show(f"{preview.changed:,} of {preview.matched:,} records would change")
    for one in preview.sample:
        before, after = shorten_pair(one.before, one.after)
        show(f"  {one.seq} {one.field}: {before} → {after}")
    return 0


def show_applied(
    args: argparse.Namespace, line: ProgressLine, applied: "Applied", **more: object
) -> int:
    """How many records a change changed; `more` joins the JSON."""
    line.clear()
    if args.json:
        show_json({"changed": applied.changed, "event": applied.event, **more})
    else:
        show(f"{applied.changed:,} records changed")
    return 0


def shorten_pair(before: str, after: str, limit: int = 50) -> tuple[str, str]:
    """Two versions of a text, each on one line, cut so that the first difference is seen."""
    before, after = " ".join(before.split()), " ".join(after.split())
    pairs = zip(before, after, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    same = min(len(before), len(after)) if same is None else same
    start = max(0, same - limit // 3)
    lead = "…" if start else ""
    return tuple(  # type: ignore[return-value]
        lead + one_line(text[start:], limit) if text else "(empty)" for text in (before, after)
    )
