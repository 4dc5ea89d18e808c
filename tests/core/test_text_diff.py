"""Word by word differences, and shared wording."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.text_diff import shared_wording, word_diff

ANY_TEXT = st.text(st.characters(), max_size=120)
WORDS = st.lists(st.sampled_from(["the", "cat", " ", "\n", "猫", "が", "sat", ".", "\t"])).map(
    "".join
)

ANSWER = (
    "Coral reefs shelter a quarter of all marine species. Warm water makes the animals expel "
    "their algae, and the colony turns white. Cutting emissions and pollution gives them time."
)
OTHER = (
    "Railways need level ground, so engineers dig cuttings and build viaducts. Steel rails are "
    "welded into long strips. Signals keep trains apart on busy routes."
)


def rebuilt(steps: list[tuple[str, str]], without: str) -> str:
    return "".join(text for kind, text in steps if kind != without)


def test_latin_text_is_compared_by_words() -> None:
    assert word_diff("the cat sat", "the cats sat") == [
        ("equal", "the "),
        ("delete", "cat"),
        ("insert", "cats"),
        ("equal", " sat"),
    ]


def test_japanese_is_compared_by_characters() -> None:
    assert word_diff("猫が好き", "犬が好き") == [
        ("delete", "猫"),
        ("insert", "犬"),
        ("equal", "が好き"),
    ]


def test_equal_and_empty_texts() -> None:
    assert word_diff("", "") == []
    assert word_diff("same", "same") == [("equal", "same")]
    assert word_diff("", "new") == [("insert", "new")]
    assert word_diff("old", "") == [("delete", "old")]


@given(ANY_TEXT | WORDS, ANY_TEXT | WORDS)
def test_the_steps_rebuild_both_texts(a: str, b: str) -> None:
    steps = word_diff(a, b)
    assert rebuilt(steps, "insert") == a
    assert rebuilt(steps, "delete") == b
    assert all(text for _, text in steps)
    assert all(first[0] != second[0] for first, second in pairwise(steps))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("word other " * 90_000, "other word " * 90_000),
        ("the " * 2_900, "the a " * 1_400),
        ("line\n" * 200_000, "line\nmore\n" * 100_000),
        ("あ" * 1_000_000, "い" * 1_000_000),
        ("x" * 1_000_000, "x" * 999_999 + "y"),
    ],
)
def test_big_texts_are_compared_coarsely_but_wholly(a: str, b: str) -> None:
    steps = word_diff(a, b)
    assert rebuilt(steps, "insert") == a
    assert rebuilt(steps, "delete") == b


def test_long_texts_are_compared_by_lines() -> None:
    lines = [f"line {number} says something quite its own" for number in range(400)]
    changed = [*lines[:200], "a new line", *lines[201:]]
    steps = word_diff("\n".join(lines), "\n".join(changed))
    assert ("insert", "a new line\n") in steps
    assert len(steps) == 4


def test_frequent_words_are_matched_too() -> None:
    a = " ".join(f"the a{number}" for number in range(300))
    b = " ".join(f"the b{number}" for number in range(300))
    assert ("equal", " the ") in word_diff(a, b)


def test_an_answer_told_in_another_order_shares_its_wording() -> None:
    told = " ".join(reversed(ANSWER.split(". ")))
    shared = shared_wording(told, ANSWER)
    assert shared is not None
    assert shared.score > 0.9


def test_one_sentence_hidden_in_another_text_is_pointed_at() -> None:
    hidden = ANSWER.split(". ")[0] + "."
    text = f"{OTHER} {hidden}"
    shared = shared_wording(text, ANSWER)
    assert shared is not None
    assert shared.score > 0.5
    assert [text[start:end] for (start, end), _ in shared.sentences] == [hidden]


def test_another_subject_shares_little() -> None:
    shared = shared_wording(OTHER, ANSWER)
    assert shared is not None
    assert shared.score < 0.3


def test_what_the_question_says_is_not_counted() -> None:
    assert shared_wording(ANSWER, ANSWER, known=ANSWER) is None


def test_a_small_correction_counts_when_it_stands_there_whole() -> None:
    question = "Correct this: The children was playing in the wide green garden."
    answer = "The children were playing in the wide green garden."
    shared = shared_wording(
        "Say it so: the children were playing in the wide green garden.", answer, question
    )
    assert shared is not None
    assert shared.score == 1.0
    assert shared_wording("Look at number and verb.", answer, question) is None


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_text_has_a_score_within_bounds(text: str, reference: str, known: str) -> None:
    shared = shared_wording(text, reference, known)
    if shared:
        assert 0 <= shared.score <= 1
        for start, end in (*shared.whole_places, *(place for place, _ in shared.sentences)):
            assert 0 <= start < end <= len(text)
