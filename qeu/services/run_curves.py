"""The curves of a training run as one small SVG: losses above, what the samples were like below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from qeu.core.run_metrics import RunMetrics, smooth, thin_out

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 190, 52, 132, 22, 26
MOST_POINTS = 200
# Okabe and Ito: apart for those who tell few colours, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_SAMPLES = ("contract", "leak", "closed", "loop")
Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Panel:
    """One picture with a scale of its own; `curves` by name."""

    title: str
    curves: Mapping[str, Points]
    low: float
    high: float


def draw_curves(metrics: RunMetrics) -> str:
    """The whole picture; "" where nothing was measured."""
    panels = [panel for panel in (_losses(metrics), _samples(metrics)) if panel]
    if not panels:
        return ""
    height = HEIGHT * len(panels)
    body = "".join(_draw(panel, HEIGHT * at) for at, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Curves of the training run" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{body}</svg>\n'
    )


def _losses(metrics: RunMetrics) -> Panel | None:
    curves: dict[str, Points] = {
        "training": thin_out(smooth(metrics.curve("train", "loss"), 0.8), MOST_POINTS),
        "validation": metrics.curve("validation", "loss"),
        "its reasoning": metrics.curve("validation", "reasoning_loss"),
        "its answer": metrics.curve("validation", "answer_loss"),
    }
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    shown = {name: points for name, points in finite.items() if points}
    values = [value for points in shown.values() for _, value in points]
    if not values:
        return None
    return Panel("loss (nats a token)", shown, 0.0, max(values) or 1.0)


def _samples(metrics: RunMetrics) -> Panel | None:
    curves: dict[str, Points] = {}
    for name in _SAMPLES:
        points = []
        for line in metrics.of("samples"):
            rate, step = line.get(name), line["step"]
            if isinstance(rate, Mapping) and rate.get("of") and isinstance(step, int):
                points.append((step, rate["count"] / rate["of"]))
        if points:
            curves[name] = points
    return Panel("share of the samples", curves, 0.0, 1.0) if curves else None


def _draw(panel: Panel, top: int) -> str:
    last = max((points[-1][0] for points in panel.curves.values()), default=0) or 1
    right, bottom = WIDTH - RIGHT, top + HEIGHT - BOTTOM

    def place(step: int, value: float) -> str:
        x = LEFT + (right - LEFT) * step / last
        share = (value - panel.low) / (panel.high - panel.low)
        return f"{x:.1f},{bottom - share * (bottom - top - TOP):.1f}"

    parts = [f'<text x="{LEFT}" y="{top + 14}" fill="#333">{escape(panel.title)}</text>']
    for value in (panel.low, (panel.low + panel.high) / 2, panel.high):
        x, y = place(0, value).split(",")
        parts.append(f'<line x1="{x}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" dy="4">{value:.3g}</text>')
    for step in (0, last):
        x = place(step, panel.low).split(",")[0]
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{step:,}</text>')
    for at, (name, points) in enumerate(panel.curves.items()):
        colour = COLOURS[at % len(COLOURS)]
        line = " ".join(place(step, value) for step, value in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        )
        if len(points) <= MOST_POINTS // 4:
            for step, value in points:
                x, y = place(step, value).split(",")
                parts.append(f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>')
        y = top + TOP + 12 + 16 * at
        parts.append(f'<text x="{right + 12}" y="{y}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
