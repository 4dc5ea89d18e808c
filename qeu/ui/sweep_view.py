"""A sweep as HTML: what is best, its heat map with the choice of axes, all cells as a table."""

from collections.abc import Sequence

from qeu.core.sweep_map import HeatMap
from qeu.core.sweep_measures import BY_NAME
from qeu.core.sweep_spec import AxisValue
from qeu.core.sweep_verdict import NONE, TOLD
from qeu.services.sweep_result import CellResult, Sweep
from qeu.services.sweep_table import mark_of, tell_estimate
from qeu.store.sweeps import OPEN, StoredSweep
from qeu.ui.markup import escape
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.sweep_look import Look
from qeu.ui.sweep_map_view import SIGNS, map_html
from qeu.ui.sweep_words import axis_name, best_text, cell_name, measure_name, value_name

# More rows than this nobody reads; the files have all.
MOST_LISTED = 200


def sweep_html(sweep: Sweep, look: Look, others: Sequence[StoredSweep], language: str) -> str:
    """All of one sweep, as far as it is; `others` can be gone to."""
    look = look.settled(sweep)
    body = _facts(sweep, language)
    if sweep.measures:
        body += _choices(sweep, look, language) + _verdict(sweep, look, language)
    if sweep.total:
        body += map_html(sweep, find_map(sweep, look), look.cell, language)
    if sweep.measures:
        body += _table(sweep, look, language)
    notes = "".join(f'<p class="q-note">{escape(tell(one, language))}</p>' for one in sweep.notes)
    return f'<div class="q-sweep">{body}{notes}{others_html(others, language)}</div>'


def find_map(sweep: Sweep, look: Look) -> HeatMap:
    """The heat map that a settled look asks for."""
    axes = sweep.spec.axes
    fixed: dict[str, AxisValue] = {name: axes[name][at] for name, at in look.fixed.items()}
    return sweep.heat_map(look.measure, look.row, look.column, fixed)


def nothing_html(language: str) -> str:
    """Before there is any."""
    return f'<p class="q-hint q-nothing">{escape(text("sweep.nothing", language))}</p>'


def others_html(others: Sequence[StoredSweep], language: str) -> str:
    """The other sweeps, the latest first; one that has not come to its end can go on."""
    if not others:
        return ""
    items = "".join(_other(one, language) for one in others)
    title = escape(text("sweep.others", language))
    return f'<details class="q-earlier"><summary>{title}</summary><ul>{items}</ul></details>'


def _other(one: StoredSweep, language: str) -> str:
    told = f"{one.at[:16].replace('T', ' ')} · {one.title}"
    open_ = ""
    if one.state == OPEN:
        so_far = text("sweep.cells_of", language, done=f"{one.done:,}", total=f"{one.cells:,}")
        go_on = escape(text("sweep.go_on", language))
        open_ = (
            f' <small>{escape(so_far)}</small> <button type="button" class="q-link" '
            f'data-do="resume" data-value="{one.id}">{go_on}</button>'
        )
    return (
        f'<li><button type="button" class="q-link" data-do="show" data-value="{one.id}">'
        f"{escape(told)}</button>{open_}</li>"
    )


def _facts(sweep: Sweep, language: str) -> str:
    told = text(
        "sweep.facts", language, prompts=f"{len(sweep.records):,}", seeds=f"{sweep.spec.seeds:,}",
        cells=f"{sweep.total or sweep.spec.combinations:,}",
    )  # fmt: skip
    facts = [
        f"<b>{escape(text('sweep.number', language, number=sweep.number))}</b>",
        escape(told),
        f"{escape(sweep.at[:16].replace('T', ' '))} UTC",
    ]
    return f'<p class="q-facts">{" · ".join(facts)}</p>'


def _choices(sweep: Sweep, look: Look, language: str) -> str:
    """Drop-down lists for the measure, the axes, and what the other axes are held at."""
    varied = sweep.spec.varied
    measures = [(name, measure_name(name, language, arrow=True)) for name in sweep.measures]
    parts = [_select("measure", text("sweep.measure", language), measures, look.measure)]
    axes = [(name, axis_name(name, language)) for name in varied]
    if len(varied) > 1:
        parts.append(_select("row", text("sweep.rows", language), axes, look.row))
        parts.append(_select("column", text("sweep.columns", language), axes, look.column))
    for name in varied:
        if name in (look.row, look.column):
            continue
        values = [(f"{name}:-1", text("sweep.averaged", language))]
        values += [
            (f"{name}:{at}", value_name(name, value, language))
            for at, value in enumerate(sweep.spec.axes[name])
        ]
        chosen = f"{name}:{look.fixed.get(name, -1)}"
        parts.append(_select("fix", axis_name(name, language), values, chosen))
    return f'<div class="q-heat-choice">{"".join(parts)}</div>'


def _select(do: str, label: str, choices: Sequence[tuple[str, str]], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(name)}</option>"
        for value, name in choices
    )
    return (
        f"<label><span>{escape(label)}</span>"
        f'<select data-do="{do}" aria-label="{escape(label)}">{options}</select></label>'
    )


def _verdict(sweep: Sweep, look: Look, language: str) -> str:
    best = sweep.best(look.measure)
    told = best_text(sweep, best, language)
    if not told or best.verdict == NONE:
        return ""
    css = "q-helps" if best.verdict == TOLD else "q-unclear"
    name = escape(measure_name(look.measure, language))
    return (
        f'<div class="q-verdict {css}" role="status"><b class="q-verdict-word {css}">{name}</b>'
        f"<p>{escape(told)}</p></div>"
    )


def _table(sweep: Sweep, look: Look, language: str) -> str:
    """Every cell with every measure, the best by the chosen measure first; folded away."""
    sign = BY_NAME[look.measure].better or 1

    def order(cell: CellResult) -> tuple[bool, float, int]:
        one = cell.estimates.get(look.measure)
        return one is None, -sign * one.value if one else 0.0, cell.number

    cells = sorted(sweep.cells, key=order)
    head = "".join(
        f'<th scope="col">{escape(name)}</th>'
        for name in (
            text("sweep.cell_head", language),
            *(measure_name(name, language, arrow=True) for name in sweep.measures),
        )
    )
    rows = "".join(_row(sweep, cell, look, language) for cell in cells[:MOST_LISTED])
    cut = ""
    if len(cells) > MOST_LISTED:
        told = text("sweep.table_cut", language, count=MOST_LISTED, total=f"{len(cells):,}")
        cut = f'<p class="q-note">{escape(told)}</p>'
    title = escape(text("sweep.table", language))
    return (
        f'<details class="q-cells"><summary>{title}</summary><div class="q-scroll">'
        f'<table class="q-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{cut}</details>"
    )


def _row(sweep: Sweep, cell: CellResult, look: Look, language: str) -> str:
    name = escape(cell_name(sweep.spec, cell, language))
    pressed = "true" if cell.number == look.cell else "false"
    figures = "".join(
        f"<td>{escape(tell_estimate(cell.estimates.get(measure)))}"
        f"{SIGNS[mark_of(sweep, cell.number, measure)]}</td>"
        for measure in sweep.measures
    )
    return (
        f'<tr><th scope="row"><button type="button" class="q-link" data-do="cell" '
        f'data-value="{cell.number}" aria-pressed="{pressed}">{name}</button></th>{figures}</tr>'
    )
