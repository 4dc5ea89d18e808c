"""A sweep as words: its cells as rows, what is best as a sentence, a heat map as text, a file."""

import csv
import io
from collections.abc import Sequence

from qeu.core.sweep_map import HeatMap, MapCell
from qeu.core.sweep_measures import BY_NAME, Estimate
from qeu.core.sweep_spec import AxisValue
from qeu.core.sweep_verdict import EQUAL, NONE, TOLD, TOO_FEW, Best
from qeu.services.evaluate_table import NONE as NOTHING
from qeu.services.evaluate_table import tell, tell_average
from qeu.services.evaluate_verdict import tell_p
from qeu.services.sweep_result import CellResult, Sweep

_SHADES = " ░▒▓█"


def show_value(value: AxisValue) -> str:
    """An axis value as it is written; "own" for what the model itself brings."""
    if isinstance(value, str):
        return value or "own"
    return f"{value:g}"


def name_cell(sweep: Sweep, cell: CellResult) -> str:
    """A cell by its values on the varied axes; all of those that come to it, by commas."""
    names = list(sweep.spec.axes)
    parts = []
    for name in sweep.spec.varied:
        at = names.index(name)
        values = dict.fromkeys(show_value(one[at]) for one in cell.cell.combinations)
        parts.append(f"{name} {'/'.join(values)}")
    return ", ".join(parts) or f"cell {cell.number}"


def tell_estimate(one: Estimate | None, interval: bool = True) -> str:
    """A mean, with its interval where there is one."""
    return tell_average(BY_NAME[one.measure], one, interval) if one else NOTHING  # type: ignore[arg-type]


def best_sentence(sweep: Sweep, best: Best) -> str:
    """What can be said of the best cell of a measure, with its test; "" where nothing can.

    `n` is counted in the sweep's unit: prompts, or texts.
    """
    measure = BY_NAME[best.measure]
    if best.verdict == NONE or best.comparison is None:
        return ""
    if best.verdict == EQUAL:
        return "All cells are equal."
    one = best.comparison
    top = f"{name_cell(sweep, sweep.cell(best.best))} ({tell(measure, one.right)})"
    after = f"{name_cell(sweep, sweep.cell(best.next_best))} ({tell(measure, one.left)})"
    if best.verdict == TOLD:
        return f"Best: {top}. Next: {after} ({tell_p(one.p)}, n = {one.n:,})."
    if best.verdict == TOO_FEW:
        return (
            f"Too few samples to tell: n = {one.n:,}, and at least {best.needed} are needed. "
            f"On top: {top}. Next: {after}."
        )
    return (
        f"Cannot tell which is best at n = {one.n:,}. On top: {top}. Next: {after} "
        f"({tell_p(one.p)}). Of the {best.tested:,} nearest cells {len(best.tied):,} cannot be "
        "told from the top."
    )


def table_rows(sweep: Sweep, measures: Sequence[str], *, intervals: bool = True) -> list[list[str]]:
    """A head and a row a cell: its number, its values on the varied axes, its measures.

    "*" marks the best cell of a measure, "~" those that cannot be told from it.
    """
    names, varied = list(sweep.spec.axes), sweep.spec.varied
    rows = [["cell", *varied, "texts", *measures]]
    for cell in sweep.cells:
        values = [
            "/".join(
                dict.fromkeys(show_value(c[names.index(name)]) for c in cell.cell.combinations)
            )
            for name in varied
        ]
        shown = [
            tell_estimate(cell.estimates.get(name), intervals) + mark_of(sweep, cell.number, name)
            for name in measures
        ]
        rows.append([str(cell.number), *values, str(len(cell.samples)), *shown])
    return rows


def mark_of(sweep: Sweep, number: int, measure: str) -> str:
    """ "*" for the best cell of a measure, "~" for one that cannot be told from it, else ""."""
    best = sweep.best(measure)
    if best.verdict in (NONE, EQUAL):
        return ""
    if number == best.best:
        return "*"
    return "~" if number in best.tied else ""


def map_rows(sweep: Sweep, found: HeatMap) -> list[list[str]]:
    """A heat map as rows of words, each field with a shade of its place between low and high."""
    corner = " \\ ".join(filter(None, (found.row_axis, found.column_axis)))
    rows = [[corner, *map(show_value, found.columns)]] if found.column_axis else []
    for value, line in zip(found.rows, found.fields, strict=True):
        head = show_value(value) if found.row_axis else ""
        rows.append([head, *(_show_field(sweep, found, one) for one in line)])
    return rows


def csv_text(sweep: Sweep) -> str:
    """The cells as CSV with a head: settings, then value, low, high and n of each measure."""
    out = io.StringIO()
    axes = list(sweep.spec.axes)
    head = ["cell", *axes, "texts", "same_as"]
    for name in sweep.measures:
        head += [name, f"{name}_low", f"{name}_high", f"{name}_n"]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*head, "failed"])
    for cell in sweep.cells:
        figures: list[object] = []
        for name in sweep.measures:
            one = cell.estimates.get(name)
            figures += [one.value, one.low, one.high, one.n] if one else [None] * 4
        for at, combination in enumerate(cell.cell.combinations):
            # one that asks the very same has its row, and says so
            same = cell.number if at else ""
            row = [cell.number, *combination, len(cell.samples), same, *figures]
            writer.writerow([*row, sum(cell.failed.values())])
    return out.getvalue()


def _show_field(sweep: Sweep, found: HeatMap, one: MapCell | None) -> str:
    if one is None or one.value is None:
        return NOTHING
    span = (found.high or 0) - (found.low or 0)
    place = (one.value - (found.low or 0)) / span if span else 0.5
    shade = _SHADES[round(place * (len(_SHADES) - 1))] * 2
    mark = mark_of(sweep, one.cells[0], found.measure) if len(one.cells) == 1 else ""
    return f"{shade} {tell(BY_NAME[found.measure], one.value)}{mark}"
