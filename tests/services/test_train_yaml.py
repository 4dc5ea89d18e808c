"""Orders as YAML: what is written comes back, and what cannot be meant is named in words."""

from itertools import pairwise

import pytest
import yaml

from qeu.core.errors import QeuError
from qeu.services.train_order import TrainOrder
from qeu.services.train_yaml import MOST_CHARACTERS, order_from_yaml, order_to_yaml
from tests.services.train_orders import draw_order


def test_every_order_comes_back():
    for seed in range(60):
        order = draw_order(seed)
        assert order_from_yaml(order_to_yaml(order)) == order


def test_it_is_yaml_that_others_read_too():
    found = yaml.safe_load(order_to_yaml(TrainOrder("n", "b", "d")))
    assert found["training"]["learning_rate"] == 0.0002
    assert found["lora"]["rank"] == 16
    assert "role_text" not in found["variant"]


def test_what_is_left_out_is_as_usual():
    assert order_from_yaml("name: n\nbase: b\ndataset: d\n") == TrainOrder("n", "b", "d")


def test_values_are_read_as_a_person_means_them():
    text = "name: 2024\nbase: no\ntraining: {learning_rate: 2e-4, packing: no}\ntwins: [own-s0]"
    order = order_from_yaml("\ufeff".encode() + text.encode())
    assert (order.name, order.base, order.twins) == ("2024", "no", ("own-s0",))
    assert (order.training.learning_rate, order.training.packing) == (2e-4, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "are empty"),
        ("- a", "must be names with values"),
        ("lora: 3", "lora must be names with values"),
        ("nmae: a", "there is no setting 'nmae'"),
        ("name: a\nlora:\n  rnak: 3", "Line 3: there is no setting 'lora.rnak'"),
        ("lora: {rank: x}", "lora.rank is 'x'; it must be a whole number"),
        ("lora: {rank: 1.5}", "it must be a whole number"),
        ("epochs: often", "epochs is 'often'; it must be a number"),
        ("training: {packing: perhaps}", "true or false"),
        ("name: [a]", "it must be a text"),
        ("twins: own-s0", "twins must be a list"),
        ("filter: {ids: [a]}", "filter.ids is 'a'"),
        ("name: a\nname: b", "Line 2: name is there twice"),
        ("variant: {role: king}", "Unknown role 'king'"),
        ("name: 'a", "no YAML"),
        ("\tname: a", "no YAML"),
        ("a: &x [1]\nb: *x", "uses an anchor"),
        ("[" * 10_000, "nested too deep"),
        (b"\xff\xfe\x00", "no UTF-8"),
        ("#" * (MOST_CHARACTERS + 1), "none that we wrote"),
    ],
)
def test_what_cannot_be_meant_is_told(text, words):
    with pytest.raises(QeuError) as found:
        order_from_yaml(text)
    assert words in str(found.value)


def test_a_bomb_of_references_does_not_go_off():
    """Nine lines that stand for a billion words."""
    lines = ['a: &a ["x"]']
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi")]
    with pytest.raises(QeuError, match="anchor"):
        order_from_yaml("\n".join(lines))


def test_a_tag_makes_nothing(tmp_path):
    victim = tmp_path / "made"
    text = f'name: !!python/object/apply:os.mkdir ["{victim}"]'
    with pytest.raises(QeuError, match="must be a text"):
        order_from_yaml(text)
    assert not victim.exists()
