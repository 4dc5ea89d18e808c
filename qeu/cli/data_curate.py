"""`data rules|check|split`: operations on a data set that need no model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_part, read_filter, show_applied, show_preview, told
from qeu.cli.screen import ProgressLine, show, show_json, table

if TYPE_CHECKING:
    from qeu.store.datasets import Dataset
    from qeu.store.workspace import Workspace


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    text = "apply rules that add, replace or remove a sentence of the reasoning"
    parser = add_part(parts, "rules", text, _run_rules, dry_run=True, filters=True)
    parser.add_argument(
        "rules", nargs="?", metavar="RULES.yaml",
        help="the rules; left out: the two of April 2024, which are shipped",
    )  # fmt: skip
    text = "hold every record to the contract; find duplicates, cut-off answers, wrong sums"
    more = "What was found is then a filter (--found-by CHECK); `data show NAME SEQ` tells why."
    parser = add_part(parts, "check", text, _run_check, more, filters=True)
    parser.add_argument("--reasoning-language", choices=("en", "ja", "zh"), default="")
    parser.add_argument("--output-language", choices=("en", "ja", "zh"), default="")
    text = "split into train, validation and test; what is alike stays together"
    parser = add_part(parts, "split", text, _run_split, dry_run=True, filters=True)
    parser.add_argument("--validation", type=float, default=0.1, metavar="X", help="default 0.1")
    parser.add_argument("--test", type=float, default=0.0, metavar="X", help="default 0")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")


def _run_rules(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_rules import EXAMPLE_PATH, load_rules, preview_rules, run_rules

    rules = load_rules(Path(args.rules) if args.rules else EXAMPLE_PATH)
    where = read_filter(args)
    if args.dry_run:
        preview = preview_rules(workspace, dataset, rules, where, told(line))
        return show_preview(args, line, preview)
    return show_applied(args, line, run_rules(workspace, dataset, rules, where, told(line)))


def _run_check(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_check import CheckOptions, check_dataset

    options = CheckOptions(
        reasoning_language=args.reasoning_language, output_language=args.output_language
    )
    report = check_dataset(workspace, dataset, options, read_filter(args), told(line))
    line.clear()
    if args.json:
        show_json({"dataset": dataset.name} | report.to_json())
        return 0
    show(f"{report.checked:,} records checked, {report.without_reasoning:,} without reasoning")
    rows = [
        (name.replace("_", " "), f"{count:,}", _first_seqs(report.seqs.get(name, [])))
        for name, count in report.counts.items()
    ]
    show(table(rows))
    return 0


def _first_seqs(seqs: list[str], most: int = 8) -> str:
    return ", ".join([*seqs[:most], *(["…"] if len(seqs) > most else [])])


def _run_split(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_split import SplitOptions, split_dataset

    options = SplitOptions(args.validation, args.test, args.seed)
    report = split_dataset(
        workspace,
        dataset,
        options,
        read_filter(args),
        not args.dry_run,
        told(line),
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
