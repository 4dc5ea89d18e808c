"""Curves as pictures: scales, what is left out, hover titles, names that are shown as text."""

import re

import pytest

from qeu.ui.train_curves import MOST_PLACES, Chart, Curve, chart_html

RISING = [(step, step / 10) for step in range(1, 11)]


def draw(*curves: Curve, **more: object) -> str:
    return chart_html(Chart("Loss", curves, **more), "en")  # type: ignore[arg-type]


def heights(html: str) -> list[float]:
    """Places of the signs, from above."""
    return [float(y) for y in re.findall(r'<circle cx="[^"]*" cy="([^"]*)"', html)]


def test_nothing_measured_is_no_picture():
    assert draw(Curve("a", [])) == ""
    assert chart_html(Chart("Loss", []), "en") == ""


def test_a_greater_value_stands_higher():
    found = heights(draw(Curve("a", RISING)))
    assert len(found) == 10
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [2.2, 2.2 + 4e-16],
        [0.0, 0.0],
        [-3.0, 5.0],
        [1e-9, 1e9],
        [float("nan"), 1.0],
        [float("inf"), 1.0, 2.0],
        [3.1e-5, 3.1e-5],
    ],
)
def test_any_numbers_have_a_place_within_the_picture(values, log):
    points = list(enumerate(values))
    html = draw(Curve("a", points, raw=points), log=log)
    usable = [v for v in values if v == v and abs(v) != float("inf") and (v > 0 or not log)]
    assert bool(html) == bool(usable)
    assert all(0 <= y <= 220 for y in heights(html))
    assert "nan" not in re.sub(r"<title>.*?</title>", "", html)


def test_by_powers_equal_factors_are_equally_far_apart():
    one, two, three = heights(draw(Curve("a", [(1, 0.1), (2, 1.0), (3, 10.0)]), log=True))
    assert one - two == pytest.approx(two - three, abs=0.2)
    straight = heights(draw(Curve("a", [(1, 0.1), (2, 1.0), (3, 10.0)])))
    assert straight[0] - straight[1] < straight[1] - straight[2]


def test_a_share_has_the_whole_axis():
    html = draw(Curve("a", [(1, 0.5)]), share=True, tell=lambda v: f"{v:.0%}")
    assert "100%" in html
    assert ">0%<" in html


def test_hovering_tells_every_curve_at_that_step():
    html = draw(Curve("train", RISING), Curve("validation", [(1, 4.0), (10, 3.5)]))
    titles = re.findall(r"<title>(.*?)</title>", html)
    assert len(titles) == 10
    assert titles[1] == "step 2 · train: 0.2 · validation: 4"
    assert titles[-1] == "step 10 · train: 1 · validation: 3.5"


def test_a_long_run_has_few_places_to_hover_over():
    html = draw(Curve("a", [(step, 1.0 + step) for step in range(100_000)]))
    assert html.count("<title>") == MOST_PLACES
    assert "<circle" not in html


def test_names_are_shown_as_text():
    html = draw(Curve("<b>a</b>", RISING), Curve('"x"', RISING))
    assert "<b>a" not in html
    assert "&lt;b&gt;a" in html
