"""Pictures of an evaluation as SVG that needs nothing outside itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from qeu.core.eval_measures import BY_NAME, Measure
from qeu.core.paired import Comparison
from qeu.services.evaluate_result import Evaluation, PairSummary
from qeu.services.evaluate_table import label_of, tell_difference

WIDTH, LABELS, FIGURES = 860, 300, 190
ROW, TOP, BOTTOM = 24, 30, 26
# Better, worse, neither; apart on white and on black, and for those who tell few colours.
COLOURS = {1: "#009e73", -1: "#d55e00", 0: "#7a7a7a"}
_STYLE = "<style>text{fill:#555}.m{font-size:11px}.z{stroke:#888;stroke-dasharray:3 3}</style>"


@dataclass(frozen=True)
class PlotWords:
    """What stands in a picture beside figures; `style` is its own, for a file of its own."""

    label: Callable[[Measure], str] = label_of
    figures: Callable[[Measure, Comparison], str] = tell_difference
    worse: str = "worse"
    better: str = "better"
    about: str = "{right} against {left}: differences with their 95% intervals"
    style: str = _STYLE


PLAIN_WORDS = PlotWords()


@dataclass(frozen=True)
class Bar:
    """A difference with its interval on a scale from -1 to 1, 0 in the middle."""

    label: str
    figures: str
    value: float
    low: float
    high: float
    sign: int


def plot_pair(evaluation: Evaluation, pair: PairSummary, words: PlotWords = PLAIN_WORDS) -> str:
    """A line a measure: the difference between the two ways with its interval; "" of none.

    To the right is better; measures that are neither better nor worse are left out. Each line has
    a scale of its own, so that the interval can be read against 0.
    """
    bars = list(_bars(pair, words))
    if not bars:
        return ""
    left = evaluation.ways[pair.left].facts.name
    right = evaluation.ways[pair.right].facts.name
    height = TOP + ROW * len(bars) + BOTTOM
    about = escape(words.about.format(left=left, right=right))
    middle = LABELS + (WIDTH - LABELS - FIGURES) / 2
    worse, better = escape(words.worse), escape(words.better)
    head = (
        f'<text x="{middle - 8:.0f}" y="16" text-anchor="end" class="m">{worse}</text>'
        f'<text x="{middle + 8:.0f}" y="16" class="m">{better}</text>'
        f'<line x1="{middle}" y1="{TOP - 6}" x2="{middle}" y2="{height - BOTTOM}" class="z"/>'
    )
    lines = "".join(_line(bar, TOP + ROW * at + ROW / 2, middle) for at, bar in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{about}" font-family="sans-serif" font-size="12">'
        f"<title>{about}</title>{words.style}{head}{lines}</svg>"
    )


def _bars(pair: PairSummary, words: PlotWords) -> Sequence[Bar]:
    found = []
    for name, one in pair.comparisons.items():
        measure = BY_NAME[name]
        if not measure.better or one.low is None or one.high is None:
            continue
        ends = sorted((one.low * measure.better, one.high * measure.better))
        reach = max(abs(ends[0]), abs(ends[1])) or 1.0
        sign = 1 if ends[0] > 0 else -1 if ends[1] < 0 else 0
        value = one.difference * measure.better
        found.append(
            Bar(
                words.label(measure), words.figures(measure, one),
                value / reach, ends[0] / reach, ends[1] / reach, sign,
            )
        )  # fmt: skip
    return found


def _line(bar: Bar, y: float, middle: float) -> str:
    half = (WIDTH - LABELS - FIGURES) / 2 - 10
    low, high, value = (middle + half * one for one in (bar.low, bar.high, bar.value))
    colour = COLOURS[bar.sign]
    return (
        f'<text x="{LABELS - 8}" y="{y + 4:.0f}" text-anchor="end">{escape(bar.label)}</text>'
        f'<line x1="{low:.1f}" y1="{y:.0f}" x2="{high:.1f}" y2="{y:.0f}" stroke="{colour}" '
        f'stroke-width="2"/><circle cx="{value:.1f}" cy="{y:.0f}" r="4" fill="{colour}"/>'
        f'<text x="{WIDTH - FIGURES + 6}" y="{y + 4:.0f}" class="m">{escape(bar.figures)}</text>'
    )
