"""What an evaluation measures of its texts, and the losses of what was given."""

import json

import pytest

from qeu.core.eval_spec import EvalSpec, Way
from qeu.services.evaluate import evaluate
from qeu.services.evaluate_table import measure_rows, pair_rows
from tests.services.evaluate_home import (
    ADAPTER,
    AS_USED,
    AT_BEST,
    PLAN,
    Model,
    adapters,
    add,
    product,
    rows,
    run,
    thinking,
    workspace,
)
from tests.services.test_usefulness import STUDENT, Engines

__all__ = ["adapters", "workspace"]  # fixtures


def test_losses_are_those_of_answer_and_reasoning_behind_what_stood_there(workspace, adapters):
    add(workspace, rows(6))
    ways = [Way(ADAPTER, "given"), Way(ADAPTER, "none"), Way(ADAPTER)]
    model = Model(thinking)
    found = run(workspace, model, adapters, ways)
    given, none, own = (way.averages for way in found.ways)
    assert (given["answer_loss"].value, none["answer_loss"].value) == (1.0, 2.0)
    assert own["answer_loss"].value == 2.0  # behind its own reasoning, which is another
    assert own["reasoning_loss"].value == 2.0
    assert "reasoning_loss" not in given
    asked = [(prompt, completion) for prompt, completion in model.measured]
    reasonings = [pair for pair in asked if pair[1].startswith("Multiply")]
    assert len(reasonings) == 6
    assert all(prompt.endswith("<|reasoning|>") for prompt, _ in reasonings)
    assert all(completion.endswith("\n<|response|>") for _, completion in reasonings)
    behind = [prompt for prompt, completion in asked if not completion.startswith("Multiply")]
    assert sum(PLAN in prompt for prompt in behind) == 6


def test_a_reasoning_that_an_answer_follows_does_not_end_the_text(workspace, adapters):
    add(workspace, rows(1))
    model = Model(thinking)
    lengths = []
    taken = model.losses

    def losses(batch, *rest):
        lengths.extend((model.rows[line.row].completion, len(line.completion)) for line in batch)
        return taken(batch, *rest)

    model.losses = losses  # type: ignore[method-assign]
    run(workspace, model, adapters, [Way(ADAPTER)])
    assert sorted(count for _, count in lengths) == [9, 10, 10]
    assert next(count for text, count in lengths if text.startswith("Multiply")) == 9


def test_in_a_chat_the_answer_stands_behind_the_heads_that_it_would_write(workspace):
    add(workspace, rows(1))
    model = Model(lambda prompt: f"{PLAN}\nAnswer:\n5")
    found = run(workspace, model, None, [Way(STUDENT, "own")])
    assert found.texts[0].reasoning == PLAN
    prefills = {row.prompt.prefill for row in model.rows}
    # "" where the answer is foretold without any reasoning
    assert prefills == {"", "Reasoning:\n", f"Reasoning:\n{PLAN}\nAnswer:\n"}


def test_seeds_are_averaged_within_a_record(workspace, adapters):
    add(workspace, rows(8))
    counted: dict[str, int] = {}

    def write(prompt: str) -> str:
        counted[prompt] = counted.get(prompt, 0) + 1
        return product(prompt) if counted[prompt] == 1 else "no"

    found = run(workspace, Model(write), adapters, [AT_BEST, AS_USED], seeds=2, losses=False)
    right = found.ways[0].averages["right"]
    assert (right.records, right.texts, right.value) == (8, 16, 0.5)
    assert found.pairs[0].comparisons["right"].n == 8
    assert found.pairs[0].comparisons["right"].test == "sign_flip"


def test_losses_of_two_bases_are_not_held_against_each_other(workspace):
    add(workspace, rows(8))
    other = Model(lambda prompt: "no")
    other.name = "phi-2"
    engines = Engines(other, Model(lambda prompt: "no"))
    found = evaluate(
        engines, workspace, EvalSpec("demo", (Way(STUDENT, "none"), Way("phi-2", "none")), seeds=1)
    )
    assert "answer_loss" in found.ways[1].averages
    assert "answer_loss" not in found.pairs[0].comparisons
    assert "Losses of models with other tokens are not held against each other." in found.notes


def test_records_without_reference_or_reasoning_are_left_out_where_it_is_needed(
    workspace, adapters
):
    some = rows(8)
    some[0]["output"], some[0]["extra"] = "", {}
    some[1]["reasoning"] = ""
    add(workspace, some)
    found = run(workspace, Model(thinking), adapters, [AT_BEST, Way(ADAPTER, "given"), AS_USED])
    base, given, own = found.ways
    assert (base.averages["right"].records, base.averages["closed"].records) == (7, 8)
    assert base.averages["answer_loss"].records == 7
    assert given.failed == {"The record has no reasoning to give.": 1}
    assert own.averages["reasoning_loss"].records == 7
    assert base.averages["reference"].records == 7


def test_tables_and_plot_data_hold_every_measure_of_the_pair(workspace, adapters):
    add(workspace, rows(7))
    found = run(workspace, Model(thinking), adapters, [AT_BEST, AS_USED])
    table = {row[0]: row[1:] for row in measure_rows(found)}
    assert table["answers that are right (checkable ones)"] == ["0% (0–35)", "100% (65–100)"]
    assert table["reasonings that keep the contract"][0] == "–"
    named = [row[0] for row in pair_rows(found, found.pairs[0])]
    assert named[0] == "answers that are right (checkable ones)"
    points = found.plot_data()
    assert {point["measure"] for point in points} == set(found.pairs[0].comparisons)
    assert "tokens_per_s" not in {point["measure"] for point in points}
    json.dumps(found.to_json(with_texts=True))


def test_creative_reasonings_have_a_contract_of_their_own(workspace, adapters):
    some = rows(7)
    for at, row in enumerate(some[:3]):
        row |= {
            "category": "creative",
            "instruction": f"Write a slogan for shop {at}.",
            "extra": {},
        }
    add(workspace, some)

    def write(prompt: str) -> str:
        plan = "Creator should name the shop." if "shop 0" in prompt else "Name the shop."
        return f"{plan}\n<|response|>Come in."

    found = run(workspace, Model(write), adapters, [AS_USED], losses=False)
    averages = found.ways[0].averages
    assert (averages["contract_creative"].records, averages["contract"].records) == (3, 7)
    assert averages["contract_creative"].value == pytest.approx(1 / 3)
    assert averages["contract"].value == pytest.approx(5 / 7)
    assert averages["right"].records == 4


def test_leaks_loops_and_ends_are_measured(workspace, adapters):
    add(workspace, rows(4))
    texts = {
        "20": "The answer is 260.\n<|response|>260",  # states the reference, and commits
        "21": "The answer is 999.\n<|response|>999",  # commits to another one
        "22": f"{PLAN}\n<|response|>" + "again and again " * 40,
        "23": PLAN,  # never answers
    }
    model = Model(lambda prompt: texts[prompt.partition("What is ")[2][:2]])
    found = run(workspace, model, adapters, [AS_USED], losses=False)
    values = [text.values for text in found.texts]
    assert [one["leak_reference"] for one in values] == [1.0, 0.0, 0.0, 0.0]
    assert [one["leak_commit"] for one in values] == [1.0, 1.0, 0.0, 0.0]
    assert [one["loop"] for one in values] == [0.0, 0.0, 1.0, 0.0]
    assert [one["closed"] for one in values] == [1.0, 1.0, 1.0, 0.0]
    assert [one["right"] for one in values] == [1.0, 0.0, 0.0, 0.0]
