"""Text from outside is made safe without changing what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.core.text import clean_text, clean_value, fold, one_line

ANY_TEXT = st.text(alphabet=st.characters())  # lone surrogates included


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07 escape\x1b[31m nul\x00 del\x7f c1\x9b", "bell escape[31m nul del c1"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("\u200fשלום\u202e", "\u200fשלום\u202e"),
        ("👩‍👩‍👧 \u3000全角", "👩‍👩‍👧 \u3000全角"),
        ("", ""),
    ],
)
def test_cleaning_drops_only_what_breaks_things(text, clean):
    assert clean_text(text) == clean


@settings(deadline=None)
@given(ANY_TEXT)
def test_clean_text_can_be_encoded_and_cleaning_twice_changes_nothing(text):
    clean = clean_text(text)
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert clean_text(clean) == clean
    assert not any(c < " " and c not in "\t\n" for c in clean)


def test_a_value_is_stripped_after_it_is_cleaned():
    assert clean_value("\x00 \r\n a b \x1b ") == "a b"


def test_one_line_is_cut_at_the_limit_with_an_ellipsis():
    assert one_line(" a\n\n b\tc ") == "a b c"
    assert one_line("abcdef", 6) == "abcdef"
    assert one_line("abcdefg", 6) == "abcde…"
    assert one_line("abcd efg", 6) == "abcd…"


@settings(deadline=None)
@given(ANY_TEXT, st.integers(min_value=1, max_value=20))
def test_one_line_never_exceeds_its_limit(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line


@pytest.mark.parametrize(
    ("one", "other"),
    [("ABC", "abc"), ("ＡＢＣ", "abc"), ("ｶﾞ", "ガ"), ("Straße", "STRASSE"), ("①", "1"), ("Σ", "ς")],
)
def test_folding_unifies_case_and_width(one, other):
    assert fold(one) == fold(other)


def test_folding_keeps_different_kana_apart():
    assert len({fold(c) for c in "かがカガ"}) == 4
