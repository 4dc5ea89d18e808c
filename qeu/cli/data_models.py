"""`data label|english-out|stats`: operations on a data set that a model may help with."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts, add_part, read_filter, show_applied, show_preview, told
from qeu.cli.loading import INTERRUPTED, make_shelf, run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.core.errors import QeuError, UsageError
from qeu.core.labels import LABELS

if TYPE_CHECKING:
    from qeu.services.data_labels import LabelOptions
    from qeu.services.data_stats import DatasetStats, TokenCounter
    from qeu.store.datasets import Dataset
    from qeu.store.filters import Filter
    from qeu.store.workspace import Workspace

_SHOWN_SEQS = 8


def add_commands(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    text = "label language, category, uniqueness and field; unsure ones go to the review queue"
    more = "By words and script; with --model a model tells how probable each label is."
    parser = add_part(parts, "label", text, _run_label, more, dry_run=True, filters=True)
    parser.add_argument(
        "--fields", default=",".join(LABELS), metavar="A,B", help=f"of {', '.join(LABELS)}"
    )
    parser.add_argument("--keep-unsure", action="store_true", help="queue them, do not set them")
    parser.add_argument(
        "--sure", type=float, metavar="X", help="confidence below which a person looks (0.6)"
    )
    parser.add_argument("--model", metavar="M[@ADAPTER]", help="let this model label")
    parser.add_argument(
        "--run-anyway", action="store_true", help="even if the model is not fit for it"
    )
    text = "turn records to Japanese (or Chinese) in, English out"
    more = (
        "The instruction becomes English, the content stays; outputs come from --outputs. What is "
        "still missing is told, and queued as `data review NAME --review english`."
    )
    parser = add_part(parts, "english-out", text, _run_english, more, dry_run=True, filters=True)
    parser.add_argument("--check", action="store_true", help="change nothing, tell what is missing")
    parser.add_argument(
        "--outputs", metavar="FILE", help="English answers: rows with seq and output, any format"
    )
    parser.add_argument("--model", default="", metavar="M", help="who wrote those answers")
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence of those answers")
    text = "count records, lengths in characters and tokens, language × category"
    parser = add_part(parts, "stats", text, _run_stats, filters=True)
    parser.add_argument("--model", metavar="M", help="count in the tokens of this model too")
    parser.add_argument("--layout", default="", metavar="L", help="default: the model's own")
    parser.add_argument(
        "--longer-than", type=int, action="append", metavar="N",
        help="with --model: count records of more than N tokens; may be given several times",
    )  # fmt: skip


def _run_label(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.core.labels import SURE
    from qeu.services.data_labels import LabelOptions, preview_labels, run_labels

    if args.sure is not None and not 0 <= args.sure <= 1:
        raise UsageError(f"--sure is {args.sure:g}; choose 0 to 1.")
    fields = tuple(name.strip() for name in args.fields.split(",") if name.strip())
    sure = SURE if args.sure is None else args.sure
    options, where = (
        LabelOptions(fields, sure, args.keep_unsure),
        read_filter(args),
    )
    stopped, scored = False, dict[str, object]()
    if args.model:
        options, stopped, scored = _ask_model(args, workspace, dataset, line, options, where)
    if args.dry_run:
        preview = preview_labels(workspace, dataset, options, where, told(line))
        return show_preview(args, line, preview)
    applied = run_labels(workspace, dataset, options, where, told(line))
    waiting = _count_waiting(workspace, dataset)
    show_applied(args, line, applied, review=waiting, **scored)
    if waiting and not args.json:
        show(f"{waiting:,} wait for a person; `data review {dataset.name}` lists them")
    return INTERRUPTED if stopped else 0


def _ask_model(
    args: argparse.Namespace,
    workspace: "Workspace",
    dataset: "Dataset",
    line: ProgressLine,
    options: "LabelOptions",
    where: "Filter",
) -> "tuple[LabelOptions, bool, dict[str, object]]":
    """The options with the model's labels, whether it was stopped, and what to tell of it."""
    from qeu.services.data_model_labels import explain_unfit, label_warning, score_dataset

    unfit = label_warning(workspace, dataset, args.model, where)
    if unfit and not args.run_anyway:
        raise QeuError(f"{explain_unfit(unfit)} Or add --run-anyway, and check what it says.")
    if unfit:
        say(f"Run anyway: {explain_unfit(unfit)}")
    labels, stopped = run_stoppable(
        lambda stop: score_dataset(
            make_shelf(args), workspace, dataset, args.model, options.fields, where,
            run_anyway=args.run_anyway, progress=told(line), stop=stop,
            on_load=told_load(line, args.model),
        )
    )  # fmt: skip
    line.clear()
    if stopped:
        say(f"Stopped after {labels.scored:,} of {labels.total:,}; their labels are kept.")
    scored = {"model": labels.model, "scored": labels.scored, "total": labels.total}
    return replace(options, given=labels.given, model=labels.model), stopped, scored


