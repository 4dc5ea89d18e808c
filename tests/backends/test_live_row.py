"""A row's text as it streams: whole characters, no special tokens, and why it ends."""

from functools import cache

import pytest

from qeu.backends.live_row import LiveRow, decode
from qeu.core.sampling import Sampling
from tests.tiny_checkpoints import train_tokenizer

TEXT = "Read 質問をよく読む 🙂👩‍👩‍👧 and think.\n  Then: é ✓ done"


@cache
def tokenizer():
    return train_tokenizer("llama")


def ids_of(text: str) -> list[int]:
    return tokenizer()(text, add_special_tokens=False).input_ids


def row(limit: int = 500, **more) -> LiveRow:
    return LiveRow(0, [1], Sampling(max_new_tokens=limit), tokenizer(), **more)


def feed(one: LiveRow, ids: list[int]) -> list[str]:
    pieces = []
    for token in ids:
        if one.running:
            pieces.append(one.take(token))
    return pieces


def test_pieces_join_to_the_text_and_hold_half_characters_back():
    one = row(len(ids_of(TEXT)))
    pieces = feed(one, ids_of(TEXT))
    assert len(ids_of("🙂")) > 1
    assert "".join(pieces) == one.text == TEXT
    assert "\ufffd" not in "".join(pieces)
    assert one.finish_reason == "length"


@pytest.mark.parametrize("reason", ["cancelled", "length", "error"])
def test_half_a_character_at_a_cut_is_left_out(reason):
    first = ids_of("🙂")[0]
    assert decode(tokenizer(), [first]).endswith("\ufffd")
    for before in ("", "Read "):
        one = row(len(ids_of(before)) + 1 if reason == "length" else 500)
        pieces = feed(one, [*ids_of(before), first])
        one.end(reason)
        assert one.finish_reason == reason
        assert one.text == "".join(pieces) == before


def test_special_tokens_never_show():
    end = tokenizer().eos_token_id
    start = tokenizer().convert_tokens_to_ids("<|start_header_id|>")
    one = row(end_ids={end})
    pieces = feed(one, [*ids_of("Read"), start, *ids_of(" on"), end, *ids_of("more")])
    assert "".join(pieces) == one.text == "Read on"
    assert one.finish_reason == "stop"
    assert one.token_ids[-1] == end


@pytest.mark.parametrize("stop", ["<|response|>", "\nUser:", "think"])
def test_a_stop_text_ends_the_row_and_is_never_shown(stop):
    one = row(stop_texts=(stop,))
    pieces = feed(one, ids_of(f"First think-ing <|resp is not it.{stop} hidden"))
    whole = f"First think-ing <|resp is not it.{stop} hidden"
    assert "".join(pieces) == one.text == whole[: whole.index(stop)]
    assert one.finish_reason == "stop"


def test_the_beginning_of_a_stop_text_is_shown_once_it_is_none():
    one = row(stop_texts=("<|response|>",))
    feed(one, ids_of("a <|res"))
    shown = "".join(feed(one, ids_of("t of it")))
    assert shown.endswith("t of it")
    assert one.text == "a <|rest of it"
    held = row(len(ids_of("a <|res")), stop_texts=("<|response|>",))
    assert "".join(feed(held, ids_of("a <|res"))) == "a <|res"


def test_a_loop_ends_the_row_and_its_text_stays():
    one = row()
    feed(one, ids_of("Well, ") + ids_of("again and ") * 60)
    assert one.finish_reason == "loop"
    assert one.text.startswith("Well, again and again and ")


def test_a_finished_row_keeps_its_reason():
    one = row(1)
    feed(one, ids_of("Read"))
    one.end("cancelled")
    assert one.finish_reason == "length"


def test_decoding_touches_no_blanks():
    text = "Well , she said :  it 's fine ."
    assert decode(tokenizer(), ids_of(text)) == text
