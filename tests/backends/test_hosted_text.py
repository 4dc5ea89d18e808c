"""A hosted text piece by piece: thinking, stop texts, loops and the bound on its size."""

import pytest

from qeu.backends.hosted_text import HostedText, ThinkSplitter, held_back


def stream(text: HostedText, pieces):
    """All that was shown, as (text, thinking)."""
    added = [text.push(piece) for piece in pieces] + [text.finish()]
    return "".join(a.text for a in added), "".join(a.thinking for a in added)


def cuts(whole: str):
    """The text cut in two at every place, and into single characters."""
    yield [whole]
    yield list(whole)
    for at in range(1, len(whole)):
        yield [whole[:at], whole[at:]]


@pytest.mark.parametrize(
    ("whole", "text", "thinking"),
    [
        ("<think>Let me see.</think>\n\nFour.", "Four.", "Let me see."),
        ("\n<think>\nHm < 5\n</think>Four.", "Four.", "\nHm < 5\n"),
        ("Four.", "Four.", ""),
        ("  Four.", "  Four.", ""),
        ("<b>Four</b>", "<b>Four</b>", ""),
        ("Say <think>no</think>", "Say <think>no</think>", ""),
        ("<think>never ends </thi", "", "never ends </thi"),
        ("<thi", "<thi", ""),
        ("<think></think>  ", "", ""),
        ("", "", ""),
    ],
)
def test_thinking_is_taken_apart_wherever_the_pieces_are_cut(whole, text, thinking):
    tried = 0
    for pieces in cuts(whole):
        row = HostedText(50)
        assert stream(row, pieces) == (text, thinking), pieces
        assert (row.text, row.thinking) == (text, thinking)
        tried += 1
    assert tried


def test_tags_stay_where_a_text_is_continued():
    assert stream(HostedText(50, think_tags=False), ["<think>a</think>b"])[0] == "<think>a</think>b"
    assert ThinkSplitter(False).push("<think>") == ("", "<think>")


def test_a_stop_text_ends_the_row_wherever_the_pieces_are_cut():
    for pieces in cuts("Think of it.\n<|response|>42"):
        row = HostedText(50, ["<|response|>", "<|endoftext|>"])
        assert stream(row, pieces)[0] == "Think of it.\n"
        assert row.ended == "stop"
    row = HostedText(50, ["<|response|>"])
    assert stream(row, ["a <", "| b <|resp"])[0] == "a <| b <|resp"
    assert row.ended == ""


def test_no_part_of_a_stop_text_is_ever_shown():
    row = HostedText(50, ["STOP"])
    shown = [row.push(piece).text for piece in ["a S", "T", "O", "ST", "OP", "b"]]
    assert shown == ["a ", "", "", "STO", "", ""]
    assert row.text == "a STO"


def test_a_loop_in_the_text_ends_the_row():
    row = HostedText(4_000)
    for _ in range(500):
        row.push("the cat sat on the mat and ")
    assert row.ended == "loop"
    assert len(row.text) < 400


def test_a_loop_in_the_thinking_ends_it_too():
    row = HostedText(4_000)
    for _ in range(500):
        row.push("", "Wait, let me count again. ")
    assert row.ended == "loop"
    assert row.text == ""


def test_ordinary_long_text_is_no_loop():
    row = HostedText(4_000)
    for number in range(400):
        row.push(
            f"Sentence {number * 7919 % 1000} has words of {number * 31 % 17} kinds and more. "
        )
        row.push(chr(97 + number % 26) * (number % 5) + ". ")
    assert row.ended == ""


def test_a_server_that_never_ends_is_cut_by_size():
    row = HostedText(10)
    row.push("".join(chr(0x4E00 + at) for at in range(20_000)))
    assert row.ended == "length"
    assert len(row.text) == 1_000 + 32 * 10
    assert row.push("more").text == ""


def test_held_back_is_the_longest_beginning():
    assert held_back("ab<|re", ["<|response|>", "<|end|>"]) == 4
    assert held_back("aSTOP", ["STOP"]) == 0
    assert held_back("", ["STOP"]) == 0
    assert held_back("aa", ["aab"]) == 2
