"""Texts from models and visitors become harmless HTML, and marks stand where they should."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from qeu.core.prompts import FieldSpan
from qeu.ui.markup import LONGEST_SHOWN, Mark, diff_text, escape, field_text, marked_text

TAGS = re.compile(r"</?(?:mark|span|del|ins)[^>]*>")


def visible(markup: str) -> str:
    """What a reader sees: our tags gone, entities resolved."""
    return html.unescape(TAGS.sub("", markup))


def test_html_and_template_signs_lose_their_meaning() -> None:
    shown = escape("<script>alert('x')</script> ${1+1} {{#each value}} `")
    assert not set("<>${}`'\"") & set(shown)


@given(st.text(max_size=200))
def test_nothing_is_lost_or_interpreted(text: str) -> None:
    shown = escape(text)
    assert not set("<>${}`") & set(shown)
    restored = shown
    for sign, entity in (
        ("<", "&lt;"),
        (">", "&gt;"),
        ("$", "&#36;"),
        ("{", "&#123;"),
        ("}", "&#125;"),
        ("`", "&#96;"),
        ('"', "&quot;"),
        ("'", "&#39;"),
        ("&", "&amp;"),
    ):
        restored = restored.replace(entity, sign)
    assert restored == text


@given(
    st.text(alphabet="ab <&日本", max_size=40),
    st.lists(st.tuples(st.integers(-2, 45), st.integers(-2, 45)), max_size=5),
)
def test_marks_never_change_the_text(text: str, places: list[tuple[int, int]]) -> None:
    marks = [Mark(start, end, "m", "why") for start, end in places]
    assert visible(marked_text(text, marks)) == text


def test_overlapping_marks_name_both_reasons() -> None:
    shown = marked_text("abcdef", [Mark(0, 4, "one", "first"), Mark(2, 6, "two", "second")])
    assert '<mark class="one two" title="first · second">cd</mark>' in shown


def test_a_very_long_text_is_cut_and_says_by_how_much() -> None:
    shown = marked_text("x" * (LONGEST_SHOWN + 1_234), [])
    assert len(shown) < LONGEST_SHOWN + 200
    assert "1,234" in shown


def test_fields_are_tinted_and_named() -> None:
    spans = (FieldSpan("marker", 0, 3), FieldSpan("system", 3, 6))
    shown = field_text("<a>bcd", spans, {"system": "role text"})
    assert 'class="f-marker"' in shown
    assert '<mark class="f-system" title="role text">bcd</mark>' in shown


def test_a_diff_shows_what_each_side_lacks() -> None:
    shown = diff_text([("equal", "a "), ("delete", "<b>"), ("insert", "c")])
    assert shown == "a <del>&lt;b&gt;</del><ins>c</ins>"
