"""Curves over the steps of training runs: SVG strings with a legend and titles to hover over."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qeu.services.usefulness_plot import COLOURS
from qeu.ui.markup import escape
from qeu.ui.strings import text

Points = Sequence[tuple[int, float]]

# (width, height) of the picture's own units; a wide one takes the whole row.
SIZE, WIDE = (420, 220), (860, 280)
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26
# Told apart by the stroke where colours stand for runs.
DASHES = ("", "7 4", "2 3", "9 3 2 3")
# Places to hover over; each tells every curve's value there.
MOST_PLACES = 60
# Curves of so few points show each of them.
MOST_SIGNS = 60
_LEAST = 1e-12


@dataclass(frozen=True)
class Curve:
    """One line: (step, value) pairs in the order of steps; `raw` stands behind it, faint.

    `colour` and `dash` are places in COLOURS and DASHES.
    """

    name: str
    points: Points
    colour: int = 0
    dash: int = 0
    raw: Points = ()


@dataclass(frozen=True)
class Chart:
    """One picture. `tell` writes a value; `share`: the axis goes from 0 to 1; `log`: by powers."""

    title: str
    curves: Sequence[Curve]
    tell: Callable[[float], str] = lambda value: f"{value:.4g}"
    share: bool = False
    log: bool = False
    wide: bool = False


@dataclass(frozen=True)
class _Scale:
    """From steps and values to places in the picture."""

    size: tuple[int, int]
    steps: tuple[int, int]
    low: float
    high: float
    log: bool

    def x(self, step: float) -> float:
        first, last = self.steps
        return LEFT + (step - first) / (last - first) * (self.size[0] - LEFT - RIGHT)

    def y(self, value: float) -> float:
        if self.log:
            value = math.log10(max(value, _LEAST))
        share = (value - self.low) / (self.high - self.low)
        return self.size[1] - BOTTOM - min(max(share, 0.0), 1.0) * (self.size[1] - TOP - BOTTOM)


def chart_html(chart: Chart, language: str) -> str:
    """The picture with its title and legend; "" where nothing was measured."""
    curves = [one for one in (_usable(curve, chart.log) for curve in chart.curves) if one.points]
    if not curves:
        return ""
    values = [value for curve in curves for _, value in (*curve.points, *curve.raw)]
    steps = [step for curve in curves for step, _ in curve.points]
    ticks = _share_ticks() if chart.share else _log_ticks(values) if chart.log else _ticks(values)
    ends = [math.log10(ticks[0]), math.log10(ticks[-1])] if chart.log else [ticks[0], ticks[-1]]
    size = WIDE if chart.wide else SIZE
    first, last = min(steps), max(steps)
    scale = _Scale(size, (first, max(last, first + 1)), ends[0], ends[1], chart.log)
    lines = "".join(_line(curve, scale) for curve in curves)
    about = escape(text("train.chart.about", language, title=chart.title, first=first, last=last))
    legend = _legend(curves) if len(curves) > 1 else ""
    return (
        f'<figure class="q-chart{" q-wide" if chart.wide else ""}">'
        f"<figcaption><b>{escape(chart.title)}</b>{legend}</figcaption>"
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{about}" font-size="11">'
        f"{_axes(chart, scale, ticks)}{lines}{_places(chart, curves, scale, language)}"
        "</svg></figure>"
    )


def _usable(curve: Curve, log: bool) -> Curve:
    """Without what has no place in the picture: no number, or nothing above 0 where by powers."""

    def keep(points: Points) -> Points:
        return [(s, v) for s, v in points if math.isfinite(v) and (v > 0 or not log)]

    return Curve(curve.name, keep(curve.points), curve.colour, curve.dash, keep(curve.raw))


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to eight round values around all of these; 0 among them where it is near."""
    low, high = min(values), max(values)
    if low > 0 and low < 0.4 * high:
        low = 0.0
    # of values that differ by rounding alone the picture would show nothing else
    span = high - low if high - low > 1e-6 * abs(high) else abs(high)
    rough = (span or 1.0) / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{n * step:.6g}") for n in range(first, max(last, first + 1) + 1)]


def _log_ticks(values: Sequence[float]) -> list[float]:
    """Round values by powers, the ends around all of these."""
    low, high = math.log10(min(values)), math.log10(max(values))
    first, last = math.floor(low), math.ceil(high + 1e-9)
    every = [m * 10.0**n for n in range(first, max(last, first + 1) + 1) for m in (1, 2, 5)]
    below = [tick for tick in every if tick <= min(values) * 1.001]
    above = [tick for tick in every if tick >= max(values) * 0.999]
    ticks = [tick for tick in every if (below or every)[-1] <= tick <= (above or every)[0]]
    if len(ticks) < 2:
        ticks = [ticks[0], ticks[0] * 2] if ticks else every[:2]
    if len(ticks) > 8:  # powers alone
        inner = [t for t in ticks[1:-1] if math.isclose(math.log10(t) % 1, 0, abs_tol=1e-9)]
        ticks = [ticks[0], *inner, ticks[-1]]
    return ticks


