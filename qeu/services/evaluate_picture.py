"""Usefulness against leak in an evaluation: a picture, a row a way, and what is seen, in words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from qeu.core.eval_measures import BY_NAME
from qeu.core.leak import LIMIT as LEAK_LIMIT
from qeu.services.evaluate_result import Average, EvalText, Evaluation, WaySummary
from qeu.services.evaluate_table import NONE, tell_average
from qeu.services.evaluate_useful import ABOUT
from qeu.services.evaluate_verdict import tell_signed
from qeu.services.usefulness_plot import (
    PLAIN_WORDS,
    Center,
    PictureWords,
    Point,
    Style,
    draw_points,
    style_of,
)

# The columns of `use_rows` behind the way's name.
COLUMNS = ("useful", "gain", "leak_reference", "leak_commit")


def _told_point(seq: str, name: str, useful: str, leak: str) -> str:
    return f"{seq} · {name} · usefulness {useful} · leak {leak}"


def _told_center(name: str, useful: str, leak: str) -> str:
    return f"{name} · mean usefulness {useful} · mean leak {leak}"


@dataclass(frozen=True)
class UseWords:
    """What stands in the picture beside figures."""

    axes: PictureWords = PLAIN_WORDS
    about: str = "Usefulness against leak score of {count} reasonings"
    point: Callable[[str, str, str, str], str] = _told_point
    center: Callable[[str, str, str], str] = _told_center


PLAIN_USE_WORDS = UseWords()


def ways_behind(evaluation: Evaluation) -> list[int]:
    """Places of the ways that answer behind a reasoning about the record."""
    return [at for at, way in enumerate(evaluation.ways) if way.facts.reasoning in ABOUT]


def way_styles(evaluation: Evaluation) -> dict[str, Style]:
    """How the ways that are in the picture look, by name."""
    styles = {}
    for place, at in enumerate(ways_behind(evaluation)):
        if "useful" in evaluation.ways[at].averages:
            styles[evaluation.ways[at].facts.name] = style_of(place)
    return styles


def plot_use(
    evaluation: Evaluation, words: UseWords = PLAIN_USE_WORDS, *, legend: bool = False
) -> str:
    """Leak score to the right, usefulness upwards: a small sign a text, a large one a way's mean
    with its 95% interval. "" where nothing was measured, or its texts were not kept.

    `legend` puts the ways' names into the picture itself.
    """
    points, centers = list[Point](), list[Center]()
    for at in ways_behind(evaluation):
        name, texts = evaluation.ways[at].facts.name, _measured(evaluation, at)
        mean = evaluation.ways[at].averages.get("useful")
        for text, useful, leak in texts:
            title = words.point(_seq(evaluation, text), name, f"{useful:+.3f}", f"{leak:.2f}")
            points.append(Point(name, leak, useful, title))
        if mean and texts:
            leak = fmean(leak for _, _, leak in texts)
            title = words.center(name, tell_average(BY_NAME["useful"], mean), f"{leak:.2f}")
            centers.append(Center(name, leak, mean.value, _half(mean), title))
    if not points:
        return ""
    about = words.about.replace("{count}", f"{len(points):,}")
    return draw_points(points, way_styles(evaluation), about, words.axes, centers, legend)


def use_rows(evaluation: Evaluation) -> list[list[str]]:
    """A row a way behind a reasoning: its name, then COLUMNS, then how many records count."""
    rows = []
    for at in ways_behind(evaluation):
        averages = evaluation.ways[at].averages
        cells = [tell_average(BY_NAME[name], averages.get(name)) for name in COLUMNS]
        counted = averages.get("useful")
        count = f"{counted.records:,}" if counted else NONE
        rows.append([evaluation.ways[at].facts.name, *cells, count])
    return rows


def tell_use(evaluation: Evaluation) -> list[str]:
    """What is seen, a few sentences a way; why nothing is, where a way could not be measured."""
    told = []
    for at in ways_behind(evaluation):
        way = evaluation.ways[at]
        if "useful" in way.averages or "gain" in way.averages:
            told.append(" ".join(_tell_way(way, _measured(evaluation, at))))
        else:
            told.append(_why_not(evaluation, way))
    return told


def _tell_way(way: WaySummary, texts: Sequence[tuple[EvalText, float, float]]) -> list[str]:
    name, useful, gain = way.facts.name, way.averages.get("useful"), way.averages.get("gain")
    said = []
    side = _side(useful)
    if useful is None:
        said.append(
            f"{name}: no other record of its category and language has a reasoning to hold these "
            "against."
        )
    elif side > 0:
        said.append(
            f"{name}: the reasonings are useful ({_figures(useful)}): what they say makes the "
            "reference answer likelier than what another record's say."
        )
    elif side < 0:
        said.append(
            f"{name}: the reasonings mislead ({_figures(useful)}): what they say makes the "
            "reference answer less likely than what another record's say."
        )
    else:
        said.append(
            f"{name}: cannot tell whether what the reasonings say is of use ({_figures(useful)})."
        )
    if gain is not None:
        said.append(_tell_gain(gain, side))
    leaking = [value for _, value, leak in texts if leak >= LEAK_LIMIT]
    clean = [value for _, value, leak in texts if leak < LEAK_LIMIT]
    if leaking and clean:
        said.append(
            f"On average those that leak ({len(leaking):,}) come to "
            f"{tell_signed(fmean(leaking), 3)}, those that do not ({len(clean):,}) to "
            f"{tell_signed(fmean(clean), 3)}."
        )
    return said


def _tell_gain(gain: Average, side: int) -> str:
    over_none = _side(gain)
    if over_none > 0 and side <= 0:
        return (
            f"Against none at all they gain ({_figures(gain)}), which any text in that place may "
            "bring."
        )
    if over_none > 0:
        return f"They gain against none at all, too ({_figures(gain)})."
    if over_none < 0:
        return f"With none at all the answer is likelier ({_figures(gain)})."
    return f"Against none at all no difference can be told ({_figures(gain)})."


def _why_not(evaluation: Evaluation, way: WaySummary) -> str:
    name = way.facts.name
    if not way.facts.is_local:
        return (
            f"{name} is not in the picture: it runs on a server, which does not tell losses. Its "
            "leaks and right answers stand in the tables."
        )
    if not evaluation.spec.losses:
        return f"{name} is not in the picture: no losses were measured."
    if not evaluation.spec.usefulness:
        return f"{name} is not in the picture: its usefulness was not measured."
    return f"{name} is not in the picture: none of its reasonings was measured."


def _measured(evaluation: Evaluation, way: int) -> list[tuple[EvalText, float, float]]:
    """(text, usefulness, leak score) of a way."""
    found = []
    for text in evaluation.texts:
        useful = text.values.get("useful")
        if text.way == way and useful is not None and text.leak is not None:
            found.append((text, useful, text.leak))
    return found


def _side(one: Average | None) -> int:
    """1 where the whole interval is above 0, -1 where it is below, 0 where that cannot be told."""
    if one is None or one.low is None or one.high is None:
        return 0
    return 1 if one.low > 0 else -1 if one.high < 0 else 0


def _figures(one: Average) -> str:
    bounds = ""
    if one.low is not None and one.high is not None:
        bounds = f", 95% [{tell_signed(one.low, 3)}, {tell_signed(one.high, 3)}]"
    return f"{tell_signed(one.value, 3)}{bounds}, n = {one.records:,}"


def _half(one: Average) -> float | None:
    if one.low is None or one.high is None or not math.isfinite(one.high - one.low):
        return None
    return (one.high - one.low) / 2


def _seq(evaluation: Evaluation, text: EvalText) -> str:
    return evaluation.records[text.record].seq if evaluation.records else f"{text.record + 1}"
