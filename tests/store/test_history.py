"""Comparisons that were run: searched by any substring, each visitor's apart, forgotten in full."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeu.core.errors import QeuError
from qeu.core.text import clean_text
from qeu.store.history import (
    add_comparison,
    forget_visitor,
    get_comparison,
    search_comparisons,
)
from qeu.store.workspace import Workspace

SETTINGS = {"instruction": "Add.", "exact": True}


@pytest.fixture
def workspace():
    opened = Workspace(None)
    yield opened
    opened.close()


def add(workspace, question, text="", visitor="", model="smollm2-135m", adapter=None):
    side = {"model": model, "adapter": adapter, "text": text}
    results = {"left": side, "right": {**side, "text": ""}}
    return add_comparison(workspace, question, SETTINGS, results, visitor)


def found(workspace, term="", visitor=""):
    return [stored.question for stored in search_comparisons(workspace, term, visitor)]


def test_a_run_comes_back_whole(workspace):
    stored = add(workspace, "Add 2 and 3.", "5")
    assert get_comparison(workspace, stored.id) == stored
    assert stored.to_json()["settings"] == SETTINGS
    assert set(stored.to_json()) == {"id", "at", "question", "settings", "results"}


def test_the_newest_come_first_and_the_limit_holds(workspace):
    for number in range(5):
        add(workspace, f"question {number}")
    assert found(workspace) == [f"question {number}" for number in (4, 3, 2, 1, 0)]
    assert len(search_comparisons(workspace, limit=2)) == 2


@pytest.mark.parametrize(
    "term",
    [
        "晴れ",
        "今日",
        "日は",
        "ガス",
        "ｶﾞｽ",
        "STRASSE",
        "straße",
        "tea",
        "TEA",
        "ea sh",
        "１２",
        "12",
        "poems",
        "%",
        "_",
        "'",
    ],
)
def test_any_substring_is_found_whatever_its_case_and_width(workspace, term):
    add(workspace, "今日は晴れです。ガス代 STRASSE 12", "A Tea Shop 100%_'", adapter="poems")
    add(workspace, "nothing of it")
    assert found(workspace, term) == ["今日は晴れです。ガス代 STRASSE 12"]


@pytest.mark.parametrize(
    "term", ["晴天", "coffee", "teashop", "OR 1=1", "' OR '1'='1", "*", "100__"]
)
def test_what_is_not_there_is_not_found(workspace, term):
    add(workspace, "今日は晴れです。", "A Tea Shop 100%")
    assert found(workspace, term) == []


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Mn", "Mc", "Me"]), max_size=30)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 30), st.integers(1, 30))
def test_every_part_of_any_question_is_found(text, start, length):
    workspace = Workspace(None)
    # composed by width folding only: a term may not begin inside a composed character
    question = clean_text(text)
    add(workspace, text)
    term = question[start : start + length]
    if not any("\u1100" <= c <= "\u11ff" or "\uff9e" <= c <= "\uff9f" for c in question):
        assert found(workspace, term) == [question]
    workspace.close()


def test_hostile_texts_are_stored_as_they_are(workspace):
    hostile = "'; DROP TABLE events; -- <script> \u202e \ud800 \x00 %s {}"
    stored = add(workspace, hostile, hostile)
    again = get_comparison(workspace, stored.id)
    assert again.results["left"]["text"] == hostile
    assert again.question == clean_text(hostile)
    assert found(workspace, "drop table") == [again.question]
    assert found(workspace, "\ud800") == [again.question]


def test_each_visitor_sees_their_own_runs_only(workspace):
    mine = add(workspace, "mine")
    anna = add(workspace, "anna's", visitor="anna")
    add(workspace, "bob's", visitor="bob")
    assert found(workspace) == ["mine"]
    assert found(workspace, visitor="anna") == ["anna's"]
    assert found(workspace, "bob", visitor="anna") == []
    assert get_comparison(workspace, anna.id, "anna").question == "anna's"
    for number, visitor in ((anna.id, ""), (anna.id, "bob"), (mine.id, "anna")):
        with pytest.raises(QeuError, match=f"no run number {number} "):
            get_comparison(workspace, number, visitor)


@pytest.mark.parametrize("number", [0, -1, 99, 2**63, 10**40])
def test_a_number_that_nobody_has_is_refused_in_words(workspace, number):
    add(workspace, "mine")
    with pytest.raises(QeuError, match="no run number"):
        get_comparison(workspace, number)


def test_a_visit_that_is_over_leaves_nothing_of_itself(workspace):
    add(workspace, "mine")
    anna = add(workspace, "anna's", "her text", visitor="anna")
    bob = add(workspace, "bob's", visitor="bob")
    forget_visitor(workspace, "anna")
    assert found(workspace, visitor="anna") == []
    assert (found(workspace), found(workspace, visitor="bob")) == (["mine"], ["bob's"])
    assert workspace.events(f"comparison/{anna.id}") == []
    assert len(workspace.events(f"comparison/{bob.id}")) == 1
    again = add(workspace, "carl's", visitor="carl")
    assert again.id > bob.id


def test_a_forgotten_number_is_not_given_to_somebody_else(workspace):
    anna = add(workspace, "anna's", visitor="anna")
    forget_visitor(workspace, "anna")
    assert add(workspace, "bob's", visitor="bob").id == anna.id + 1


def test_a_persons_own_history_is_never_forgotten_as_a_visitors(workspace):
    add(workspace, "mine")
    with pytest.raises(ValueError, match="own history"):
        forget_visitor(workspace, "")
    assert found(workspace) == ["mine"]


def test_a_visitor_cannot_pass_for_the_person_in_the_log(workspace):
    stored = add(workspace, "x", visitor="user")
    assert [event.actor for event in workspace.events(f"comparison/{stored.id}")] == [
        "visitor/user"
    ]


def test_a_run_that_cannot_be_logged_is_not_stored_either(workspace):
    with pytest.raises(TypeError):
        add_comparison(workspace, "q", {"odd": object()}, {})
    assert found(workspace) == []