def _share_ticks() -> list[float]:
    return [0.0, 0.25, 0.5, 0.75, 1.0]


def _step_ticks(first: int, last: int) -> list[int]:
    """About five whole steps."""
    rough = max((last - first) / 5, 1)
    size = 10 ** math.floor(math.log10(rough))
    step = int(next(size * n for n in (1, 2, 5, 10) if size * n >= rough * 0.999))
    return list(range(-(-first // step) * step, last + 1, step))


def _line(curve: Curve, scale: _Scale) -> str:
    colour = COLOURS[curve.colour % len(COLOURS)]
    dash = DASHES[curve.dash % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    stroke = f'fill="none" stroke="{colour}" stroke-linejoin="round"'
    parts = []
    if curve.raw:
        parts.append(f'<path d="{_path(curve.raw, scale)}" {stroke} stroke-opacity=".28"/>')
    if len(curve.points) > 1:
        path = _path(curve.points, scale)
        parts.append(f'<path d="{path}" {stroke} stroke-width="1.8"{dashes}/>')
    if len(curve.points) <= MOST_SIGNS:
        radius = 2.6 if len(curve.points) <= MOST_SIGNS // 2 else 1.8
        parts += [
            f'<circle cx="{scale.x(step):.1f}" cy="{scale.y(value):.1f}" r="{radius}" '
            f'fill="{colour}"/>'
            for step, value in curve.points
        ]
    return "".join(parts)


def _path(points: Points, scale: _Scale) -> str:
    return "M" + "L".join(f"{scale.x(step):.1f} {scale.y(value):.1f}" for step, value in points)


def _axes(chart: Chart, scale: _Scale, ticks: Sequence[float]) -> str:
    (width, height), parts = scale.size, []
    for tick in ticks:
        y = scale.y(tick)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{width - RIGHT}" y2="{y:.1f}" '
            f'stroke="currentColor" stroke-opacity=".14"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">'
            f"{escape(chart.tell(tick))}</text>"
        )
    for step in _step_ticks(*scale.steps):
        parts.append(
            f'<text x="{scale.x(step):.1f}" y="{height - 8}" text-anchor="middle" '
            f'fill="currentColor">{step:,}</text>'
        )
    return "".join(parts)


def _places(chart: Chart, curves: Sequence[Curve], scale: _Scale, language: str) -> str:
    """Unseen stripes over the whole height, each with the values at its step as a title."""
    steps = sorted({step for curve in curves for step, _ in curve.points})
    if len(steps) > MOST_PLACES:
        steps = [steps[round(at * (len(steps) - 1) / (MOST_PLACES - 1))]
                 for at in range(MOST_PLACES)]  # fmt: skip
    by_steps = [[step for step, _ in curve.points] for curve in curves]
    parts = []
    for at, step in enumerate(steps):
        x = scale.x(step)
        left = (scale.x(steps[at - 1]) + x) / 2 if at else LEFT
        right = (x + scale.x(steps[at + 1])) / 2 if at + 1 < len(steps) else scale.size[0] - RIGHT
        told = [text("train.chart.step", language, step=f"{step:,}")]
        for curve, known in zip(curves, by_steps, strict=True):
            value = curve.points[_nearest(known, step)][1]
            told.append(f"{curve.name}: {chart.tell(value)}")
        parts.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" '
            f'height="{scale.size[1] - TOP - BOTTOM}"><title>{escape(" · ".join(told))}</title>'
            "</rect>"
        )
    return f'<g class="q-places" fill="transparent">{"".join(parts)}</g>'


def _nearest(known: Sequence[int], step: int) -> int:
    at = bisect_left(known, step)
    if at == len(known) or (at and step - known[at - 1] <= known[at] - step):
        return at - 1
    return at


def _legend(curves: Sequence[Curve]) -> str:
    return "".join(
        '<span class="q-key"><svg viewBox="0 0 22 8" width="22" height="8" aria-hidden="true">'
        f'<line x1="0" y1="4" x2="22" y2="4" stroke="{COLOURS[one.colour % len(COLOURS)]}" '
        f'stroke-width="3" stroke-dasharray="{DASHES[one.dash % len(DASHES)] or "none"}"/></svg>'
        f"{escape(one.name)}</span>"
        for one in curves
    )
