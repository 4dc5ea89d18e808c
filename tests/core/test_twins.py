"""Twins: which variants they are, what they are called, what cannot be meant."""

import pytest

from qeu.core.errors import QeuError
from qeu.core.prompts import TARGETS
from qeu.core.roles import BY_CATEGORY
from qeu.core.training_variant import Variant
from qeu.core.twins import (
    KIND_WORDS,
    MOST_TWINS,
    TWIN_KINDS,
    Twin,
    describe_variant,
    make_twins,
    parse_twins,
    twin_name,
    twin_problems,
)

PLAIN = Variant(layout="bonsai-v1", role=BY_CATEGORY, seed=9)


def test_every_kind_with_every_seed():
    twins = make_twins(("own", "none"), (0, 1))
    assert [twin.label for twin in twins] == ["own-s0", "none-s0", "own-s1", "none-s1"]
    assert twin_name("poems", twins[3]) == "poems-none-s1"


@pytest.mark.parametrize("kind", TWIN_KINDS)
def test_each_kind_is_a_variant_that_makes_sense(kind):
    variant = Twin(kind, 3).variant_of(PLAIN)
    assert variant.problems() == []
    assert (variant.layout, variant.role, variant.seed) == ("bonsai-v1", BY_CATEGORY, 3)
    assert variant.target in TARGETS
    assert KIND_WORDS[kind]


def test_the_kinds_differ():
    variants = [Twin(kind, 0).variant_of(PLAIN) for kind in TWIN_KINDS]
    assert len(set(variants)) == len(TWIN_KINDS) == len(KIND_WORDS)
    assert len(set(map(describe_variant, variants))) == len(TWIN_KINDS)


def test_any_twin_tells_all_others():
    own = Twin("own", 0).variant_of(PLAIN)
    given = Twin("given", 5).variant_of(PLAIN)
    assert Twin("own", 0).variant_of(given) == own


def test_labels_come_back():
    twins = make_twins(TWIN_KINDS, (0, 2**63 - 1))
    assert parse_twins([twin.label for twin in twins]) == twins


@pytest.mark.parametrize("label", ["own", "own-0", "some-s0", "own-s-1", "own-s" + "9" * 19, ""])
def test_a_label_that_is_none_is_told(label):
    with pytest.raises(QeuError, match="names no twin"):
        parse_twins([label])


@pytest.mark.parametrize(
    ("kinds", "seeds", "words"),
    [
        (("some",), (0,), "no twin 'some'"),
        (("own",), (-1,), "seed is -1"),
        ((), (0,), "at least one kind"),
        (("own",), (), "one seed"),
        (("own", "own"), (0,), "named twice"),
        (("own",), (1, 1), "named twice"),
        (("own",), tuple(range(MOST_TWINS + 1)), "25 runs"),
    ],
)
def test_what_cannot_be_meant_is_told(kinds, seeds, words):
    assert any(words in problem for problem in twin_problems(kinds, seeds))
    with pytest.raises(QeuError):
        make_twins(kinds, seeds)


def test_a_variant_is_told_in_words():
    assert describe_variant(Variant()) == "reasoning and answer"
    assert describe_variant(Variant(target="answer", reasoning="none")).endswith("no reasoning")
    assert "placebo" in describe_variant(Variant(reasoning="shuffled"))
    assert "30% of the records" in describe_variant(Variant(reasoning_dropout=0.3))
    assert describe_variant(Variant(loss_on=("output",))).endswith("loss on output")
