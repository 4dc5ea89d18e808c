"""`data merge|label|rules|check|split|stats`: operations on a data set, each with a dry run."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from qeu.cli.data_arguments import add_filter, add_json, read_filter
from qeu.cli.screen import ProgressLine, show, show_json, table
from qeu.core.errors import UsageError
from qeu.core.labels import LABELS
from qeu.core.record import LANGUAGES
from qeu.core.text import one_line
from qeu.services.data_check import CheckOptions, check_dataset
from qeu.services.data_labels import LabelOptions, preview_labels, run_labels
from qeu.services.data_merge import MergeOptions, merge_files, preview_merge
from qeu.services.data_preview import Preview
from qeu.services.data_rules import EXAMPLE_PATH, load_rules, preview_rules, run_rules
from qeu.services.data_split import SplitOptions, split_dataset
from qeu.services.data_stats import dataset_stats
from qeu.store.changes import Applied
from qeu.store.datasets import Dataset, find_dataset
from qeu.store.workspace import Workspace

Open = Callable[..., AbstractContextManager[Workspace]]
Run = Callable[[argparse.Namespace, Workspace, Dataset, ProgressLine], int]


def add_commands(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
    """Add the commands; `open_` opens the workspace."""
    _add_merge(parts, open_)
    _add_label(parts, open_)
    _add_rules(parts, open_)
    _add_check(parts, open_)
    _add_split(parts, open_)
    _add(parts, open_, "stats", "counts, lengths, language × category", _run_stats)


def _add(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]",
    open_: Open,
    name: str,
    text: str,
    run: Run,
    dry_run: bool = False,
) -> argparse.ArgumentParser:
    """A command on one data set, narrowed by filters."""

    def start(args: argparse.Namespace) -> int:
        with open_() as workspace:
            dataset = find_dataset(workspace, args.name)
            return run(args, workspace, dataset, ProgressLine(quiet=args.json))

    parser = parts.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="data set")
    if dry_run:
        parser.add_argument("--dry-run", action="store_true", help="show what it would change")
    add_filter(parser)
    add_json(parser)
    parser.set_defaults(run=start)
    return parser


def _add_merge(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
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
    parser.add_argument("--dry-run", action="store_true", help="show what would come out")
    add_json(parser)

    def start(args: argparse.Namespace) -> int:
        options, paths = _merge_options(args), [Path(name) for name in args.files]
        line = ProgressLine(quiet=args.json)
        if args.dry_run:
            report = preview_merge(paths, options)
        else:
            with open_(make=True) as workspace:
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


def _merge_options(args: argparse.Namespace) -> MergeOptions:
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


def _add_label(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
    text = "label language, category, uniqueness and field; unsure ones go to the review queue"
    parser = _add(parts, open_, "label", text, _run_label, dry_run=True)
    parser.add_argument(
        "--fields", default=",".join(LABELS), metavar="A,B", help=f"of {', '.join(LABELS)}"
    )
    parser.add_argument("--keep-unsure", action="store_true", help="queue them, do not set them")


def _run_label(
    args: argparse.Namespace, workspace: Workspace, dataset: Dataset, line: ProgressLine
) -> int:
    fields = tuple(name.strip() for name in args.fields.split(",") if name.strip())
    options, where = LabelOptions(fields, keep_unsure=args.keep_unsure), read_filter(args)
    if args.dry_run:
        return _show_preview(args, preview_labels(workspace, dataset, options, where, _told(line)))
    applied = run_labels(workspace, dataset, options, where, _told(line))
    return _show_applied(args, line, applied)


def _add_rules(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
    text = "apply rules that add, replace or remove a sentence of the reasoning"
    parser = _add(parts, open_, "rules", text, _run_rules, dry_run=True)
    parser.add_argument(
        "rules", nargs="?", metavar="RULES.yaml", default=str(EXAMPLE_PATH),
        help="the rules; left out: the two of April 2024, which are shipped",
    )  # fmt: skip


def _run_rules(
    args: argparse.Namespace, workspace: Workspace, dataset: Dataset, line: ProgressLine
) -> int:
    rules, where = load_rules(Path(args.rules)), read_filter(args)
    if args.dry_run:
        return _show_preview(args, preview_rules(workspace, dataset, rules, where, _told(line)))
    return _show_applied(args, line, run_rules(workspace, dataset, rules, where, _told(line)))


def _add_check(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
    text = "hold every record to the contract; find duplicates, cut-off answers, wrong sums"
    parser = _add(parts, open_, "check", text, _run_check)
    parser.add_argument("--reasoning-language", choices=("en", "ja", "zh"), default="")
    parser.add_argument("--output-language", choices=("en", "ja", "zh"), default="")


def _run_check(
    args: argparse.Namespace, workspace: Workspace, dataset: Dataset, line: ProgressLine
) -> int:
    options = CheckOptions(
        reasoning_language=args.reasoning_language, output_language=args.output_language
    )
    report = check_dataset(workspace, dataset, options, read_filter(args), _told(line))
    line.clear()
    if args.json:
        show_json({"dataset": dataset.name} | report.to_json())
        return 0
    show(f"{report.checked:,} records checked, {report.without_reasoning:,} without reasoning")
    rows = [
        (name.replace("_", " "), f"{count:,}", ", ".join(report.seqs.get(name, [])[:8]))
        for name, count in report.counts.items()
    ]
    show(table(rows))
    return 0


def _add_split(parts: "argparse._SubParsersAction[argparse.ArgumentParser]", open_: Open) -> None:
    text = "split into train, validation and test; what is alike stays together"
    parser = _add(parts, open_, "split", text, _run_split, dry_run=True)
    parser.add_argument("--validation", type=float, default=0.1, metavar="X", help="default 0.1")
    parser.add_argument("--test", type=float, default=0.0, metavar="X", help="default 0")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")


def _run_split(
    args: argparse.Namespace, workspace: Workspace, dataset: Dataset, line: ProgressLine
) -> int:
    options = SplitOptions(args.validation, args.test, args.seed)
    report = split_dataset(
        workspace, dataset, options, read_filter(args), not args.dry_run, _told(line)
    )
    line.clear()
    if args.json:
        show_json({"dataset": dataset.name} | report.to_json())
        return 0
    show(", ".join(f"{part}: {count:,}" for part, count in report.counts.items()))
    show(f"{report.kept_together:,} groups of similar or parallel records kept together")
    for seq, part, train, similarity in report.nearest[:5]:
        show(f"  {seq} ({part}) is {similarity:.0%} like {train} (train)")
    return 0


def _run_stats(
    args: argparse.Namespace, workspace: Workspace, dataset: Dataset, line: ProgressLine
) -> int:
    stats = dataset_stats(workspace, dataset, read_filter(args), progress=_told(line))
    line.clear()
    if args.json:
        show_json({"dataset": dataset.name} | stats.to_json())
        return 0
    show(f"{stats.records:,} records")
    categories = list(stats.facets["category"])
    rows = [("", *categories)]
    for language, counts in stats.table.items():
        rows.append((language, *(f"{counts.get(name, 0):,}" for name in categories)))
    show(table(rows))
    for name, histogram in stats.characters.items():
        show(f"{name}: median {histogram.median:,}, longest {histogram.longest:,} characters")
    return 0


def _told(line: ProgressLine) -> Callable[[int, int], None]:
    return lambda done, total: line.draw(f"{done:,} of {total:,}")


def _show_preview(args: argparse.Namespace, preview: Preview) -> int:
    if args.json:
        show_json(preview.to_json())
        return 0
    show(f"{preview.changed:,} of {preview.matched:,} records would change")
    for one in preview.sample:
        before, after = one_line(one.before, 40), one_line(one.after, 60)
        show(f"  {one.seq} {one.field}: {before or '(empty)'} → {after}")
    return 0


def _show_applied(args: argparse.Namespace, line: ProgressLine, applied: Applied) -> int:
    line.clear()
    if args.json:
        show_json({"changed": applied.changed, "event": applied.event})
    else:
        show(f"{applied.changed:,} records changed")
    return 0
