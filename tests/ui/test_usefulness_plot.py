"""The picture of usefulness: a point a text, one look a source, nothing that is executed."""

import re
from xml.etree import ElementTree

import pytest

from qeu.core.intervals import Rate
from qeu.core.usefulness import combine, mean_of
from qeu.services.usefulness import UsefulRow
from qeu.services.usefulness_plot import COLOURS, HEIGHT, MOST_POINTS, WIDTH, style_of
from qeu.services.usefulness_summary import SourceUsefulness
from qeu.ui.strings import LANGUAGES
from qeu.ui.usefulness_plot import plot_usefulness, source_table

EVIL = "<script>alert('x')</script>\"{}$"


def row(source: str, leak: float, own: float = 1.0, shuffled: float | None = 1.5) -> UsefulRow:
    result = combine(own, shuffled, 2.0, cut_own=1, tokens=5)
    return UsefulRow(1, f"{leak}EN", "math", "en", source, "2EN", leak, False, False, True, result)


def figure(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html)


def points(html: str) -> list[ElementTree.Element]:
    return [path for path in figure(html).iter("path") if path.find("title") is not None]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_a_point_with_a_title(language: str):
    html = plot_usefulness([row("a", 0.1), row("b", 1.0), row("a", 0.6, own=3.0)], language)
    found = points(html)
    assert [path.find("title").text.split(" · ")[:2] for path in found] == [
        ["0.1EN", "a"], ["1.0EN", "b"], ["0.6EN", "a"],
    ]  # fmt: skip
    assert "+0.500" in found[0].find("title").text
    assert "-1.500" in found[2].find("title").text


def test_a_point_stands_where_its_values_are():
    html = plot_usefulness([row("a", 0.0), row("a", 1.0), row("a", 0.5, own=3.0)], "en")
    places = [
        tuple(map(float, re.findall(r"[\d.]+", path.get("transform")))) for path in points(html)
    ]
    (low_x, high_y), (high_x, same_y), (middle_x, low_y) = places
    assert 0 < low_x < middle_x < high_x < WIDTH
    assert 0 < high_y == same_y < low_y < HEIGHT
    assert middle_x == pytest.approx((low_x + high_x) / 2, abs=0.2)


def test_sources_differ_in_colour_and_in_shape():
    html = plot_usefulness([row(name, 0.5) for name in "abcabc"], "en")
    looks = [(path.get("fill"), path.get("d")) for path in points(html)]
    assert looks[:3] == looks[3:]
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 3
    legend = figure(html).find("figcaption")
    signs = [(path.get("fill"), path.get("d")) for path in legend.iter("path")]
    assert signs == looks[:3]
    late = points(plot_usefulness([row("a", 0.5, shuffled=None), row("b", 0.5)], "en"))
    assert (late[0].get("fill"), late[0].get("d")) == looks[1]  # as in the table
    assert len({style_of(place) for place in range(64)}) == 64
    assert len(COLOURS) == 8


def test_words_take_the_colour_of_the_page():
    html = plot_usefulness([row("a", 0.5)], "en")
    words = list(figure(html).iter("text"))
    assert len(words) > 8
    assert {one.get("fill") for one in words} == {"currentColor"}
    assert {line.get("stroke") for line in figure(html).iter("line")} == {"currentColor"}


def test_names_from_outside_are_shown_as_text():
    html = plot_usefulness([row(EVIL, 0.5)], "en")
    table = source_table([SourceUsefulness(EVIL, None, None, Rate(0, 0), 0)], "en")
    for found in (html, table):
        assert "<script" not in found
        assert "&lt;script&gt;" in found
        assert not set("`${}") & set(found)  # the page's template language


def test_what_has_no_usefulness_is_not_drawn():
    assert plot_usefulness([], "en") == ""
    assert plot_usefulness([row("a", 0.5, shuffled=None)], "en") == ""
    assert len(points(plot_usefulness([row("a", 0.5, shuffled=None), row("a", 0.2)], "en"))) == 1
    flat = plot_usefulness([row("a", 0.5, shuffled=1.0)], "en")
    assert len(points(flat)) == 1
    assert "nan" not in flat


def test_many_points_are_thinned_and_it_says_so():
    html = plot_usefulness([row("a", 0.5)] * (MOST_POINTS + 500), "en")
    assert len(points(html)) == MOST_POINTS
    assert f"{MOST_POINTS:,} of them are drawn" in html
    assert f"{MOST_POINTS + 500:,} reasonings" in html


def test_the_table_has_means_with_intervals_and_leak_rates():
    useful, gain = mean_of([0.1, 0.2, 0.3]), mean_of([0.5])
    html = source_table(
        [
            SourceUsefulness("a", useful, gain, Rate(1, 4), 2),
            SourceUsefulness("b", None, None, Rate(0, 0), 0),
        ],
        "en",
    )
    rows = [
        ["".join(cell.itertext()).strip() for cell in line]
        for line in ElementTree.fromstring(f"<div>{html}</div>").iter("tr")
    ]
    assert rows[0] == ["Source", "Usefulness", "Without minus with", "Texts", "Leak rate"]
    assert rows[1] == ["a", f"+0.200 ± {useful.half_width:.3f}", "+0.500", "3", "25% (1/4)"]
    assert rows[2] == ["b", "–", "–", "0", "– (0/0)"]
    assert source_table([], "en") == ""
