"""Ensembles without a model: agreement, the medoid, sentences that most say, and origins."""

import json
import random
from itertools import pairwise as neighbours
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.chrf import chrf, pairwise
from qeu.core.ensemble import (
    LOW_AGREEMENT,
    SAME_SENTENCE,
    Candidate,
    choose_medoid,
    find_origins,
    mean_agreement,
    select_sentences,
)
from qeu.core.segments import sentence_spans

DATA = Path(__file__).parents[2] / "data"
STEPS = "List what is known. Name what is asked. Choose a rule that links the two."
SAME_STEPS = "List what is known first. Name what is asked. Choose the rule linking the two."
OTHER = "Picture a market in autumn. Let two people meet there."


def test_a_text_agrees_with_itself_whatever_its_blanks_and_case():
    assert chrf("List what is known.", "list  what\nis KNOWN.") == 1.0
    assert chrf("", "") == 1.0
    assert chrf("abc", "") == 0.0
    assert chrf("あいう", "xyz") == 0.0


def test_a_hand_counted_score():
    # "ab" and "abc": 1-grams 2 of 2 and 2 of 3, 2-grams 1 of 1 and 1 of 2, 3-grams 0 of 0 and of 1
    precision, recall = (1 + 1 + 0) / 3, (2 / 3 + 1 / 2 + 0) / 3
    assert chrf("ab", "abc") == pytest.approx(2 * precision * recall / (precision + recall))


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_score_is_symmetric_and_between_0_and_1(one: str, other: str):
    assert 0.0 <= chrf(one, other) <= 1.0
    assert chrf(one, other) == pytest.approx(chrf(other, one))
    assert pairwise([one, other])[0][1] == pytest.approx(chrf(one, other))


def test_the_medoid_is_the_one_that_the_others_resemble():
    found = choose_medoid(
        [Candidate("a", OTHER), Candidate("b", STEPS), Candidate("c", SAME_STEPS)]
    )
    assert found.text in (STEPS, SAME_STEPS)
    assert all(set(part.sources) == {"b", "c"} for part in found.parts)
    assert found.agreement == pytest.approx(mean_agreement([OTHER, STEPS, SAME_STEPS]))


def test_of_two_the_earlier_one_is_taken():
    assert choose_medoid([Candidate("a", STEPS), Candidate("b", OTHER)]).text == STEPS
    assert choose_medoid([Candidate("b", OTHER), Candidate("a", STEPS)]).text == OTHER


@pytest.mark.parametrize("combine", [choose_medoid, select_sentences])
def test_what_breaks_the_contract_is_left_out_and_named(combine):
    found = combine([Candidate("a", OTHER, ("leak_commit",)), Candidate("b", STEPS)])
    assert found.text.split() == STEPS.split()
    assert found.dropped == {"a": ("leak_commit",)}
    assert found.agreement == 1.0


@pytest.mark.parametrize("combine", [choose_medoid, select_sentences])
def test_where_all_break_it_the_best_of_them_is_still_shown(combine):
    found = combine([Candidate("a", STEPS, ("lines",)), Candidate("b", "  ", ())])
    assert found.text.split() == STEPS.split()
    assert found.dropped == {"b": ("length",)}


@pytest.mark.parametrize("combine", [choose_medoid, select_sentences])
def test_nothing_at_all_gives_nothing(combine):
    assert combine([]).text == ""
    found = combine([Candidate("a", "")])
    assert (found.text, found.parts, found.dropped) == ("", (), {"a": ("length",)})


def test_sentences_that_two_say_come_once_and_before_what_one_says():
    found = select_sentences(
        [Candidate("a", STEPS), Candidate("b", SAME_STEPS), Candidate("c", OTHER)]
    )
    lines = found.text.split("\n")
    assert len(lines) == 5  # the contract's limit: three that two say, two that one says
    assert sum("known" in line for line in lines) == 1
    by_sources = {found.text[p.start : p.end]: p.sources for p in found.parts}
    assert list(by_sources.values()).count(("a", "b")) == 3
    assert "Picture a market in autumn." in by_sources


def test_the_limit_of_words_holds():
    long = " ".join(
        f"Consider aspect number {n} of this very question with care." for n in range(30)
    )
    other = " ".join(f"Weigh {w} before the rest is looked at." for w in "abcdefghijklmnop")
    found = select_sentences([Candidate("a", long), Candidate("b", other)])
    assert 0 < len(found.text.split()) <= 120
    assert found.text.count("\n") <= 4


def test_japanese_sentences_are_told_apart():
    one = "まず質問を読みます。次に条件を書き出します。"
    two = "まず質問をよく読みます。最後に見直します。"
    found = select_sentences([Candidate("a", one), Candidate("b", two)])
    assert {part.sources for part in found.parts} == {("a", "b"), ("a",), ("b",)}


def test_origins_of_a_fused_text():
    fused = "List what is known. Picture a market in autumn. Ask a friend for advice."
    parts = find_origins(fused, [Candidate("a", STEPS), Candidate("b", OTHER)])
    assert [part.sources for part in parts] == [("a",), ("b",), ()]
    assert fused[parts[1].start : parts[1].end] == "Picture a market in autumn."


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_texts_can_be_put_together(texts: list[str]):
    candidates = [Candidate(str(at), text) for at, text in enumerate(texts)]
    for found in (choose_medoid(candidates), select_sentences(candidates)):
        for part in found.parts:
            assert 0 <= part.start < part.end <= len(found.text)
        for one, other in neighbours(found.parts):
            assert one.end <= other.start


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_the_thresholds_stand_above_what_unrelated_texts_share(language: str):
    draw = random.Random(1)
    rows = [json.loads(line) for line in (DATA / "train.jsonl").read_text("utf-8").splitlines()]
    texts = [row["reasoning"] for row in rows if row["language"] == language]
    sentences = [text[start:end] for text in texts for start, end in sentence_spans(text)]

    def quantile(pool: list[str], share: float) -> float:
        scores = sorted(chrf(*draw.sample(pool, 2)) for _ in range(400))
        return scores[int(share * len(scores))]

    assert quantile(texts, 0.95) < LOW_AGREEMENT
    assert quantile(sentences, 0.99) < SAME_SENTENCE - 0.1
