"""`data merge`: files of one task in several languages, interleaved row by row."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_json
from qeu.cli.screen import ProgressLine, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.errors import UsageError
from qeu.core.record import LANGUAGES
from qeu.core.text import one_line

if TYPE_CHECKING:
    from qeu.services.data_merge import MergeOptions


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = parts.add_parser(
        "merge",
        help="interleave files of one task in several languages",
        description="Put files together row by row: 1EN, 1JA, 2EN, 2JA … with a sentence in the "
        "reasoning that names the language.",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="one file for each language")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="data set to merge into")
    parser.add_argument("--rows", default="", metavar="A:B", help="rows A to B of each, from 1")
    parser.add_argument("--languages", default="", metavar="en,ja", help="of the files, in order")
    parser.add_argument("--no-sentence", action="store_true", help="leave the reasoning as it is")
    parser.add_argument("--keep-rest", action="store_true", help="keep rows that one file lacks")
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence of the texts")
    parser.add_argument(
        "--dry-run", "--preview", action="store_true", help="only show what would come out"
    )
    add_json(parser)

    def start(args: argparse.Namespace) -> int:
        from qeu.services.data_merge import merge_files, preview_merge

        options, paths = _merge_options(args), [Path(name) for name in args.files]
        line = ProgressLine(quiet=args.json)
        if args.dry_run:
            report = preview_merge(paths, options)
        else:
            with open_workspace(make=True) as workspace:
                report = merge_files(
                    workspace, paths, args.dataset, options, lambda n: line.draw(f"{n:,}")
                )
            line.clear()
        if args.json:
            rows = [{k: v for k, v in r.items() if k != "columns"} for r in report.sample]
            show_json(report.to_json() | ({"sample": rows} if args.dry_run else {}))
            return 0
        for note in report.plan.problems():
            show(note)
        word = "would be merged" if args.dry_run else "merged"
        show(f"{report.imported:,} records {word}, {report.unchanged:,} unchanged")
        show(f"{len(report.rejected):,} rows rejected") if report.rejected else None
        for row in report.sample:
            show(f"  {row['seq']}: {one_line(str(row['instruction']), 70)}")
        return 0

    parser.set_defaults(run=start)


def _merge_options(args: argparse.Namespace) -> "MergeOptions":
    from qeu.services.data_merge import MergeOptions

    first, _, last = args.rows.partition(":")
    try:
        rows = (int(first or 1), int(last) if last else None) if args.rows else (1, None)
    except ValueError as error:
        raise UsageError(f"--rows is {args.rows!r}; expected A:B, such as 1:3801.") from error
    languages = tuple(code.strip() for code in args.languages.split(",") if code.strip())
    if unknown := [code for code in languages if code not in LANGUAGES]:
        raise UsageError(f"Unknown language {unknown[0]!r}. Choose among: {', '.join(LANGUAGES)}.")
    sentences = {} if args.no_sentence else None
    return MergeOptions(languages, rows, sentences, args.keep_rest, args.licence)
