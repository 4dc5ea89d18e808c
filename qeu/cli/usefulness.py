"""`usefulness`: how much reasonings help a student to the answer, once what leaks is cut."""

import argparse
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import add_filter, add_json, read_filter, told
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.errors import QeuError, UsageError
from qeu.core.roles import ROLE_IDS

if TYPE_CHECKING:
    from qeu.core.usefulness import Mean
    from qeu.services.usefulness import UsefulRow
    from qeu.services.usefulness_summary import UsefulnessSummary
    from qeu.services.usefulness_texts import Texts
    from qeu.store.workspace import Workspace


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "usefulness",
        help="measure how much reasonings help a student to the answer",
        description="The student's loss per token on the record's answer behind another record's "
        "reasoning of the same category, minus that behind the reasoning itself: above 0 it helps. "
        "Sentences that give an answer away are cut from both first. The second column is without "
        "any reasoning minus with it. Losses are stored: nothing is computed twice, and after "
        "Ctrl-C the same command goes on.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="DATASET", nargs="?", default="", help="data set")
    parser.add_argument("--job", type=int, metavar="N", help="the texts of this job instead")
    parser.add_argument(
        "--student", required=True, metavar="M[@ADAPTER]", help="who is to be helped; runs here"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="first N texts only")
    parser.add_argument("--role", choices=ROLE_IDS, default="assistant", help="who answers")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="draws the others (7)")
    parser.add_argument("--exact", action="store_true", help="compute in float32")
    add_filter(parser)
    add_json(parser)
    parser.set_defaults(run=run_usefulness)


def run_usefulness(args: argparse.Namespace) -> int:
    """Measure and print, a line a text as soon as it is known; then each source's means."""
    from qeu.services.usefulness import measure_usefulness
    from qeu.services.usefulness_summary import UsefulnessSummary

    if bool(args.name) == (args.job is not None):
        raise UsageError("Name a data set, or a job with --job N; not both.")
    if args.limit < 0:
        raise UsageError(f"--limit is {args.limit}; choose 0 (all) or more.")
    line = ProgressLine(quiet=args.json)
    summary = UsefulnessSummary()
    with open_workspace() as workspace:
        texts = _find_texts(args, workspace)
        if not texts.total:
            raise QeuError("There is no text to measure. Widen the filter, or wait for the job.")

        def work(stop: object) -> None:
            parts = measure_usefulness(
                make_engines(args), workspace, texts, args.student, role=args.role, seed=args.seed,
                exact=args.exact, progress=told(line), stop=stop,
                on_load=told_load(line, args.student),
            )  # type: ignore[arg-type]  # fmt: skip
            for rows in parts:
                line.clear()
                summary.add(rows)
                for row in rows:
                    _show_row(args, row)

        _, stopped = run_stoppable(work)
    line.clear()
    _show_summary(args, summary)
    if stopped:
        say("Stopped. What was computed is kept: the same command goes on.")
        return INTERRUPTED
    return 0


def _find_texts(args: argparse.Namespace, workspace: "Workspace") -> "Texts":
    from qeu.services.usefulness_texts import JobTexts, RecordTexts
    from qeu.store.datasets import find_dataset
    from qeu.store.filters import ALL
    from qeu.store.jobs import get_job

    where = read_filter(args)
    if args.job is None:
        return RecordTexts(workspace, find_dataset(workspace, args.name), where, args.limit)
    if where != ALL:
        raise UsageError("A job has its own records: leave the filter out.")
    return JobTexts(workspace, get_job(workspace, args.job), args.limit)


def _show_row(args: argparse.Namespace, row: "UsefulRow") -> None:
    if args.json:
        show_json(row.to_json())
        return
    found = row.result
    cut = f", {found.cut_own} cut" if found.cut_own else ""
    columns = f"{_signed(found.useful)} {_signed(found.gain_without)}"
    show(f"{row.seq:>8} {columns}  leak {row.leak:.2f}{cut}  {row.source}  {row.why}".rstrip())


def _show_summary(args: argparse.Namespace, summary: "UsefulnessSummary") -> None:
    sources = summary.sources()
    if args.json:
        told_sources = [one.to_json() for one in sources]
        show_json({"student": args.student, "sources": told_sources, "reasons": summary.reasons})
        return
    rows = [("source", "usefulness", "without - with", "texts", "leaking")]
    for one in sources:
        count = one.useful.count if one.useful else 0
        leaks = f"{one.leaked.count:,} of {one.leaked.of:,}"
        rows.append((one.source, _mean(one.useful), _mean(one.gain_without), f"{count:,}", leaks))
    show("\n" + table(rows))
    for why, count in summary.reasons.items():
        show(f"{count:,} not measured: {why}")


def _signed(value: float | None) -> str:
    return "      –" if value is None else f"{value:+7.3f}"


def _mean(mean: "Mean | None") -> str:
    if mean is None:
        return "–"
    half = f" ± {mean.half_width:.3f}" if mean.half_width is not None else ""
    return f"{mean.value:+.3f}{half}"
