"""`evaluate`: did it help? Ways of asking held against each other on validation records."""

import argparse
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.arguments import add_sampling, read_sampling
from qeu.cli.data_arguments import add_filter, add_json, read_filter
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.errors import UsageError
from qeu.core.eval_spec import (
    MAX_NEW_TOKENS,
    REASONINGS,
    ROLE_CHOICES,
    VALIDATION,
    EvalSpec,
    Way,
)
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.services.evaluate import Progress
    from qeu.services.evaluate_result import Evaluation
    from qeu.store.workspace import Workspace

_STEPS = {"texts": "texts", "answers": "answers behind reasonings", "losses": "losses"}
_WAY_FIELDS = ("reasoning", "layout", "target", "role", "examples", "title", "group")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "evaluate",
        help="did it help? base, adapters and other ways of asking, on validation records",
        description="Ask every record in every way, measure each text, and hold the ways against "
        "each other record by record: helps, hurts, or cannot tell at this n. With --base and "
        "--adapter the base answers at its best (its own layout; without and with worked "
        "examples) and in the adapter's layout, and the adapter as it is really used: it writes "
        "its reasoning, then answers. "
        "Texts and losses are stored: nothing is computed twice, and after Ctrl-C the same "
        "command goes on.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--dataset", required=True, metavar="D",
        help="data set; `shipped` is the one that comes with the program",
    )  # fmt: skip
    _add_ways(parser)
    how = parser.add_argument_group("how")
    how.add_argument("--seeds", type=int, metavar="N", help="texts a record (3; greedy: 1)")
    how.add_argument("--limit", type=int, default=0, metavar="N", help="N records, drawn (all)")
    how.add_argument("--no-losses", action="store_true", help="measure no losses")
    how.add_argument(
        "--no-usefulness", action="store_true",
        help="measure no losses behind other reasonings: about half the losses",
    )  # fmt: skip
    how.add_argument("--exact", action="store_true", help="compute in float32, text by text")
    how.add_argument(
        "--any-split", action="store_true", help="all records, not the validation split alone"
    )
    add_filter(parser)
    add_sampling(parser)
    out = parser.add_argument_group("results")
    out.add_argument(
        "--report", type=Path, metavar="FILE", help="write a report: .html or .md, to send on"
    )
    out.add_argument("--texts", type=Path, metavar="FILE", help="write every text: .jsonl")
    out.add_argument(
        "--card", action="store_true", help="write the figures into the card of each adapter"
    )
    add_json(parser)
    parser.set_defaults(run=run_evaluate)


