"""The lens's plain values: where texts part, which part a token is in, how tokens are shown."""

import json

import pytest

from qeu.core.lens import (
    Candidate,
    LensPicture,
    LensStep,
    PairedToken,
    ReadToken,
    ShownToken,
    average_parts,
    find_divergence,
    mark_parts,
    show_bytes,
    show_text,
    steps_of,
)
from qeu.core.sampling import Sampling


def picture() -> LensPicture:
    step = LensStep("temperature", 0.5, True, 3, 2, 0.75, 1.5)
    candidate = Candidate(4, "␣the", "text", 1, 0.5, (0.75,), "", True)
    return LensPicture((step,), (candidate,), (0.5, 0.25), 5, 2.0, 4, 4, None, 0.25)


def test_a_picture_is_plain_json():
    data = picture().to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["candidates"][0]["after"] == [0.75]
    assert (data["remaining"], data["entropy_after"]) == (3, 1.5)
    assert picture().find(4).shown == "␣the"
    assert picture().find(9) is None


def test_greedy_has_one_step_behind_the_penalty():
    drawn = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")
    assert steps_of(Sampling()) == drawn
    assert steps_of(Sampling(greedy=True)) == ("repetition_penalty", "greedy")
    assert steps_of(Sampling(temperature=0)) == ("repetition_penalty", "greedy")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((1, 2, 3), (1, 2, 3), None),
        ((), (), None),
        ((1, 2, 3), (1, 9, 3), 1),
        ((1, 2), (1, 2, 3), 2),
        ((), (5,), 0),
        ((4,), (5,), 0),
    ],
)
def test_the_first_divergence(left, right, expected):
    assert find_divergence(left, right) == expected
    assert find_divergence(right, left) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", "␣the"),
        ("\n\n\tx", "⏎⏎⇥x"),
        ("日本", "日本"),
        ("\u200b\u202e", "⟨U+200B⟩⟨U+202E⟩"),
        ("\u3000\xa0", "⟨U+3000⟩⟨U+00A0⟩"),
        ("\x00", "⟨U+0000⟩"),
        ("<|im_end|>", "<|im_end|>"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_nothing_in_a_token_is_invisible(text, shown):
    assert show_text(text) == shown


def test_bytes_are_shown_as_numbers():
    assert show_bytes(b"\xe3\x81") == "⟨E3 81⟩"
    assert show_bytes(b" \xe6") == "␣⟨E6⟩"
    assert show_bytes(b"\x97!\xe3\x81\x82") == "⟨97⟩!あ"
    assert show_bytes(b"") == ""


class TestParts:
    def test_reasoning_and_answer_are_told_apart_from_what_is_between(self):
        pieces = [b"Think", b" first", b".\n", b"<|response|>", b"Four", b".", b""]
        parts = mark_parts(pieces, "Think first.", "Four.")
        reasoning, answer = ["reasoning"] * 3, ["answer"] * 2
        assert parts == [*reasoning, "marker", *answer, "marker"]

    def test_a_character_in_two_tokens_belongs_to_its_text(self):
        pieces = [b" ", b"\xe3\x81", b"\x82", b"!"]
        assert mark_parts(pieces, "", "あ!") == ["marker", "answer", "answer", "answer"]

    def test_the_same_words_twice_are_found_in_their_order(self):
        pieces = [b"Yes", b" Answer:", b" ", b"Yes"]
        assert mark_parts(pieces, "Yes", "Yes") == ["reasoning", "marker", "marker", "answer"]

    def test_a_text_that_is_not_there_marks_nothing(self):
        assert mark_parts([b"a", b"b"], "", "") == ["marker", "marker"]
        assert mark_parts([], "x", "y") == []


class TestMeans:
    def test_each_part_has_its_own_and_markers_count_nowhere(self):
        token = ShownToken(0, "a")
        told = [
            ReadToken(token, "answer", 4.0),
            ReadToken(token, "reasoning", 1.0),
            ReadToken(token, "reasoning", 2.0),
            ReadToken(token, "marker", 99.0),
        ]
        one, two = average_parts(told)
        assert (one.part, one.tokens, one.bits, one.divergence) == ("reasoning", 2, 1.5, None)
        assert (two.part, two.tokens, two.bits) == ("answer", 1, 4.0)
        assert average_parts(told[3:]) == ()

    def test_two_readers(self):
        token = ShownToken(0, "a")
        told = [
            PairedToken(token, "answer", 1.0, 3.0, 0.5),
            PairedToken(token, "answer", 2.0, 4.0, 1.5),
        ]
        (mean,) = average_parts(told)
        assert (mean.bits, mean.other_bits, mean.divergence) == (1.5, 3.5, 1.0)
