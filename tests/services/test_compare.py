"""A comparison's settings: reading, refusing, asking, storing."""

import json
from dataclasses import fields, replace

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.services.compare import (
    Comparison,
    SideSettings,
    results_json,
    start_comparison,
    store_comparison,
)
from qeu.store.history import get_comparison, search_comparisons
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf, ScriptedBackend

MODEL = "smollm2-135m"
FULL = Comparison(
    left=SideSettings(f"{MODEL}@poems", "creator", "bonsai-v2", "both", False, Sampling(seed=9)),
    right=SideSettings(MODEL),
    instruction="Write a slogan.",
    input="a tea shop",
    reasoning="You should name the tea.",
    reference="Sip slowly.",
    category="creative",
    expected_language="en",
    sampling=Sampling(0.0, greedy=True),
    exact=True,
    roles={"creator": "You sell tea."},
)
LEAST = {"left": {"model": MODEL}, "right": {"model": MODEL}, "instruction": "Hi"}


def test_settings_survive_json_in_every_field():
    again = Comparison.from_json(json.loads(json.dumps(FULL.to_json())))
    assert again == FULL
    assert set(FULL.to_json()) == {f.name for f in fields(Comparison)}


def test_missing_settings_take_their_defaults():
    comparison = Comparison.from_json(LEAST)
    assert comparison == Comparison(SideSettings(MODEL), SideSettings(MODEL), "Hi")
    assert (
        Comparison.from_json({k: v for k, v in LEAST.items() if k != "instruction"}).instruction
        == ""
    )


def _with(**changes) -> dict:
    return {**FULL.to_json(), **changes}


def _left(**changes) -> dict:
    return _with(left={**FULL.to_json()["left"], **changes})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_with(mood="fine"), "'mood'"),
        (_left(mood="fine"), "'mood'"),
        (_with(left=None), "left side is missing"),
        (_left(model=" "), "no model"),
        (_left(model=7), "no model"),
        (_left(role="poet"), "'poet'"),
        (_left(role=["creator"]), "role"),
        (_left(layout="alpaca"), "'alpaca'"),
        (_left(target="essay"), "'essay'"),
        (_left(use_reasoning="no"), "use_reasoning"),
        (_left(sampling={"top_k": -1}), "top_k"),
        (_left(sampling=3), "Sampling is 3"),
        (_with(sampling={"beams": 2}), "'beams'"),
        (_with(instruction=5), "instruction is 5"),
        (_with(input=None), "input is None"),
        (_with(category="essay"), "'essay'"),
        (_with(expected_language="fr"), "'fr'"),
        (_with(exact="yes"), "exact"),
        (_with(roles={"poet": "x"}), "'poet'"),
        (_with(roles={"creator": 5}), "wordings"),
        (_with(roles="x"), "wordings"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(data, said):
    with pytest.raises(UsageError, match=said):
        Comparison.from_json(data)


def test_a_huge_wrong_value_is_not_repeated_in_full():
    with pytest.raises(UsageError) as caught:
        Comparison.from_json(_with(category="x" * 100_000))
    assert len(str(caught.value)) < 400


def test_each_side_is_asked_with_its_own_settings():
    left, right = FULL.asks()
    assert [left.key, right.key] == ["left", "right"]
    assert (left.model, left.layout, left.target) == (f"{MODEL}@poems", "bonsai-v2", "both")
    assert (left.sampling, right.sampling) == (Sampling(seed=9), FULL.sampling)
    assert left.role.text == "You sell tea."
    assert right.role == ROLES["assistant"]
    assert (left.use_reasoning, right.use_reasoning) == (False, True)
    assert left.record.question == "Write a slogan.\n\na tea shop"
    assert left.record.output == "Sip slowly."


def test_an_edited_logician_asks_for_reasoning_on_both_sides():
    comparison = replace(FULL, roles={"logician": "Think slowly."})
    assert {ask.logician.text for ask in comparison.asks()} == {"Think slowly."}


def test_an_empty_wording_means_the_shipped_role():
    assert replace(FULL, roles={"creator": " "}).role("creator") == ROLES["creator"]


def test_swapping_twice_changes_nothing():
    assert FULL.swapped().left == FULL.right
    assert FULL.swapped().swapped() == FULL


def test_a_finished_run_is_stored_and_restored_with_all_settings(tmp_path):
    shelf = FakeShelf(ScriptedBackend(MODEL, ["Sip", " tea."]))
    run = start_comparison(shelf, FULL)
    assert run.wait(20)
    workspace = Workspace(tmp_path / "qeu.db")
    stored = store_comparison(workspace, FULL, run)
    found = get_comparison(workspace, stored.id)
    workspace.close()
    assert Comparison.from_json(found.settings) == FULL
    assert found.results == json.loads(json.dumps(results_json(run)))
    assert set(found.results) == {"left", "right"}
    assert found.results["left"]["adapter"] == "poems"


def test_a_stored_run_is_found_by_question_text_and_model():
    shelf = FakeShelf(ScriptedBackend(MODEL, ["Gemächlich", " trinken."]))
    run = start_comparison(shelf, FULL)
    assert run.wait(20)
    workspace = Workspace(None)
    store_comparison(workspace, FULL, run)
    for term in ("slogan", "TEA SHOP", "gemächlich", "poems", MODEL):
        assert len(search_comparisons(workspace, term)) == 1, term
    assert search_comparisons(workspace, "coffee") == []


def test_an_empty_question_starts_nothing():
    with pytest.raises(QeuError, match="question is empty"):
        start_comparison(FakeShelf(), replace(FULL, instruction=" "))
