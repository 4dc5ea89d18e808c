"""Too long by how much, and the cut that makes it fit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.backends.base import EchoBackend, Prepared
from qeu.core.errors import QeuError
from qeu.core.prompts import Prompt, Segment
from qeu.core.sampling import Sampling
from qeu.services.compare import Comparison, SideSettings
from qeu.services.fit import cut_to_fit, fit_comparison, too_long
from tests.fake_shelf import FakeShelf, ScriptedBackend


class CountingBackend(EchoBackend):
    """`weigh` says how many tokens a text has; counts how often and how much it was asked."""

    name = "counting"

    def __init__(self, context: int, weigh=len) -> None:
        self.context, self.weigh = context, weigh
        self.asked = self.characters = 0

    def prepare(self, prompt: Prompt) -> Prepared:
        self.asked += 1
        self.characters += len(prompt.text)
        return Prepared(prompt.text, (), (0,) * self.weigh(prompt.text))


def framed(text: str) -> Prompt:
    """Ten characters around the text."""
    return Prompt("bonsai-v2", "answer", (Segment("marker", "<" * 5 + text + ">" * 5),))


def words(text: str) -> int:
    """Tokens of about four characters, one per Japanese character."""
    return sum(-(-len(word) // 4) for word in text.split()) + sum(c > "\u3000" for c in text)


def test_too_long_counts_the_tokens_that_do_not_fit():
    backend = CountingBackend(context=30)
    assert too_long(backend, framed("a" * 10), 10) == 0
    assert too_long(backend, framed("a" * 10), 11) == 1
    assert too_long(backend, framed("a" * 50), 10) == 40


def test_a_context_that_nobody_knows_cuts_nothing():
    backend = CountingBackend(context=0)
    assert too_long(backend, framed("a" * 50), 10) == 0
    assert cut_to_fit(backend, framed, "a" * 50, 10) == "a" * 50


def test_a_text_that_fits_stays_whole():
    assert cut_to_fit(CountingBackend(40), framed, "a b c. d e f.", 10) == "a b c. d e f."
    assert cut_to_fit(CountingBackend(40), framed, "", 10) == ""
    assert cut_to_fit(CountingBackend(21), framed, "a", 10) == "a"


def test_without_blanks_the_cut_is_exact():
    assert cut_to_fit(CountingBackend(40), framed, "a" * 100, 10) == "a" * 20


@pytest.mark.parametrize(
    ("text", "room", "cut"),
    [
        ("One two three. Four five six seven.", 10, "One two three."),
        ("One two three four five six seven", 10, "One two three four"),
        ('He said "no." Then he left and came.', 10, 'He said "no."'),
        ("今日は晴れです。明日は雨が降るでしょう。その後は雪です。", 15, "今日は晴れです。"),
        ("first line\nsecond line that is long", 10, "first line"),
        ("3.14159265358979323846", 15, "3.14159265358979"[:15]),
    ],
)
def test_the_cut_is_at_a_sentence_or_word_end_where_one_is_near(text, room, cut):
    assert cut_to_fit(CountingBackend(40), framed, text, room) == cut


def test_no_character_is_torn_apart():
    family = "👨‍👩‍👧"
    accent = "e\u0301"
    for text in (family * 20, accent * 40, "👍🏽" * 30):
        for room in range(8, 22):
            cut = cut_to_fit(CountingBackend(40), framed, text, room)
            assert not text[len(cut) :].startswith(("\u200d", "\u0301", "🏽"))
            assert not cut.endswith("\u200d")


def test_what_cannot_fit_even_without_the_text_is_said():
    with pytest.raises(QeuError, match=r"still 1 tokens too long for counting"):
        cut_to_fit(CountingBackend(20), framed, "a" * 50, 10)


MEGABYTE = {
    "letters": "a" * 1_000_000,
    "words": "some words of a text. " * 45_000,
    "japanese": "今日は晴れです。" * 125_000,
    "blanks first": " x" + " " * 500_000 + "word " * 100_000,
    "dense first": "あ" * 3_000 + " word" * 200_000,
    "sparse first": "word " * 1_000 + "あ" * 900_000,
}


@pytest.mark.parametrize("kind", MEGABYTE)
def test_a_megabyte_is_cut_with_few_looks_at_it(kind):
    text = MEGABYTE[kind]
    backend = CountingBackend(8_192, words)
    cut = cut_to_fit(backend, framed, text, 256)
    assert backend.asked <= 26
    limit = backend.context - 256
    kept = words(framed(cut).text)
    assert kept <= limit
    assert text.strip().startswith(cut)
    assert kept >= 0.88 * limit


@settings(deadline=None)
@given(st.text(alphabet="ab .。\nあ👍🏽\u0301", max_size=120), st.integers(0, 60))
def test_the_cut_is_a_beginning_that_fits_and_wastes_little(text, room):
    backend = CountingBackend(80)
    cut = cut_to_fit(backend, framed, text, room)
    assert text.strip().startswith(cut)
    longest = 80 - room - 10
    assert len(cut) <= longest or cut == text.strip()[:1]
    if len(text.strip()) > longest:
        assert len(cut) >= longest - 20 - 10


def comparison(**changes) -> Comparison:
    return Comparison(
        SideSettings("narrow", layout="bonsai-v2"),
        SideSettings("wide", layout="bonsai-v2", role="creator"),
        "Sum up.",
        **{"input": "word " * 400, "sampling": Sampling(max_new_tokens=64), **changes},
    )


def shelf() -> FakeShelf:
    return FakeShelf(
        ScriptedBackend("narrow", ["a"], context=800), ScriptedBackend("wide", ["a"], context=2_000)
    )


def test_a_comparison_is_cut_until_its_narrowest_side_fits():
    machine = shelf()
    cut = fit_comparison(machine, comparison())
    assert 0 < len(cut.input) < 2_000
    assert replace(cut, input="") == replace(comparison(), input="")
    for ask in cut.asks():
        assert too_long(machine.models[ask.model_name], ask.prompt(), 64) == 0
    left = cut.asks()[0]
    used = machine.models["narrow"].prepare(left.prompt()).tokens
    assert used > 800 - 64 - 100


def test_a_comparison_that_fits_stays_as_it_is():
    assert fit_comparison(shelf(), comparison(input="word")) == comparison(input="word")


def test_without_a_context_the_question_is_cut():
    cut = fit_comparison(shelf(), replace(comparison(), instruction="word " * 400, input=""))
    assert cut.input == ""
    assert 0 < len(cut.instruction) < 2_000
