"""Usefulness against leak as a picture: SVG that needs nothing outside itself, in any language."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from qeu.core.leak import LIMIT as LEAK_LIMIT

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
# Between the frame and a score of 0 or 1, so that signs there hide no figure of the axis.
INSET = 14
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


@dataclass(frozen=True)
class Point:
    """A text: its leak score, 0 to 1, its usefulness in nats a token, and what is told of it."""

    source: str
    leak: float
    useful: float
    title: str


@dataclass(frozen=True)
class Center:
    """Where the texts of a source lie on average; `half` is half of the 95% interval upwards."""

    source: str
    leak: float
    useful: float
    half: float | None
    title: str


@dataclass(frozen=True)
class PictureWords:
    """What stands at the axes."""

    leak: str = "Leak score of the reasoning (a leak from 0.5 on)"
    useful: str = "Usefulness, nats per token"


PLAIN_WORDS = PictureWords()


def draw_points(
    points: Sequence[Point],
    styles: Mapping[str, Style],
    about: str,
    words: PictureWords = PLAIN_WORDS,
    centers: Sequence[Center] = (),
    legend: bool = False,
) -> str:
    """The picture: leak score to the right, usefulness upwards; points are thinned where they are
    more than can be told apart. `legend` writes the sources below them, for a file of its own.
    """
    ends = [one.useful for one in points]
    ends += [one.useful + side * (one.half or 0.0) for one in centers for side in (-1, 1)]
    ticks = _ticks(ends)
    drawn = "".join(_point(one, styles[one.source], ticks) for one in thinned(points))
    drawn += "".join(_center(one, styles[one.source], ticks) for one in centers)
    height = HEIGHT + 18 * len(styles) * legend
    if legend:
        for at, (source, style) in enumerate(styles.items()):
            y = HEIGHT + 18 * at + 6
            place = f'transform="translate({LEFT} {y})"'
            drawn += f'<path d="{style.shape}" {place} fill="{style.colour}"/>'
            drawn += _words(LEFT + 12, y + 4, source, "start")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(about)}" '
        'style="width:100%;height:auto;color:var(--body-text-color,currentColor)" '
        'font-size="12" font-family="inherit">'
        f"<title>{escape(about)}</title>{_axes(ticks, words)}{drawn}</svg>"
    )


def draw_sign(style: Style) -> str:
    """A source's sign by itself, for a legend or a table."""
    return (
        '<svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true" '
        'style="display:inline-block">'
        f'<path d="{style.shape}" fill="{style.colour}"/></svg>'
    )


def draw_legend(styles: Mapping[str, Style]) -> str:
    """The sources with their signs."""
    items = "".join(
        f'<li style="display:inline-block;margin-inline-end:1rem">{draw_sign(style)} '
        f"{escape(source)}</li>"
        for source, style in styles.items()
    )
    return f'<ul style="list-style:none;padding:0;margin:0">{items}</ul>'


def thinned(points: Sequence[Point]) -> Sequence[Point]:
    """So many of them as are drawn, taken evenly."""
    if len(points) <= MOST_POINTS:
        return points
    step = len(points) / MOST_POINTS
    return [points[int(at * step)] for at in range(MOST_POINTS)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Round values around all of these and 0, five to ten of them."""
    low, high = min(0.0, *values), max(0.0, *values)
    rough = (high - low or 0.1) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 10) for n in range(first, last + (first == last) + 1)]


def _x(leak: float) -> float:
    return LEFT + INSET + min(max(leak, 0.0), 1.0) * (WIDTH - LEFT - RIGHT - 2 * INSET)


def _y(useful: float, ticks: Sequence[float]) -> float:
    share = (useful - ticks[0]) / (ticks[-1] - ticks[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _point(one: Point, style: Style, ticks: Sequence[float]) -> str:
    place = f"translate({_x(one.leak):.1f} {_y(one.useful, ticks):.1f})"
    return (
        f'<path d="{style.shape}" transform="{place}" fill="{style.colour}" fill-opacity=".7" '
        f'stroke="{style.colour}"><title>{escape(one.title)}</title></path>'
    )


def _center(one: Center, style: Style, ticks: Sequence[float]) -> str:
    """A large sign with its interval; its edge keeps it apart from the points below it."""
    x, y = _x(one.leak), _y(one.useful, ticks)
    line = ""
    if one.half:
        ends = (_y(one.useful + side * one.half, ticks) for side in (-1, 1))
        low, high = ends
        line = (
            f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" '
            f'stroke="{style.colour}" stroke-width="3"/>'
        )
    return (
        f'<g class="q-center"><title>{escape(one.title)}</title>{line}<path d="{style.shape}" '
        f'transform="translate({x:.1f} {y:.1f}) scale(2.2)" fill="{style.colour}" '
        'stroke="currentColor" stroke-width=".6"/></g>'
    )


def _axes(ticks: Sequence[float], words: PictureWords) -> str:
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
    parts.append(_words(middle, HEIGHT - 8, words.leak, "middle"))
    y = (TOP + bottom) / 2
    label = escape(words.useful)
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
