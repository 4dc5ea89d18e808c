"""The heat map of a sweep as HTML: a button a field, shaded by its value, and what that means."""

from collections.abc import Mapping

from qeu.core.paired import fewest_records
from qeu.core.sweep_map import HeatMap, MapCell
from qeu.core.sweep_measures import BY_NAME
from qeu.core.sweep_spec import AxisValue
from qeu.services.evaluate_table import tell as tell_value
from qeu.services.sweep_result import CellResult, Sweep
from qeu.services.sweep_table import mark_of, tell_estimate
from qeu.ui.markup import escape
from qeu.ui.strings import text
from qeu.ui.sweep_words import axis_name, measure_name, value_name

# More fields than this nobody reads as a map.
MOST_ROWS, MOST_COLUMNS = 60, 40
# The best cell, and one that cannot be told from it.
SIGNS = {"*": "★", "~": "≈", "": ""}
# The shade of a map whose fields are all equal.
_ALIKE = 0.35

_Cells = Mapping[int, CellResult]


def map_html(sweep: Sweep, found: HeatMap, read: int, language: str) -> str:
    """The map with its legend; `read` is the number of the cell that is read now, 0 for none."""
    cells = {cell.number: cell for cell in sweep.cells}
    rows, columns = found.rows[:MOST_ROWS], found.columns[:MOST_COLUMNS]
    head = "".join(
        f'<th scope="col">{escape(_head(found.column_axis, value, language))}</th>'
        for value in columns
    )
    above = ""
    if found.column_axis:
        name = escape(axis_name(found.column_axis, language))
        above = f'<tr><td></td><th scope="colgroup" colspan="{len(columns)}">{name}</th></tr>'
    corner = escape(axis_name(found.row_axis, language)) if found.row_axis else ""
    lines = "".join(
        f'<tr><th scope="row">{escape(_head(found.row_axis, value, language))}</th>'
        + "".join(
            f"<td>{_field(sweep, cells, found, (at, place), read, language)}</td>"
            for place in range(len(columns))
        )
        + "</tr>"
        for at, value in enumerate(rows)
    )
    cut = ""
    if len(rows) < len(found.rows) or len(columns) < len(found.columns):
        told = text("sweep.cut", language, rows=len(rows), columns=len(columns))
        cut = f'<p class="q-note">{escape(told)}</p>'
    about = escape(measure_name(found.measure, language))
    return (
        f'<div class="q-scroll"><table class="q-heat" aria-label="{about}"><thead>{above}'
        f"<tr><th>{corner}</th>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
        f"{_legend(found, language)}{cut}"
    )


def _head(axis: str, value: AxisValue, language: str) -> str:
    return value_name(axis, value, language) if axis else ""


def _field(
    sweep: Sweep, cells: _Cells, found: HeatMap, place: tuple[int, int], read: int, language: str
) -> str:
    """A field as a button: its value in words and in shade, and whether it can be told."""
    one = found.fields[place[0]][place[1]]
    if one is None:
        told = escape(text("sweep.pending", language))
        return f'<button type="button" class="q-none" disabled title="{told}">…</button>'
    measure = BY_NAME[found.measure]
    alone = one.cells[0] if len(one.cells) == 1 else 0
    mark = SIGNS[mark_of(sweep, alone, found.measure)] if alone else ""
    few = _is_few(cells, one, found.measure)
    value = "–" if one.value is None else tell_value(measure, one.value)
    css = "q-none" if one.value is None else "q-few" if few else ""
    title = escape(_title(sweep, cells, found, place, few, language))
    pressed = "true" if alone and alone == read else "false"
    below = f"<small>{mark}</small>" if mark else ""
    return (
        f'<button type="button" class="{css}" style="--v:{_shade(found, one):.2f}" '
        f'data-do="field" data-value="{place[0]},{place[1]}" aria-pressed="{pressed}" '
        f'aria-label="{title}" title="{title}">{escape(value)}{below}</button>'
    )


def _shade(found: HeatMap, one: MapCell) -> float:
    """From 0, the lowest of the map, to 1."""
    if one.value is None or found.low is None or found.high is None:
        return 0.0
    span = found.high - found.low
    return (one.value - found.low) / span if span else _ALIKE


def _is_few(cells: _Cells, one: MapCell, measure: str) -> bool:
    """Whether so few stand behind a field that no difference to another could be told."""
    estimates = [cells[at].estimates.get(measure) for at in one.cells]
    return sum(found.n for found in estimates if found) < fewest_records()


def _title(
    sweep: Sweep, cells: _Cells, found: HeatMap, place: tuple[int, int], few: bool, language: str
) -> str:
    """A field in one line, for who hovers over it or listens to it."""
    one = found.fields[place[0]][place[1]]
    assert one is not None
    axes = ((found.row_axis, found.rows[place[0]]), (found.column_axis, found.columns[place[1]]))
    where = text("list.comma", language).join(
        f"{axis_name(axis, language)} {value_name(axis, value, language)}"
        for axis, value in axes
        if axis
    )
    if len(one.cells) > 1:
        measure = BY_NAME[found.measure]
        told = "–" if one.value is None else tell_value(measure, one.value)
        told = f"{told} · {text('sweep.mean_of', language, count=f'{len(one.cells):,}')}"
    else:
        estimate = cells[one.cells[0]].estimates.get(found.measure)
        told = tell_estimate(estimate)
        told += f" · n = {estimate.n:,}" if estimate else ""
    parts = [where, told] if where else [told]
    if few:
        parts.append(text("sweep.too_few", language))
    elif len(one.cells) == 1:
        mark = mark_of(sweep, one.cells[0], found.measure)
        if mark:
            parts.append(text("sweep.best" if mark == "*" else "sweep.tied", language))
    return " · ".join(parts)


def _legend(found: HeatMap, language: str) -> str:
    """What shades, hatches and signs mean."""
    if found.low is None or found.high is None:
        return ""
    measure = BY_NAME[found.measure]
    better = {1: "sweep.more_better", -1: "sweep.less_better"}.get(measure.better)
    parts = [
        f'<span class="q-heat-scale"><b>{escape(tell_value(measure, found.low))}</b><i></i>'
        f"<b>{escape(tell_value(measure, found.high))}</b></span>"
    ]
    if better:
        parts.append(f"<span>{escape(text(better, language))}</span>")
        parts.append(f"<span>★ {escape(text('sweep.best', language))}</span>")
        parts.append(f"<span>≈ {escape(text('sweep.tied', language))}</span>")
    parts.append(
        f'<span><i class="q-heat-few"></i> {escape(text("sweep.too_few", language))}</span>'
    )
    if found.averaged:
        names = text("list.comma", language).join(
            axis_name(name, language) for name in found.averaged
        )
        parts.append(f"<span>{escape(text('sweep.averaged_over', language, names=names))}</span>")
    return f'<p class="q-heat-legend">{"".join(parts)}</p>'
