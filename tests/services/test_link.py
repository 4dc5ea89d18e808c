"""A comparison as a link and back."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.core.errors import QeuError, UsageError
from qeu.core.sampling import Sampling
from qeu.core.text import clean_text
from qeu.services.compare import Comparison, SideSettings
from qeu.services.link import from_query, to_query

SIMPLE = Comparison(SideSettings("smollm2-135m"), SideSettings("phi-2"), "Add 2 and 3.")
FULL = Comparison(
    SideSettings("m@a", "creator", "bonsai-v1", "reasoning", False, Sampling(seed=1, greedy=True)),
    SideSettings("C:\\models\\x & y", "logician", "", "both", True, Sampling()),
    "What? & why=1 #5 +1 100%",
    "context\nof two lines",
    "推論",
    "答え",
    "creative",
    "ja",
    Sampling(0.75, 0.5, 0, 0.05, 1.25, 99, 2**63 - 1, False),
    True,
    {"creator": "You sell <b>tea</b>.", "logician": "考えよう"},
)


@pytest.mark.parametrize("comparison", [SIMPLE, FULL], ids=["simple", "full"])
def test_the_link_brings_every_setting_back(comparison):
    query = to_query(comparison)
    assert from_query(query, "other") == comparison
    assert query.isascii()
    assert " " not in query


def test_defaults_are_left_out_so_that_links_stay_short():
    assert to_query(SIMPLE) == "q=Add+2+and+3.&lmodel=smollm2-135m&xmodel=phi-2"


def test_texts_beyond_what_browsers_take_are_refused_with_the_way_out():
    with pytest.raises(QeuError, match=r"link of [\d,]+ characters.*JSON"):
        to_query(replace(SIMPLE, input="長い" * 1_000))


def test_an_address_without_settings_of_ours_is_no_comparison():
    for query in ("", "utm_source=mail", "__theme=dark&view=api", {"theme": "dark"}):
        assert from_query(query, "smollm2-135m") is None


def test_a_link_may_leave_out_the_models_and_hold_names_of_others():
    comparison = from_query("q=Hi&utm_source=mail", "smollm2-135m")
    assert comparison == Comparison(
        SideSettings("smollm2-135m"), SideSettings("smollm2-135m"), "Hi"
    )
    assert from_query({"q": "Hi"}, "smollm2-135m") == comparison


@pytest.mark.parametrize(
    "wrong",
    [
        "t=hot",
        "t=nan",
        "t=inf",
        "t=-1",
        "k=--5",
        "k=²",
        "n=0",
        "n=" + "9" * 5_000,
        "seed=1.5",
        "p=2",
        "cat=essay",
        "el=fr",
        "lrole=poet",
        "xlayout=alpaca",
        "ltarget=essay",
        "lown=1&lt=9",
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_words(wrong):
    with pytest.raises(UsageError) as caught:
        from_query("q=Hi&" + wrong, "smollm2-135m")
    assert len(str(caught.value)) < 500


def test_nothing_secret_can_enter_a_link():
    assert "key" not in to_query(FULL)
    assert from_query("q=Hi&api_key=gsk_123", "m") == from_query("q=Hi", "m")


TEXTS = st.text(alphabet=st.characters(), max_size=40)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.floats(0, 5), st.integers(0, 2**63 - 1), st.booleans())
def test_any_text_survives_the_link_as_cleaned(instruction, context, temperature, seed, greedy):
    sampling = Sampling(temperature=temperature, seed=seed, greedy=greedy)
    comparison = replace(SIMPLE, instruction=instruction, input=context, sampling=sampling)
    again = from_query(to_query(comparison), "other")
    assert again == replace(
        comparison, instruction=clean_text(instruction), input=clean_text(context)
    )
