"""Usefulness of a reasoning: leaking sentences go, donors are others, losses are subtracted."""

from itertools import islice

import pytest

from qeu.core.leak import commits_to_answer, states_reference
from qeu.core.record import Record
from qeu.core.usefulness import (
    NEAR,
    Candidate,
    DonorPool,
    Usefulness,
    combine,
    cut_leaks,
    cut_statements,
    mean_of,
)

SUM = Record("What is 12 times 13?", output="156", category="math", language="en")
PLAN = "Split the larger factor into tens and ones.\nMultiply both parts, then add them."


def test_a_clean_reasoning_stays_as_it_is():
    cut = cut_leaks(f"  {PLAN}\n", SUM)
    assert (cut.text, cut.sentences, cut.partial) == (PLAN, 0, False)
    assert cut.leak < 0.5


@pytest.mark.parametrize(
    ("leaking", "left"),
    [
        (f"{PLAN} The answer is 156.", PLAN),
        (f"The answer is 156. {PLAN}", PLAN),
        ("Take the tens first. The result is 156. Then the ones.",
         "Take the tens first. Then the ones."),
        ("Take the tens first.\nThe result is 156.\nThen the ones.",
         "Take the tens first.\nThen the ones."),
        # a wrong answer is an answer
        (f"{PLAN} So the answer is 154.", PLAN),
        ("The answer is 156.", ""),
    ],
)  # fmt: skip
def test_sentences_that_tell_an_answer_are_cut(leaking: str, left: str):
    cut = cut_leaks(leaking, SUM)
    assert cut.text == left
    assert cut.sentences == 1
    assert cut.leak >= 0.5


@pytest.mark.parametrize(
    ("record", "reasoning"),
    [
        (Record("日本の首都はどこですか。", output="東京", language="ja"),
         "まず国の名前を確かめます。首都は東京です。次に歴史を思い出します。"),
        (Record("法国的首都是哪里？", output="巴黎", language="zh"),
         "先想想这个国家在哪里。答案是巴黎。再检查一遍。"),
        (Record("Why is the sky blue?", output="Air scatters short blue waves of sunlight far more "
                "than long red ones, so blue light reaches us from every side.", language="en"),
         "Think of what happens to sunlight in the air. Air scatters short blue waves of sunlight "
         "far more than long red ones, so blue light reaches us from every side. Keep it short."),
    ],
)  # fmt: skip
def test_what_is_left_leaks_no_more(record: Record, reasoning: str):
    cut = cut_leaks(reasoning, record)
    assert cut.sentences == 1
    assert cut.text
    assert not states_reference(cut.text, record.output, record.question).leaked
    assert not commits_to_answer(cut.text, record.question).leaked


def test_a_leak_that_shows_only_beside_less_is_cut_too():
    """A quarter of the answer, in a long sentence, is noticed once its bolder half is gone."""
    parts = (
        "The harbour was founded by salt traders",
        "who came over the northern pass each spring",
        "and built their houses from black river stone",
        "before the great flood of the valley took them.",
    )
    record = Record("Tell me of the place.", output=" ".join(parts), language="en")
    bold = f"{parts[0]} {parts[1]}."
    hidden = (
        "Ask yourself which material could be had nearby at that time, whether people "
        f"{parts[2][4:]}, how such walls age under rain and frost over many decades, and "
        "what a visitor might still notice today while walking slowly along the old quay."
    )
    cut = cut_leaks(f"Begin with the people. {bold} {hidden}", record)
    assert (cut.text, cut.sentences) == ("Begin with the people.", 2)


def test_a_donor_must_not_state_the_answer_by_chance():
    text = "Look at the units. The seats are 156."
    assert cut_statements(text, SUM).text == "Look at the units."
    assert cut_statements("The answer is 99.", SUM).text == "The answer is 99."


def test_a_wording_in_another_language_is_only_partly_compared():
    record = Record(
        "なぜ空は青いのですか。", output="空気が青い光を強く散らすからです。", language="ja"
    )
    assert cut_leaks("Think of light and air. Say it in one line.", record).partial