def _count_waiting(workspace: "Workspace", dataset: "Dataset") -> int:
    from qeu.store.queries import read_facets

    return sum(count for name, count in read_facets(workspace, dataset)["review"] if name)


def _run_english(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_english_out import (
        check_english_out,
        preview_english_out,
        read_outputs,
        run_english_out,
    )

    where = read_filter(args)
    outputs = read_outputs(workspace, dataset, Path(args.outputs)) if args.outputs else {}
    if args.dry_run:
        preview = preview_english_out(workspace, dataset, outputs, where=where, progress=told(line))
        return show_preview(args, line, preview)
    applied = None
    if not args.check:
        applied = run_english_out(
            workspace, dataset, outputs, where=where, model=args.model, licence=args.licence,
            progress=told(line),
        )  # fmt: skip
    report = check_english_out(workspace, dataset, where, told(line))
    line.clear()
    if args.json:
        done = {"changed": applied.changed, "event": applied.event} if applied else {}
        show_json({"dataset": dataset.name} | done | report.to_json())
        return 0
    if applied:
        show(f"{applied.changed:,} records changed")
    show(f"{report.complete:,} of {report.checked:,} foreign records are in the form")
    for name, seqs in report.seqs.items():
        more = ", …" if len(seqs) > _SHOWN_SEQS else ""
        show(f"  {name} to be made: {len(seqs):,} ({', '.join(seqs[:_SHOWN_SEQS])}{more})")
    return 0


def _run_stats(
    args: argparse.Namespace, workspace: "Workspace", dataset: "Dataset", line: ProgressLine
) -> int:
    from qeu.services.data_stats import LIMITS, check_limits, dataset_stats

    limits = tuple(args.longer_than or LIMITS)
    if args.longer_than and not args.model:
        raise UsageError("--longer-than counts tokens: say of which model with --model.")
    check_limits(limits)
    counter = _load_counter(args, line) if args.model else None
    where = read_filter(args)
    stats, _ = run_stoppable(
        lambda stop: dataset_stats(workspace, dataset, where, counter, limits, told(line), stop)
    )
    line.clear()
    if args.json:
        show_json({"dataset": dataset.name} | stats.to_json())
        return 0
    _show_stats(stats)
    return 0


def _load_counter(args: argparse.Namespace, line: ProgressLine) -> "TokenCounter":
    from qeu.backends.catalog import find_model, split_ref
    from qeu.core.prompts import LAYOUTS
    from qeu.services.data_stats import TokenCounter

    card = find_model(split_ref(args.model)[0])
    layout = args.layout or card.layout
    if layout not in LAYOUTS:
        raise UsageError(f"Unknown layout {layout!r}. Choose one of: {', '.join(LAYOUTS)}.")
    model, _ = run_stoppable(
        lambda stop: make_shelf(args).load(card.id, progress=told_load(line, card.id), stop=stop)
    )
    return TokenCounter(model, layout)


def _show_stats(stats: "DatasetStats") -> None:
    show(f"{stats.records:,} records")
    categories = sorted({name for counts in stats.table.values() for name in counts})
    rows = [("", *categories)]
    for language, counts in sorted(stats.table.items()):
        rows.append((language, *(f"{counts.get(name, 0):,}" for name in categories)))
    show(table(rows))
    for name, histogram in stats.characters.items():
        show(f"{name}: median {histogram.median:,}, longest {histogram.longest:,} characters")
    if not stats.tokens:
        return
    show("\nin tokens of {}, whole records in layout {}".format(*stats.counted_by))
    for name, histogram in stats.tokens.items():
        show(f"{name}: median {histogram.median:,}, longest {histogram.longest:,} tokens")
    bars = stats.tokens["record"].to_json()["bars"]
    shown = [(f"  {label}", f"{count:,}") for label, count in bars if count]  # type: ignore[attr-defined]
    show(table([("tokens of a record", "records"), *shown]))
    for limit, count in stats.longer.items():
        share = count / stats.records if stats.records else 0.0
        show(f"longer than {limit:,} tokens: {count:,} records ({share:.1%})")
