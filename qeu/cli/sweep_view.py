"""A sweep in the terminal: what it would do, its cells as a table, a heat map, what can be told."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.screen import say, show, table
from qeu.core.errors import UsageError
from qeu.core.sweep_map import make_map
from qeu.core.sweep_measures import BY_NAME
from qeu.core.sweep_spec import AxisValue, SweepSpec

if TYPE_CHECKING:
    from qeu.services.sweep_plan import SweepPlan
    from qeu.services.sweep_result import Sweep

# Rows of the table; all are in the CSV file and in the JSON.
MOST_ROWS = 64
# What people look at first: the map shows the first of these that there is.
_FIRST = ("right", "contract", "reference", "closed", "distinct_2")


def add_view(group: "argparse._ActionsContainer") -> None:
    """Options of the heat map, and the file."""
    group.add_argument(
        "--measure", choices=tuple(BY_NAME), help="what the heat map shows (the first there is)"
    )
    group.add_argument("--rows", metavar="AXIS", help="axis down the heat map")
    group.add_argument("--columns", metavar="AXIS", help="axis along the heat map")
    group.add_argument(
        "--fix", action="append", default=[], metavar="AXIS=VALUE",
        help="hold an axis at a value; other axes are averaged over",
    )  # fmt: skip
    group.add_argument("--csv", type=Path, metavar="FILE", help="write all cells as CSV")


def check_view(args: argparse.Namespace, spec: SweepSpec) -> None:
    """Before anything is computed for an hour; raises UsageError."""
    make_map(
        spec, (), {}, args.measure or _FIRST[0], args.rows or "", args.columns or "",
        read_fixed(args, spec),
    )  # fmt: skip
    if args.csv and not args.csv.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {args.csv.parent} to write {args.csv.name} into.")


def read_fixed(args: argparse.Namespace, spec: SweepSpec) -> dict[str, AxisValue]:
    """The axes that are held at a value."""
    fixed: dict[str, AxisValue] = {}
    for text in args.fix:
        name, is_set, shown = text.partition("=")
        name = name.replace("-", "_")
        if not is_set:
            raise UsageError(f"{text!r} is not AXIS=VALUE.")
        values = spec.axes.get(name, ())
        fixed[name] = next((value for value in values if _same(value, shown)), shown)
    return fixed


def _same(value: AxisValue, shown: str) -> bool:
    if isinstance(value, str):
        return value == shown
    try:
        return float(shown) == value
    except ValueError:
        return False


def plan_lines(plan: "SweepPlan") -> list[str]:
    """What a sweep would do, a line each."""
    cells = f"{plan.cells:,} cells"
    if plan.cells < plan.combinations:
        cells += f" (of {plan.combinations:,} combinations; the others ask the very same)"
    cached = "" if plan.cached is None else f", {plan.cached:,} of them there already"
    lines = [f"{cells}, {plan.prompts:,} prompts, {plan.texts:,} texts{cached}"]
    if plan.todo:
        time = "unknown before a first run" if plan.seconds is None else duration(plan.seconds)
        lines.append(f"to write: {plan.todo:,} texts, at most {plan.tokens:,} tokens; time: {time}")
    return [*lines, *(f"{count:,} not asked: {why}" for why, count in plan.reasons.items())]


def duration(seconds: float) -> str:
    """A span in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def show_sweep(args: argparse.Namespace, sweep: "Sweep") -> None:
    """The table of cells, a heat map, a sentence a measure, and the notes."""
    from qeu.services.sweep_table import best_sentence, map_rows, table_rows

    measures = sweep.measures
    rows = table_rows(sweep, measures, intervals=False)
    show(table(rows[: MOST_ROWS + 1]))
    if len(rows) > MOST_ROWS + 1:
        say(f"{len(rows) - 1 - MOST_ROWS:,} more cells; --csv FILE or --json has all.")
    if any(sweep.best(name).verdict not in ("none", "equal") for name in measures):
        show("* best of its measure   ~ cannot be told from it")
    shown = args.measure or _choose(sweep)
    if len(sweep.cells) > 1:
        found = sweep.heat_map(shown, args.rows, args.columns, read_fixed(args, sweep.spec))
        over = f", averaged over {', '.join(found.averaged)}" if found.averaged else ""
        show(f"\n{BY_NAME[shown].label}{over}")
        show(table(map_rows(sweep, found)))
    told = [(name, best_sentence(sweep, sweep.best(name))) for name in measures]
    show("")
    for name, sentence in told:
        if sentence:
            show(f"{name}: {sentence}")
    for note in sweep.notes:
        show(note)


def _choose(sweep: "Sweep") -> str:
    """The first measure that people look for in which the cells differ."""
    there = [name for name in _FIRST if name in sweep.measures]
    differing = [name for name in there if sweep.best(name).verdict not in ("equal", "none")]
    return next(iter((*differing, *there)), "length")


def write_csv(path: Path | None, sweep: "Sweep") -> None:
    """The cells as a file, if one was asked for."""
    from qeu.services.sweep_table import csv_text

    if path is None:
        return
    try:
        path.write_text(csv_text(sweep), "utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}).") from error
    say(f"{len(sweep.cells):,} cells are in {path}.")
