"""Endless repetition in text and token ids, and what only looks like it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.loops import MAX_PERIOD_TOKENS, Loop, find_loop, tail_loop

SENTENCE = "You should think about the sea. "


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        (SENTENCE * 4, Loop(0, 128, 32, 4)),
        ("First words. " + SENTENCE * 5, Loop(11, 173, 32, 5)),
        ("ha " * 30, Loop(0, 90, 3, 30)),
        ("これは素晴らしい。" * 5, Loop(0, 45, 9, 5)),
        ("ああ" * 20, Loop(0, 40, 1, 40)),
        ("好的" * 20, Loop(0, 40, 2, 20)),
    ],
)
def test_units_back_to_back_are_a_loop(text: str, loop: Loop) -> None:
    assert find_loop(text) == loop


def test_a_loop_inside_a_text_is_found_with_its_place() -> None:
    text = "A start that is unlike the rest. " + "go on and on, " * 9 + "And then an end."
    loop = find_loop(text)
    assert loop is not None
    assert loop.period == 14
    assert loop.repeats == 9
    assert "go on and on" in text[loop.start : loop.start + 28]
    assert text[loop.end :].startswith("And then")


def test_the_shortest_loops_are_found_wherever_they_begin() -> None:
    for shift in range(40):
        before = "まったく別の前書きがここに続いていて、その長さは一つずつ変わっていくのです"[
            :shift
        ]
        assert find_loop(before + "海を見て考える" * 5 + "終わり。") is not None
        assert find_loop("x" * (shift % 8) + "go on and on, " * 5 + "end") is not None


def test_a_unit_that_holds_its_own_start_twice_is_found() -> None:
    unit = "the cat sat on the cat mat and the cat sat still. "
    assert find_loop("Begin. " + unit * 4) is not None


def test_numbered_lines_that_say_the_same_are_a_loop() -> None:
    text = "".join(f"{number}. Describe the storm again.\n" for number in range(1, 9))
    loop = find_loop(text)
    assert loop is not None
    assert loop.repeats >= 6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ha ha ha ha, that is funny",
        SENTENCE * 3,
        "-" * 100,
        "| --- | --- | --- | --- | --- | --- |\n",
        "1" + "0" * 100,
        "哈哈哈哈哈哈哈哈",
        "あああああああああああああ！",
        "Row, row, row your boat gently down the stream. Merrily, merrily, merrily, merrily.",
        "1 x 7 = 7\n2 x 7 = 14\n3 x 7 = 21\n4 x 7 = 28\n5 x 7 = 35\n6 x 7 = 42\n7 x 7 = 49\n",
        "1. Boil water.\n2. Add salt.\n3. Add pasta.\n4. Stir well.\n5. Drain it.\n6. Serve.\n",
    ],
)
def test_ordinary_repetition_is_no_loop(text: str) -> None:
    assert find_loop(text) is None


@given(st.text(st.characters(), max_size=300))
def test_any_text_is_taken_and_a_loop_lies_inside(text: str) -> None:
    loop = find_loop(text)
    if loop:
        assert 0 <= loop.start < loop.end <= len(text)
        assert loop.repeats >= 3


@given(st.text(st.characters(), min_size=1, max_size=200), st.text(st.characters(), max_size=40))
def test_what_is_repeated_long_enough_is_found_as_a_true_period(unit: str, before: str) -> None:
    text = before + unit * 200
    loop = find_loop(text)
    assert loop is not None
    run = text[loop.start : loop.end]
    digits = str.maketrans("123456789", "000000000")
    assert run.translate(digits)[loop.period :] == run.translate(digits)[: -loop.period]


def test_a_million_characters_finish() -> None:
    rng = random.Random(1)
    hard = [
        "".join(rng.choices("ab", k=1_000_000)),
        "".join(rng.choices("01", k=200_000)),
        "".join("".join(rng.choices("abcdefgh", k=300)) * 2 for _ in range(400)),
        "-" * 159 + "x",
    ]
    assert [find_loop(text) for text in hard] == [None] * 4
    assert find_loop("a" * 1_000_000) == Loop(0, 1_000_000, 1, 1_000_000)


def test_token_loops_are_seen_at_the_end_only() -> None:
    assert tail_loop([7, *[1, 2, 3] * 11]) == Loop(1, 34, 3, 11)
    assert tail_loop([*[1, 2, 3] * 11, 9]) is None
    assert tail_loop([5] * 31) is None
    assert tail_loop([5] * 32) == Loop(0, 32, 1, 32)
    assert tail_loop(list(range(60)) * 3) == Loop(0, 180, 60, 3)
    assert tail_loop(list(range(60)) * 2) is None
    assert tail_loop((list(range(30)) * 4)[1:]) is None
    assert tail_loop([]) is None


def test_the_longest_period_of_tokens_is_found() -> None:
    unit = list(range(MAX_PERIOD_TOKENS))
    assert tail_loop(unit * 3) == Loop(0, 3 * MAX_PERIOD_TOKENS, MAX_PERIOD_TOKENS, 3)
    assert tail_loop([*unit, 1000] * 3) is None


class CountedList(list[int]):
    """A list that counts how many elements are read from it."""

    read = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        found = super().__getitem__(key)
        self.read += len(found) if isinstance(key, slice) else 1
        return found


def test_without_a_loop_only_the_end_of_the_list_is_read() -> None:
    ids = CountedList(random.Random(2).choices(range(30_000), k=50_000))
    assert tail_loop(ids) is None
    assert ids.read < 1000


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.lists(st.integers(0, 9), max_size=30),
)
def test_repeated_ids_are_always_found(unit: list[int], before: list[int]) -> None:
    ids = before + unit * 40
    loop = tail_loop(ids)
    assert loop is not None
    assert loop.end == len(ids)
    run = ids[loop.start :]
    assert run[loop.period :] == run[: -loop.period]