def _add_ways(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("ways of asking")
    group.add_argument("--base", metavar="M", help="model that the adapters belong to")
    group.add_argument(
        "--adapter", action="append", default=[], metavar="A", help="may be given several times"
    )
    group.add_argument(
        "--reasonings", default="own", metavar="A,B",
        help=f"whose reasoning the adapters answer behind, of {', '.join(REASONINGS)} (own)",
    )  # fmt: skip
    group.add_argument(
        "--examples", type=int, default=2, metavar="N", help="worked examples for the base (2)"
    )
    group.add_argument("--left", metavar="M[@A]", help="as --way; held against --right")
    group.add_argument("--right", metavar="M[@A]", help="as --way")
    group.add_argument(
        "--way", action="append", default=[], metavar="M[@A][,NAME=VALUE …]",
        help=f"a further way; names: {', '.join(_WAY_FIELDS)}; such as "
        "smollm2-135m,layout=chat,reasoning=none,examples=2",
    )  # fmt: skip
    group.add_argument("--role", choices=ROLE_CHOICES, default="", help="of ways that name none")


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate, print the verdicts and the table, and write what was asked for."""
    from qeu.services.evaluate import evaluate
    from qeu.services.evaluate_pool import pool_groups

    spec = read_spec(args)
    _check_files(args)
    line = ProgressLine(quiet=args.json)

    def tell(progress: "Progress") -> None:
        done = f"{progress.done:,} of {progress.total:,}"
        line.draw(f"{_STEPS[progress.step]}: {done}")

    def load(step: object) -> None:
        told_load(line, spec.ways[0].model)(step)  # type: ignore[arg-type]

    with open_workspace(make=True) as workspace:

        def work(stop: threading.Event) -> "Evaluation | None":
            engines = make_engines(args)
            return evaluate(engines, workspace, spec, progress=tell, stop=stop, on_load=load)

        found, _ = run_stoppable(work)
        line.clear()
        if found is None:
            say("Stopped. What was written and computed is kept: the same command goes on.")
            return INTERRUPTED
        pooled = pool_groups(found)
        _write_files(args, found, pooled)
        if args.card:
            _write_cards(workspace, found)
    if args.json:
        more = {"pooled": pooled.to_json()} if pooled else {}
        show_json(found.to_json() | more)
    else:
        _show(pooled or found)
    return 0


def read_spec(args: argparse.Namespace) -> EvalSpec:
    """The evaluation that the options describe; raises UsageError naming what is wrong."""
    from qeu.services.evaluate_setup import suggest_ways

    ways: list[Way] = []
    pairs: tuple[tuple[int, int], ...] = ()
    if bool(args.left) != bool(args.right):
        raise UsageError("--left and --right go together.")
    if args.left:
        ways += [_read_way(args.left), _read_way(args.right)]
        pairs = ((0, 1),)
    if args.base:
        reasonings = [one.strip() for one in args.reasonings.split(",") if one.strip()]
        folder = Settings.from_env(os.environ).adapters
        ways += suggest_ways(folder, args.base, args.adapter, reasonings, args.examples)
    elif args.adapter:
        raise UsageError("--adapter needs --base M: the model that it belongs to.")
    ways += map(_read_way, args.way)
    if not ways:
        raise UsageError("Name what to evaluate: --base M --adapter A, or --left and --right.")
    if args.role:
        ways = [way if way.role else replace(way, role=args.role) for way in ways]
    sampling = Sampling.from_json({"max_new_tokens": MAX_NEW_TOKENS} | read_sampling(args))
    where = read_filter(args).to_json()
    if not args.any_split and "split" not in where:
        where |= VALIDATION
    seeds = args.seeds if args.seeds is not None else 1 if sampling.is_greedy else 3
    return EvalSpec(
        args.dataset, tuple(ways), where, args.limit, seeds, sampling, not args.no_losses,
        args.exact, pairs if len(ways) == 2 else (), not args.no_usefulness,
    ).checked()  # fmt: skip


def _read_way(text: str) -> Way:
    """`MODEL[@ADAPTER],NAME=VALUE,…` as a way."""
    model, *settings = text.split(",")
    values: dict[str, object] = {}
    for setting in settings:
        name, is_set, value = setting.partition("=")
        if name not in _WAY_FIELDS or not is_set:
            raise UsageError(
                f"{setting!r} of the way {text!r} is not NAME=VALUE with a name of: "
                f"{', '.join(_WAY_FIELDS)}."
            )
        values[name] = value
    if "examples" in values:
        if not str(values["examples"]).isdecimal():
            raise UsageError(f"examples of the way {text!r} must be a whole number.")
        values["examples"] = int(str(values["examples"]))
    return Way(model, **values)  # type: ignore[arg-type]


def _check_files(args: argparse.Namespace) -> None:
    """Before anything is computed for an hour."""
    if args.report and args.report.suffix not in (".html", ".md"):
        raise UsageError(f"--report is {args.report}; name a file that ends in .html or .md.")
    for path in (args.report, args.texts):
        if path and not path.absolute().parent.is_dir():
            raise UsageError(f"There is no folder {path.parent} to write {path.name} into.")


def _write_files(
    args: argparse.Namespace, found: "Evaluation", pooled: "Evaluation | None"
) -> None:
    import json

    from qeu.services.evaluate_report import write_report

    if args.report:
        write_report(pooled or found, args.report)
        say(f"The report is in {args.report}.")
    if args.texts:
        rows = found.to_json(with_texts=True)["texts"]
        lines = "".join(json.dumps(row) + "\n" for row in rows)  # type: ignore[attr-defined]
        args.texts.write_text(lines, "utf-8")


def _write_cards(workspace: "Workspace", found: "Evaluation") -> None:
    from qeu.services.adapter_card import write_cards

    folder = Settings.from_env(os.environ).adapters
    for path in write_cards(folder, workspace, found):
        say(f"The card is in {path}.")


def _show(found: "Evaluation") -> None:
    from qeu.services.evaluate_picture import tell_use
    from qeu.services.evaluate_table import measure_rows

    for pair in found.pairs:
        show(pair.sentence)
    names = [f"[{at}] {way.facts.name}" for at, way in enumerate(found.ways, start=1)]
    head = ["", *(f"[{at}]" for at in range(1, len(names) + 1))]
    show("\n" + "\n".join(names) + "\n\n" + table([head, *measure_rows(found)]))
    for line in (*tell_use(found), *found.notes):
        show(line)
