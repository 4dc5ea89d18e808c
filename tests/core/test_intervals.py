"""The Wilson interval: hand-computed bounds, its ends, and that it holds its own share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.intervals import Rate, wilson


def test_known_bounds():
    # Brown, Cai, DasGupta 2001 work with the same formula; 8 of 10 computed by hand for z = 1.96
    low, high = wilson(8, 10, 1.96)
    spread = 1.96**2 / 10
    middle = (0.8 + spread / 2) / (1 + spread)
    half = 1.96 * (0.8 * 0.2 / 10 + 1.96**2 / 400) ** 0.5 / (1 + spread)
    assert (low, high) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def test_none_and_all_of_few_are_not_certain():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 5)
    assert high == 1.0
    assert 0.5 < low < 0.6
    assert wilson(0, 5) == (0.0, pytest.approx(1 - low))


@given(st.integers(1, 10_000), st.data())
def test_the_share_lies_within_and_more_counting_narrows(of: int, data):
    count = data.draw(st.integers(0, of))
    low, high = wilson(count, of)
    assert 0 <= low <= count / of <= high <= 1
    wide = wilson(10 * count, 10 * of)
    assert wide[1] - wide[0] <= high - low


def test_what_is_no_share_is_refused():
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_a_rate_as_plain_values():
    assert Rate(0, 0).share is None
    assert Rate(1, 4).to_json() == {
        "count": 1, "of": 4, "share": 0.25, "low": 0.0456, "high": 0.6994,
    }  # fmt: skip