def test_cutting_ends_on_any_text():
    for text in ("", "   ", "。" * 500, "The answer is 1. " * 300, "\ud800 156", "x" * 20_000):
        cut = cut_leaks(text, SUM)
        assert not commits_to_answer(cut.text, SUM.question, category="math").leaked


def candidate(key: int, record: int | None = None, **changes: object) -> Candidate:
    values = {"category": "math", "language": "en", "length": 100 + key} | changes
    return Candidate(key, key if record is None else record, **values)  # type: ignore[arg-type]


def test_a_donor_is_another_record_of_the_same_category_and_language():
    pool = DonorPool(
        [
            *(candidate(key) for key in range(40)),
            *(candidate(key, language="ja") for key in range(40, 50)),
            *(candidate(key, category="code") for key in range(50, 60)),
        ]
    )
    for key in range(40):
        donors = list(pool.donors(candidate(key), seed=7))
        assert sorted(donors) == [other for other in range(40) if other != key]
    assert list(pool.donors(candidate(99, language="zh"), 7)) == []


def test_samples_of_one_record_do_not_stand_in_for_each_other():
    pool = DonorPool([candidate(key, record=key // 3) for key in range(9)])
    assert sorted(pool.donors(candidate(4, record=1), 7)) == [0, 1, 2, 6, 7, 8]
    alone = DonorPool([candidate(key, record=5) for key in range(3)])
    assert list(alone.donors(candidate(1, record=5), 7)) == []


def test_donors_of_similar_length_come_first():
    pool = DonorPool([candidate(key) for key in range(200)])
    first = list(islice(pool.donors(candidate(50), 7), NEAR))
    assert max(abs(key - 50) for key in first) <= NEAR // 2
    longest = list(islice(pool.donors(candidate(199), 7), NEAR))
    assert sorted(longest) == list(range(199 - NEAR, 199))


def test_the_seed_decides_and_who_is_far_away_does_not():
    pool = DonorPool([candidate(key) for key in range(100)])
    first = {key: next(pool.donors(candidate(key), 7)) for key in range(100)}
    assert first == {key: next(pool.donors(candidate(key), 7)) for key in range(100)}
    other = {key: next(pool.donors(candidate(key), 8)) for key in range(100)}
    assert sum(first[key] != other[key] for key in first) > 50
    larger = DonorPool([candidate(key) for key in range(300)])
    assert [next(larger.donors(candidate(key), 7)) for key in range(90)] == [
        first[key] for key in range(90)
    ]


def test_the_columns_are_differences_and_empty_where_a_loss_is():
    assert combine(1.0, 1.5, 1.75, cut_own=2, cut_shuffled=1, tokens=9) == Usefulness(
        1.0, 1.5, 1.75, 0.5, 0.75, 2, 1, 9
    )
    assert combine(1.0, None, 1.5).useful is None
    assert combine(1.0, None, 1.5).gain_without == 0.5
    assert combine(None, 2.0, 1.5).gain_without is None


def test_the_interval_is_students():
    assert mean_of([]) is None
    assert mean_of([2.0, 4.0]).half_width is None
    three = mean_of([1.0, 2.0, 3.0])
    assert three.value == 2.0
    # 4.3027 × 1 / √3; tables of t for 2, 4 and 30 degrees of freedom
    assert three.half_width == pytest.approx(4.3027 / 3**0.5, rel=0.01)
    five = mean_of([0.0, 0.0, 0.0, 0.0, 5.0])
    assert five.half_width == pytest.approx(2.7764 * (5.0**0.5) / 5**0.5, rel=0.002)
    many = mean_of([0.0, 1.0] * 15 + [0.5])
    deviation = (30 * 0.25 / 30) ** 0.5
    assert many.half_width == pytest.approx(2.0423 * deviation / 31**0.5, rel=1e-4)
