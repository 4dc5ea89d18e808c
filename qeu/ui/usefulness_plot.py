"""Usefulness against leak as a picture, and the means of each source as a table: HTML strings."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qeu.core.leak import LIMIT as LEAK_LIMIT
from qeu.core.usefulness import Mean
from qeu.services.usefulness import UsefulRow
from qeu.services.usefulness_summary import SourceUsefulness
from qeu.ui.markup import escape
from qeu.ui.strings import text

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
# More points than this only hide each other; they are taken evenly from all.
MOST_POINTS = 3_000
# One colour and one shape a source; the colours keep apart on white, on black, and for those who
# tell few colours (Okabe and Ito, the two that vanish on one of the grounds replaced).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56a0d3", "#8a63d2", "#7a7a7a")
# Paths around 0, 0 of like area.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5L4.8 3.4H-4.8z",
    "M0-5L5 0L0 5L-5 0z",
    "M0 5L4.8-3.4H-4.8z",
    "M-1.6-5h3.2v3.4H5v3.2H1.6V5h-3.2V1.6H-5v-3.2h3.4z",
    "M-5-2.2L-2.2-5L0-2.8L2.2-5L5-2.2L2.8 0L5 2.2L2.2 5L0 2.8L-2.2 5L-5 2.2L-2.8 0z",
    "M-5-2.6h10v5.2h-10z",
)


@dataclass(frozen=True)
class Style:
    """How the points of a source look."""

    colour: str
    shape: str


def style_of(place: int) -> Style:
    """The look of the n-th source from 0; shapes shift so that 64 sources differ."""
    shift = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], SHAPES[(place + shift) % len(SHAPES)])


def plot_usefulness(rows: Iterable[UsefulRow], language: str) -> str:
    """The picture: leak score to the right, usefulness upwards, a point a text; "" of none.

    Every point has a title to hover over; the legend tells sources by colour and shape alike.
    """
    shown, places = list[UsefulRow](), dict[str, int]()
    for row in rows:
        # those without a point have their place, too: the table counts all
        places.setdefault(row.source, len(places))
        if row.result.useful is not None:
            shown.append(row)
    if not shown:
        return ""
    drawn_sources = {row.source for row in shown}
    styles = {name: style_of(place) for name, place in places.items() if name in drawn_sources}
    drawn = _thinned(shown)
    ticks = _ticks([float(row.result.useful or 0.0) for row in shown])
    points = "".join(_point(row, styles[row.source], ticks, language) for row in drawn)
    about = text("usefulness.plot.about", language, count=f"{len(shown):,}")
    cut = ""
    if len(drawn) < len(shown):
        cut = text("usefulness.plot.thinned", language, count=f"{len(drawn):,}")
        cut = f'<p class="q-note">{escape(cut)}</p>'
    return (
        '<figure class="q-usefulness" style="margin:0;max-width:48rem">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(about)}" '
        'style="width:100%;height:auto;color:var(--body-text-color,currentColor)" '
        'font-size="12" font-family="inherit">'
        f"<title>{escape(about)}</title>{_axes(ticks, language)}{points}</svg>"
        f"{_legend(styles)}{cut}</figure>"
    )


def source_table(sources: Sequence[SourceUsefulness], language: str) -> str:
    """A row a source: mean usefulness with its interval, the second column, leak rate; "" of none.

    Sources have the signs of the picture if they come in the same order.
    """
    if not sources:
        return ""
    names = (
        text("usefulness.table.source", language),
        text("usefulness.table.useful", language),
        text("usefulness.table.gain", language),
        text("usefulness.table.texts", language),
        text("usefulness.table.leaked", language),
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = ""
    for place, one in enumerate(sources):
        share = f"{one.leaked.share:.0%}" if one.leaked.share is not None else "–"
        cells = (
            _mean(one.useful),
            _mean(one.gain_without),
            f"{one.useful.count:,}" if one.useful else "0",
            f"{share} ({one.leaked.count:,}/{one.leaked.of:,})",
        )
        columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f"<tr><td>{_sign(style_of(place))} {escape(one.source)}</td>{columns}</tr>"
    note = escape(text("usefulness.table.note", language))
    return (
        f'<table class="q-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="q-note">{note}</p>'
    )


def _thinned(rows: Sequence[UsefulRow]) -> Sequence[UsefulRow]:
    if len(rows) <= MOST_POINTS:
        return rows
    step = len(rows) / MOST_POINTS
    return [rows[int(at * step)] for at in range(MOST_POINTS)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Round values around all of these and 0, five to ten of them."""
    low, high = min(0.0, *values), max(0.0, *values)
    rough = (high - low or 0.1) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 10) for n in range(first, last + (first == last) + 1)]


def _x(leak: float) -> float:
    return LEFT + min(max(leak, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)


def _y(useful: float, ticks: Sequence[float]) -> float:
    share = (useful - ticks[0]) / (ticks[-1] - ticks[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _point(row: UsefulRow, style: Style, ticks: Sequence[float], language: str) -> str:
    found = row.result
    title = text(
        "usefulness.plot.point", language, seq=row.seq, source=row.source,
        useful=f"{found.useful:+.3f}", leak=f"{row.leak:.2f}", cut=found.cut_own,
    )  # fmt: skip
    place = f"translate({_x(row.leak):.1f} {_y(found.useful or 0.0, ticks):.1f})"
    return (
        f'<path d="{style.shape}" transform="{place}" fill="{style.colour}" fill-opacity=".7" '
        f'stroke="{style.colour}"><title>{escape(title)}</title></path>'
    )


def _axes(ticks: Sequence[float], language: str) -> str:
    parts = []
    bottom = HEIGHT - BOTTOM
    for tick in ticks:
        y = _y(tick, ticks)
        strength = ".7" if tick == 0 else ".15"  # the line between helping and hindering
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, strength))
        parts.append(_words(LEFT - 6, y + 4, f"{tick:g}", "end"))
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(tick)
        # from here on it counts as a leak
        dashes = ' stroke-dasharray="4 3"' if tick == LEAK_LIMIT else ""
        parts.append(_line(x, TOP, x, bottom, ".5" if dashes else ".15", dashes))
        parts.append(_words(x, bottom + 16, f"{tick:g}", "middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_words(middle, HEIGHT - 8, text("usefulness.plot.leak", language), "middle"))
    y = (TOP + bottom) / 2
    label = escape(text("usefulness.plot.useful", language))
    turned = f'transform="rotate(-90 14 {y:.0f})"'
    parts.append(
        f'<text x="14" y="{y:.0f}" {turned} text-anchor="middle" fill="currentColor">{label}</text>'
    )
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, strength: str, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="{strength}"{more}/>'


def _words(x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="currentColor">{escape(words)}</text>'


def _legend(styles: dict[str, Style]) -> str:
    items = "".join(
        f'<li style="display:inline-block;margin-inline-end:1rem">{_sign(style)} '
        f"{escape(source)}</li>"
        for source, style in styles.items()
    )
    return f'<figcaption><ul style="list-style:none;padding:0;margin:0">{items}</ul></figcaption>'


def _sign(style: Style) -> str:
    return (
        '<svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">'
        f'<path d="{style.shape}" fill="{style.colour}"/></svg>'
    )


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    half = f" ± {mean.half_width:.3f}" if mean.half_width is not None else ""
    return f"{mean.value:+.3f}{half}"
