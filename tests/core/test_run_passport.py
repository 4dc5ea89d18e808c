"""The training run's passport, held to its literal example."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.run_passport import LoraSettings, RunPassport, TrainingSettings, hash_layout

LITERAL = json.loads(
    (Path(__file__).parents[1] / "contract" / "run.json").read_text(encoding="utf-8")
)
GOOD = RunPassport.from_json(LITERAL)


def test_the_passport_comes_back_from_its_literal():
    assert GOOD.to_json() == LITERAL
    assert json.loads(json.dumps(GOOD.to_json())) == LITERAL
    assert GOOD.problems() == []
    assert GOOD.lora.target_modules[:2] == ("q_proj", "k_proj")


def test_the_layout_hash_is_that_of_the_rendered_strings():
    strings = {
        "prompt": "<|system|>S\n<|instruction|>I\n<|context|>In\n<|reasoning|>",
        "messages": [],
        "prefill": "",
        "stop": ["<|response|>"],
        "completion": "R",
    }
    text = json.dumps(strings, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == LITERAL["layout_hash"]
    assert hash_layout(GOOD.layout, GOOD.target) == LITERAL["layout_hash"]


def test_every_layout_and_target_has_a_hash_of_its_own():
    tagged = [layout for layout in LAYOUTS if layout != "chat"]
    hashes = {hash_layout(layout, target) for layout in tagged for target in TARGETS}
    assert len(hashes) == len(tagged) * len(TARGETS)


@pytest.mark.parametrize("part", ["", "lora", "training"])
def test_an_unknown_field_is_refused_at_every_depth(part):
    data = json.loads(json.dumps(LITERAL))
    (data[part] if part else data)["mood"] = "fine"
    with pytest.raises(QeuError, match="'mood'"):
        RunPassport.from_json(data)


def test_a_missing_field_is_named():
    data = {name: value for name, value in LITERAL.items() if name != "tokenizer_hash"}
    with pytest.raises(QeuError, match="tokenizer_hash"):
        RunPassport.from_json(data)
    with pytest.raises(QeuError, match="'nf4'"):
        RunPassport.from_json(LITERAL | {"lora": "nf4"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "'a/b'"),
        ({"name": "v1.2"}, "'v1.2'"),
        ({"name": "a@b"}, "'a@b'"),
        ({"base": ""}, "base is empty"),
        ({"base_revision": ""}, "base_revision"),
        ({"data_hash": "abc"}, "data_hash"),
        ({"tokenizer_hash": "Z" * 64}, "tokenizer_hash"),
        ({"records": 0}, "records"),
        ({"seed": -1}, "seed"),
        ({"layout": "alpaca"}, "layout"),
        ({"target": "essay"}, "target"),
        ({"loss_on": ()}, "loss_on"),
        ({"reasoning": "stolen"}, "reasoning"),
        ({"reasoning_dropout": 1.5}, "reasoning_dropout"),
        ({"lora": replace(GOOD.lora, rank=0)}, "rank"),
        ({"lora": replace(GOOD.lora, alpha=True)}, "alpha"),
        ({"lora": replace(GOOD.lora, dropout=float("nan"))}, "dropout"),
        ({"lora": replace(GOOD.lora, target_modules=())}, "target modules"),
        ({"lora": replace(GOOD.lora, quantization="nf3")}, "quantization"),
        ({"training": replace(GOOD.training, steps=0)}, "steps"),
        ({"training": replace(GOOD.training, learning_rate=0.0)}, "learning_rate"),
        ({"training": replace(GOOD.training, max_length=8)}, "max_length"),
        ({"training": replace(GOOD.training, schedule="zigzag")}, "schedule"),
        ({"training": replace(GOOD.training, compute_dtype="auto")}, "compute_dtype"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_said_once(change, said):
    problems = replace(GOOD, **change).problems()
    assert len(problems) == 1
    assert said in problems[0]


def test_all_problems_are_said_at_once():
    bad = replace(GOOD, name="", seed=-1, lora=LoraSettings(), training=TrainingSettings(steps=0))
    assert len(bad.problems()) == 4
