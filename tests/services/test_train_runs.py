"""Runs as rows: what a person sees of each, and what differs between them."""

import json
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.run_passport import LoraSettings, RunPassport
from qeu.core.run_status import RunStatus
from qeu.core.training_variant import Variant
from qeu.services.train_order import TrainOrder
from qeu.services.train_runs import (
    compare_runs,
    list_run_cards,
    order_of_run,
    run_card,
)
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder, create_run, write_passport
from tests.services.stub_worker import save_adapter, save_checkpoint

PASSPORT = RunPassport.from_json(
    json.loads((Path(__file__).parents[1] / "contract" / "run.json").read_text("utf-8"))
)
GONE = "999999999:0-0"


def make(adapters: Path, name: str, status: RunStatus, **changes: object) -> RunFolder:
    """A run's folder without any process."""
    folder = create_run(adapters, name)
    data = PASSPORT.to_json() | {"name": name} | changes
    write_passport(folder, RunPassport.from_json(data))
    folder.write_status(status)
    return folder


def test_a_row_says_how_a_run_stands(tmp_path):
    folder = make(tmp_path, "a", RunStatus("running", my_owner(), "2026-01-02", step=3, steps=60))
    for step, loss in ((1, 3.0), (2, 2.5), (3, 2.75)):
        folder.add_metric("train", step, {"loss": loss})
    for step, loss in ((0, 1.0), (20, 2.2), (40, 2.0), (60, 2.1)):
        folder.add_metric("validation", step, {"loss": loss})
    card = run_card(folder)
    assert (card.name, card.state, card.base, card.dataset) == (
        "a", "running", "smollm2-135m", "shipped",
    )  # fmt: skip
    assert (card.step, card.steps, card.is_open, card.can_resume) == (3, 60, True, False)
    assert (card.train_loss, card.validation_loss) == (2.75, 2.1)
    # step 0 is the base, not something that was learned
    assert (card.best_validation_loss, card.best_step) == (2.0, 40)
    assert card.variant == "the reasoning alone, in its slot"
    assert json.loads(json.dumps(card.to_json())) == card.to_json()


def test_a_row_follows_what_is_written(tmp_path):
    folder = make(tmp_path, "a", RunStatus("running", my_owner()))
    assert run_card(folder).train_loss is None
    folder.add_metric("train", 1, {"loss": 3.0})
    assert run_card(folder).train_loss == 3.0
    folder.add_metric("train", 2, {"loss": 2.0})
    assert run_card(folder).train_loss == 2.0


def test_the_last_ordered_is_the_first(tmp_path):
    for name, order in (("a", "2026-01-02"), ("b", "2026-01-03"), ("c", "2026-01-01")):
        make(tmp_path, name, RunStatus("finished", order=order))
    assert [card.name for card in list_run_cards(tmp_path)] == ["b", "a", "c"]
    assert list_run_cards(tmp_path / "none") == []


def test_an_interrupted_run_says_how_it_goes_on(tmp_path):
    folder = make(tmp_path, "a", RunStatus("running", GONE))
    card = run_card(folder)
    assert (card.state, card.can_resume) == ("interrupted", True)
    assert "without a word" in card.message
    assert "first step" in card.advice
    save_checkpoint(folder, 20)
    assert "goes on from checkpoint-20" in run_card(folder).advice


def test_a_failed_run_tells_its_trouble(tmp_path):
    status = RunStatus("failed", GONE, trouble="memory", message="Too much.", advice="Less.")
    card = run_card(make(tmp_path, "a", status))
    assert (card.trouble, card.message, card.advice) == ("memory", "Too much.", "Less.")
    assert card.can_resume


def test_a_damaged_run_is_a_row_too(tmp_path):
    folder = make(tmp_path, "a", RunStatus())
    make(tmp_path, "b", RunStatus("finished"))
    (folder.path / "status.json").write_text("[]")
    cards = {card.name: card for card in list_run_cards(tmp_path)}
    assert cards["a"].state == "unreadable"
    assert "status.json of a is not an object" in cards["a"].message
    assert cards["b"].state == "finished"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("run.json", '"both"', '"some"', "target is 'some'"),
        ("run.json", '"steps": 60', '"steps": "60"', "steps is '60'"),
        ("run.json", '"loss_on": [', '"loss_on": [[],', r"cannot be read"),
        ("status.json", '"step": 0', '"step": "x"', "a text where a number belongs"),
        ("status.json", '"finished"', '"done"', "is no state of a run"),
    ],
)
def test_what_cannot_be_is_no_row_that_breaks_the_list(tmp_path, file, old, new, words):
    folder = make(tmp_path, "a", RunStatus("finished"), target="both")
    text = (folder.path / file).read_text("utf-8")
    assert old in text
    (folder.path / file).write_text(text.replace(old, new, 1))
    (card,) = list_run_cards(tmp_path)
    assert card.state == "unreadable"
    assert words in card.message


def test_an_adapter_is_there_when_both_of_its_files_are(tmp_path):
    folder = make(tmp_path, "a", RunStatus("finished", has_adapter=True))
    (folder.path / "adapter_config.json").write_text("{}")
    assert not run_card(folder).has_adapter
    save_adapter(folder.path)
    assert run_card(folder).has_adapter


def test_an_adapter_with_a_passport_and_no_status_has_finished(tmp_path):
    folder = make(tmp_path, "a", RunStatus())
    (folder.path / "status.json").unlink()
    assert run_card(folder).state == "unreadable"
    save_adapter(folder.path)
    card = run_card(folder)
    assert (card.state, card.step, card.steps) == ("finished", 60, 60)


def test_runs_are_compared_by_what_differs(tmp_path):
    make(tmp_path, "a", RunStatus("finished"))
    lora = PASSPORT.to_json()["lora"] | {"rank": 8}
    make(tmp_path, "b", RunStatus("finished"), lora=lora, seed=9)
    found = compare_runs(tmp_path, ["a", "b"])
    assert [dict(one) for one in found.differing] == [
        {"setting": "seed", "values": [7, 9]},
        {"setting": "lora.rank", "values": [16, 8]},
    ]
    assert [card.name for card in found.cards] == ["a", "b"]
    assert json.loads(json.dumps(found.to_json()))["runs"][0]["name"] == "a"


def test_comparing_needs_two_that_there_are(tmp_path):
    make(tmp_path, "a", RunStatus())
    with pytest.raises(QeuError, match="two runs"):
        compare_runs(tmp_path, ["a", "a"])
    with pytest.raises(QeuError, match="There is no run 'b'"):
        compare_runs(tmp_path, ["a", "b"])


def test_a_form_is_filled_from_any_run(tmp_path):
    make(tmp_path, "a", RunStatus())
    order = order_of_run(tmp_path, "a")
    assert order == TrainOrder.from_passport(PASSPORT).__class__(**vars(order) | {"name": "a"})
    assert (order.name, order.variant.seed, order.lora.rank) == ("a", 7, 16)
    assert isinstance(order.lora, LoraSettings)
    assert isinstance(order.variant, Variant)
