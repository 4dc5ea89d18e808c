"""Usefulness against leak as a picture, and the means of each source as a table: HTML strings."""

from collections.abc import Iterable, Sequence

from qeu.core.usefulness import Mean
from qeu.services.usefulness import UsefulRow
from qeu.services.usefulness_plot import (
    MOST_POINTS,
    PictureWords,
    Point,
    draw_legend,
    draw_points,
    draw_sign,
    style_of,
)
from qeu.services.usefulness_summary import SourceUsefulness
from qeu.ui.markup import escape, escape_template
from qeu.ui.strings import text


def plot_usefulness(rows: Iterable[UsefulRow], language: str) -> str:
    """The picture: leak score to the right, usefulness upwards, a point a text; "" of none.

    Every point has a title to hover over; the legend tells sources by colour and shape alike.
    """
    points, places = list[Point](), dict[str, int]()
    for row in rows:
        # those without a point have their place, too: the table counts all
        places.setdefault(row.source, len(places))
        if row.result.useful is not None:
            points.append(_point(row, row.result.useful, language))
    if not points:
        return ""
    drawn_sources = {point.source for point in points}
    styles = {name: style_of(place) for name, place in places.items() if name in drawn_sources}
    about = text("usefulness.plot.about", language, count=f"{len(points):,}")
    drawn = draw_points(points, styles, about, axis_words(language))
    cut = ""
    if len(points) > MOST_POINTS:
        cut = text("usefulness.plot.thinned", language, count=f"{MOST_POINTS:,}")
        cut = f'<p class="q-note">{escape(cut)}</p>'
    return (
        '<figure class="q-usefulness" style="margin:0;max-width:48rem">'
        f"{escape_template(drawn)}"
        f"<figcaption>{escape_template(draw_legend(styles))}</figcaption>{cut}</figure>"
    )


def axis_words(language: str) -> PictureWords:
    """What stands at the axes, in this language."""
    return PictureWords(
        text("usefulness.plot.leak", language), text("usefulness.plot.useful", language)
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
        body += f"<tr><td>{draw_sign(style_of(place))} {escape(one.source)}</td>{columns}</tr>"
    note = escape(text("usefulness.table.note", language))
    return (
        f'<table class="q-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="q-note">{note}</p>'
    )


def _point(row: UsefulRow, useful: float, language: str) -> Point:
    title = text(
        "usefulness.plot.point", language, seq=row.seq, source=row.source,
        useful=f"{useful:+.3f}", leak=f"{row.leak:.2f}", cut=row.result.cut_own,
    )  # fmt: skip
    return Point(row.source, row.leak, useful, title)


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    half = f" ± {mean.half_width:.3f}" if mean.half_width is not None else ""
    return f"{mean.value:+.3f}{half}"
