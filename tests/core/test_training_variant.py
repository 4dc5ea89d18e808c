"""Which records are learned from, whose reasoning they get, and what makes no sense together."""

from dataclasses import replace

import pytest

from qeu.core.record import Record
from qeu.core.training_variant import (
    LEFT_OUT,
    Donor,
    Variant,
    drops_reasoning,
    shuffle_reasonings,
    why_left_out,
)

RECORD = Record("Sort these.", "", "Look at the tens.", "3, 5, 7")


def donors(count: int, group=("math", "en"), text: str = "") -> list[Donor]:
    return [Donor(n, group, f"id{n}", text or f"text {n}") for n in range(count)]


@pytest.mark.parametrize(
    ("changes", "variant", "why"),
    [
        ({}, {}, ""),
        ({"instruction": " \n"}, {}, "no_instruction"),
        ({"output": ""}, {}, "no_output"),
        ({"reasoning": " "}, {}, "no_reasoning"),
        ({"output": ""}, {"target": "reasoning"}, ""),
        ({"reasoning": ""}, {"target": "reasoning"}, "no_reasoning"),
        ({"reasoning": ""}, {"target": "answer"}, ""),
        ({"reasoning": ""}, {"loss_on": ("output",)}, ""),
        ({"reasoning": ""}, {"reasoning": "none"}, ""),
        ({"reasoning": ""}, {"reasoning_dropout": 1.0}, ""),
        ({}, {"reasoning": "none", "target": "reasoning"}, "no_reasoning"),
        ({}, {"reasoning": "shuffled"}, "no_other"),
        ({}, {"reasoning": "shuffled", "target": "answer"}, "no_other"),
        ({"reasoning": ""}, {"reasoning": "shuffled", "target": "answer"}, ""),
    ],
)
def test_why_a_record_is_left_out(changes, variant, why):
    assert why_left_out(replace(RECORD, **changes), Variant(**variant)) == why
    assert why in ("", *LEFT_OUT)


def test_with_another_record_a_placebo_can_be_made():
    assert why_left_out(RECORD, Variant(reasoning="shuffled"), has_other=True) == ""


def test_nobody_gets_their_own_and_everyone_gives_once():
    given = shuffle_reasonings(donors(50), seed=3)
    assert sorted(given) == sorted(given.values()) == list(range(50))
    assert all(key != other for key, other in given.items())


def test_the_seed_decides_and_the_order_of_the_rows_does_not():
    first = shuffle_reasonings(donors(50), seed=3)
    assert shuffle_reasonings(donors(50)[::-1], seed=3) == first
    assert shuffle_reasonings(donors(50), seed=4) != first


def test_reasonings_stay_in_their_category_and_language():
    one, other = donors(3), [replace(d, key=d.key + 10, group=("math", "ja")) for d in donors(3)]
    given = shuffle_reasonings([*one, *other], seed=0)
    assert len(given) == 6
    assert all((key < 10) == (source < 10) for key, source in given.items())


def test_nobody_gets_the_same_words_from_another_record():
    twice = [replace(d, text=f"text {d.key // 2}") for d in donors(20)]
    given = shuffle_reasonings(twice, seed=0)
    assert sorted(given) == sorted(given.values()) == list(range(20))
    assert all(key // 2 != other // 2 for key, other in given.items())


def test_who_can_get_none_is_missing():
    assert shuffle_reasonings(donors(1), seed=0) == {}
    assert shuffle_reasonings(donors(5, text="same"), seed=0) == {}
    most = [replace(d, text="same" if d.key else "other") for d in donors(4)]
    given = shuffle_reasonings(most, seed=0)
    assert len(given) == 2
    assert 0 in given


def test_reasonings_are_dropped_by_seed_and_record():
    names = [f"id{n}" for n in range(1_000)]
    third = Variant(reasoning_dropout=0.3)
    lost = {name for name in names if drops_reasoning(name, third)}
    assert 250 < len(lost) < 350
    assert lost == {name for name in names if drops_reasoning(name, third)}
    half = {name for name in names if drops_reasoning(name, Variant(reasoning_dropout=0.5))}
    assert lost < half
    assert lost != {n for n in names if drops_reasoning(n, replace(third, seed=1))}
    assert not any(drops_reasoning(name, Variant()) for name in names)
    assert all(drops_reasoning(name, Variant(reasoning_dropout=1.0)) for name in names)


@pytest.mark.parametrize(
    ("variant", "word"),
    [
        ({"target": "answer", "loss_on": ("reasoning",)}, "Nothing would be learned"),
        ({"target": "reasoning", "loss_on": ("output",)}, "Nothing would be learned"),
        ({"target": "reasoning", "reasoning": "none"}, "none of it"),
        ({"loss_on": ("reasoning",), "reasoning": "none"}, "none of it"),
        ({"target": "reasoning_task", "reasoning_dropout": 0.1}, "reasoning_dropout"),
    ],
)
def test_switches_that_make_no_sense_together_are_told(variant, word):
    (problem,) = Variant(**variant).problems()
    assert word in problem


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"reasoning": "none"},
        {"reasoning_dropout": 0.5},
        {"target": "answer", "reasoning": "shuffled"},
        {"target": "answer", "loss_on": ("prompt",)},
        {"target": "reasoning"},
    ],
)
def test_the_others_do(variant):
    assert Variant(**variant).problems() == []
