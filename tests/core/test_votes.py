"""Jeffreys intervals against scipy's numbers, and standings against votes counted by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.core.jeffreys import beta_below, beta_quantile, jeffreys
from qeu.core.votes import LEAST_DECIDED, Tally, Vote, make_standings

# scipy 1.17.1: beta.ppf((.025, .975), count + .5, of - count + .5)
SCIPY = {
    (1, 7): (0.015877, 0.500797),
    (7, 10): (0.394182, 0.907305),
    (9, 30): (0.159993, 0.476544),
    (60, 100): (0.502257, 0.692048),
    (412, 1000): (0.381785, 0.442724),
}


@pytest.mark.parametrize(("counted", "bounds"), SCIPY.items())
def test_intervals_are_those_of_scipy(counted, bounds):
    assert jeffreys(*counted) == pytest.approx(bounds, abs=1e-6)


def test_none_and_all_reach_the_end_and_keep_the_other_bound():
    assert jeffreys(0, 0) == (0.0, 1.0)
    assert jeffreys(0, 5) == (0.0, pytest.approx(1 - 0.620623, abs=1e-6))
    assert jeffreys(5, 5) == (pytest.approx(0.620623, abs=1e-6), 1.0)


@pytest.mark.parametrize("share", [0.025, 0.3, 0.5, 0.975])
def test_quantiles_that_have_a_formula(share):
    # Beta(1/2, 1/2) is the arcsine distribution; Beta(a, 1) is x to the a
    assert beta_quantile(share, 0.5, 0.5) == pytest.approx(math.sin(math.pi * share / 2) ** 2)
    assert beta_quantile(share, 3, 1) == pytest.approx(share ** (1 / 3))
    assert beta_quantile(share, 1, 1) == pytest.approx(share)


@given(st.integers(0, 5_000), st.integers(0, 5_000))
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_share_and_mirrors(count, other):
    of = count + other
    low, high = jeffreys(count, of)
    assert 0 <= low <= (count / of if of else 0.5) <= high <= 1
    back = jeffreys(other, of)
    assert (1 - back[1], 1 - back[0]) == (pytest.approx(low), pytest.approx(high))
    if 0 < count < of:
        assert beta_below(low, count + 0.5, other + 0.5) == pytest.approx(0.025)


@pytest.mark.parametrize("counted", [(-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(counted):
    with pytest.raises(ValueError, match="no share"):
        jeffreys(*counted)
    with pytest.raises(ValueError, match="quantile"):
        beta_quantile(1.5, 1, 1)


def vote(better, left="a", right="b", **values):
    return Vote(1, left, right, better, **values)


def test_a_pair_is_one_whichever_side_its_models_stood_on():
    found = make_standings([vote("left"), vote("right", "b", "a"), vote("left", "b", "a")])
    [pair] = found.pairs
    assert (pair.first, pair.second) == ("a", "b")
    assert pair.all == Tally(wins=2, ties=0, losses=1)


def test_ties_are_counted_and_not_among_the_decided():
    [pair] = make_standings([vote("left"), vote("equal"), vote("equal")]).pairs
    assert pair.all == Tally(1, 2, 0)
    assert (pair.all.votes, pair.all.decided, pair.all.share) == (3, 1, 1.0)
    assert pair.all.interval == jeffreys(1, 1)


def test_what_was_set_differently_is_a_pair_of_its_own():
    votes = [vote("left", left_as="role creator"), vote("left")]
    assert [pair.first for pair in make_standings(votes).pairs] == ["a", "a (role creator)"]


def test_categories_and_languages_are_told_apart():
    votes = [
        vote("left", category="math", language="en"),
        vote("right", category="math", language="ja"),
        vote("equal", category="creative", language="ja"),
    ]
    [pair] = make_standings(votes).pairs
    assert pair.by_category == {"creative": Tally(0, 1, 0), "math": Tally(1, 0, 1)}
    assert pair.by_language == {"en": Tally(1, 0, 0), "ja": Tally(0, 1, 1)}


def test_an_engine_meets_all_others_and_itself_counts_for_nothing():
    votes = [vote("left"), vote("left", "a", "c"), vote("left", "a", "a", left_ok=True)]
    engines = {engine.name: engine for engine in make_standings(votes).engines}
    assert engines["a"].all == Tally(2, 0, 0)
    assert engines["c"].all == Tally(0, 0, 1)
    assert (engines["a"].acceptable.count, engines["a"].acceptable.of) == (1, 1)


def test_both_bad_is_not_a_tie_of_good_ones():
    bad = make_standings([vote("equal", left_ok=False, right_ok=False)]).engines
    assert {(engine.acceptable.count, engine.acceptable.of) for engine in bad} == {(0, 1)}
    unsaid = make_standings([vote("equal")]).engines
    assert {engine.acceptable.of for engine in unsaid} == {0}


def test_position_bias_counts_where_texts_were_shown_and_only_blind_ones():
    votes = [
        vote("left"),
        vote("right", swapped=True),
        vote("right", swapped=True),
        vote("left", swapped=True),
        vote("equal"),
        vote("right", blind=False),
    ]
    assert make_standings(votes).position == Tally(wins=3, ties=1, losses=1)


@pytest.mark.parametrize(
    ("tally", "verdict"),
    [
        (Tally(), "too_few"),
        (Tally(LEAST_DECIDED - 1, 50, 0), "too_few"),
        (Tally(LEAST_DECIDED, 0, 0), "more"),
        (Tally(0, 0, LEAST_DECIDED), "less"),
        (Tally(8, 0, 4), "open"),
        (Tally(800, 0, 600), "more"),
    ],
)
def test_too_few_to_tell_is_said(tally, verdict):
    assert tally.verdict == verdict
    assert tally.to_json()["verdict"] == verdict


def test_no_votes_are_standings_too():
    assert make_standings([]).to_json()["pairs"] == []


def test_problems_name_the_value():
    assert vote("left").problems() == []
    assert "'up'" in vote("up").problems()[0]
    assert "-1" in vote("left", seconds=-1).problems()[0]
