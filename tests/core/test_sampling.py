"""Sampling settings: limits, whole numbers, all problems at once."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.core.errors import UsageError
from qeu.core.sampling import MAX_SEED, Sampling

NUMBERS = [f.name for f in fields(Sampling) if f.name != "greedy"]
WHOLE = ("top_k", "max_new_tokens", "seed")


def test_defaults_are_those_of_the_april_run_and_can_be_meant():
    assert Sampling().problems() == []
    assert (Sampling().top_p, Sampling().top_k) == (0.9, 50)
    assert (Sampling().repetition_penalty, Sampling().temperature) == (1.1, 0.3)


def test_settings_come_back_from_their_plain_values():
    settings = Sampling(0.7, 0.5, 0, 0.1, 1.0, 12, MAX_SEED, True)
    assert Sampling.from_json(settings.to_json()) == settings
    assert Sampling.from_json({"top_k": 3}) == Sampling(top_k=3)
    assert set(settings.to_json()) == {*NUMBERS, "greedy"}


def test_temperature_zero_means_greedy():
    assert Sampling(temperature=0).is_greedy
    assert Sampling(greedy=True).is_greedy
    assert not Sampling().is_greedy


def test_zero_switches_top_k_off_and_is_allowed():
    assert Sampling(top_k=0, temperature=0, min_p=0, top_p=0).checked().top_k == 0


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [-1, 1e300, 10**400, -(10**400), float("nan"), float("inf"), "7" * 9_999, None, True, [1]],
)
def test_a_value_that_cannot_be_meant_is_named_with_its_limits(name, value):
    problems = Sampling(**{name: value}).problems()
    assert len(problems) == 1
    assert problems[0].startswith(name)
    assert "choose" in problems[0]
    assert len(problems[0]) < 200


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_asked_for_and_made(name):
    assert "whole number" in Sampling(**{name: 2.5}).problems()[0]
    value = getattr(Sampling(**{name: 3.0}).checked(), name)
    assert value == 3
    assert isinstance(value, int)


def test_limits_are_shown_as_a_person_writes_them():
    assert Sampling(max_new_tokens=5_000).problems() == [
        "max_new_tokens is 5,000; choose 1 to 4,096."
    ]
    assert Sampling(temperature=5.5).problems() == ["temperature is 5.5; choose 0 to 5."]
    assert "9,223,372,036,854,775,807" in Sampling(seed=2**63).problems()[0]


def test_all_problems_are_said_at_once():
    with pytest.raises(UsageError, match=r"temperature is -1.*top_k is -1.*greedy is 1"):
        Sampling(temperature=-1, top_k=-1, greedy=1).checked()


def test_an_unknown_setting_is_refused():
    with pytest.raises(UsageError, match=r"'beams'.*temperature"):
        Sampling.from_json({"beams": 4})


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*NUMBERS, "greedy"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    )
)
def test_any_values_are_either_taken_or_refused_in_words(values):
    try:
        settings = Sampling.from_json(values)
    except UsageError:
        settings = Sampling()
    assert settings.problems() == []
