"""Receipts and generations come back from their literal examples unchanged."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.generation import FINISH_REASONS, Generation, Parameter, Receipt

CONTRACT = Path(__file__).parents[1] / "contract"
RECEIPT = json.loads((CONTRACT / "receipt.json").read_text(encoding="utf-8"))
GENERATIONS = json.loads((CONTRACT / "generation.json").read_text(encoding="utf-8"))


def test_a_receipt_comes_back_from_its_literal():
    receipt = Receipt.from_json(RECEIPT)
    assert receipt.to_json() == RECEIPT
    assert receipt.parameters[1] == Parameter("top_k", 50, None, "This server does not take top_k.")
    assert set(RECEIPT) == {f.name for f in fields(Receipt)}
    assert {name for p in RECEIPT["parameters"] for name in p} == {
        f.name for f in fields(Parameter)
    }


@pytest.mark.parametrize("name", GENERATIONS)
def test_a_generation_comes_back_from_its_literal(name):
    generation = Generation.from_json(GENERATIONS[name])
    assert generation.to_json() == GENERATIONS[name]
    assert generation.finish_reason in FINISH_REASONS
    assert set(GENERATIONS[name]) == {f.name for f in fields(Generation)} - {"token_ids"}


def test_plain_values_survive_json_itself():
    generation = Generation.from_json(GENERATIONS["finished"])
    again = Generation.from_json(json.loads(json.dumps(generation.to_json())))
    assert again == generation


def test_token_ids_are_not_stored():
    generation = replace(Generation.from_json(GENERATIONS["finished"]), token_ids=(1, 2))
    assert generation.to_json() == GENERATIONS["finished"]


@pytest.mark.parametrize("shape", [(Receipt, RECEIPT), (Generation, GENERATIONS["failed"])])
def test_an_unknown_field_is_refused(shape):
    cls, literal = shape
    with pytest.raises(QeuError, match="'mood'"):
        cls.from_json(literal | {"mood": "fine"})


def test_a_broken_receipt_is_refused_in_words():
    with pytest.raises(QeuError):
        Receipt.from_json({"parameters": [{"title": "temperature"}]})
    with pytest.raises(QeuError):
        Generation.from_json({"text": "only"})
