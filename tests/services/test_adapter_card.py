"""The card of a trained adapter: what it tells, with an evaluation and without one."""

import json
import re
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.services.adapter_card import write_card, write_cards
from qeu.services.evaluate import evaluate
from qeu.services.run_curves import draw_curves
from qeu.store.run_folders import FrozenRecord, RunFolder
from qeu.store.workspace import Workspace
from tests.services.evaluate_home import AS_USED, AT_BEST, Engines, Model, add, rows, thinking

CONTRACT = Path(__file__).parents[1] / "contract"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    path = tmp_path / "adapters" / "poems"
    path.mkdir(parents=True)
    run = json.loads((CONTRACT / "run.json").read_text("utf-8"))
    run |= {"name": "poems", "layout": "bonsai-v2", "target": "both", "role": "assistant"}
    (path / "run.json").write_text(json.dumps(run), "utf-8")
    config = {
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct", "r": 16,
        "peft_type": "LORA",
    }  # fmt: skip
    (path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (path / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    found = RunFolder(path)
    for step, loss, kept in ((0, 2.4, 1), (20, 1.9, 4), (40, 1.5, 7)):
        values = {"loss": loss, "reasoning_loss": loss + 0.3, "answer_loss": loss - 0.3, "rows": 8}
        found.add_metric("validation", step, values)
        rates = {name: {"count": 1, "of": 8} for name in ("leak", "closed", "loop")}
        found.add_metric("samples", step, rates | {"contract": {"count": kept, "of": 8}})
    for step in range(1, 41):
        found.add_metric("train", step, {"loss": 3.0 - step / 40, "learning_rate": 1e-4})
    found.freeze("train.jsonl", [FrozenRecord(Record("Q", output="A", language="en"))] * 3)
    return found


def parts(card: str) -> dict[str, str]:
    """The card's sections by heading."""
    found = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_without_an_evaluation_the_runs_own_figures_are_told(folder):
    card = write_card(folder, None).read_text("utf-8")
    assert card.startswith("---\nlicense: mit\n")
    head = card.split("---")[1]
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in head
    assert "- qlora" in head
    assert "language:\n- en" in head
    effect = parts(card)["What it does"]
    assert "| validation loss, nats a token | 2.400 | 1.500 |" in effect
    assert "| … on the reasoning | 2.700 | 1.800 |" in effect
    assert "| samples whose reasoning keeps the contract | 1 of 8 | 7 of 8 |" in effect
    assert "| step 0 | step 40 |" in effect
    trained = parts(card)["How it was trained"]
    assert "| rank, alpha, dropout | 16, 32, 0.05 |" in trained
    assert "![Curves of the run](curves.svg)" in trained
    assert "MIT: 400 records" in parts(card)["Data and licences"]
    assert "apache-2.0" in parts(card)["Data and licences"].lower()


def test_an_evaluation_gives_the_verdict_and_the_table_of_all_ways(folder, tmp_path):
    workspace = Workspace(tmp_path / "qeu.db")
    add(workspace, rows(9))
    engines = Engines(Model(thinking))
    engines.adapters = folder.path.parent
    from qeu.core.eval_spec import EvalSpec

    found = evaluate(engines, workspace, EvalSpec("demo", (AT_BEST, AS_USED), seeds=1))
    (path,) = write_cards(folder.path.parent, workspace, found)
    card = path.read_text("utf-8")
    effect = parts(card)["What it does"]
    assert "adapter helps against base: right answers 0% → 100%" in effect
    assert "1. base\n2. adapter" in effect
    assert "| answers that are right (checkable ones) | 0% (0–30) | 100% (70–100) |" in effect
    kept = json.loads((folder.path / "evaluation.json").read_text("utf-8"))
    assert kept["evaluation"]["records"] == 9
    # the figures stay when the card is written again, as long as the weights are these
    assert write_card(folder, None).read_text("utf-8") == card.replace("MIT: 688", "MIT: 400")
    (folder.path / "adapter_model.safetensors").write_bytes(b"\x03\0\0\0\0\0\0\0{} ")
    assert "helps against" not in write_card(folder, None).read_text("utf-8")


def test_other_data_tell_their_licences_or_that_they_are_not_known(folder):
    run = json.loads((folder.path / "run.json").read_text("utf-8")) | {"dataset": "mine"}
    (folder.path / "run.json").write_text(json.dumps(run), "utf-8")
    card = write_card(folder, None).read_text("utf-8")
    assert "license: other" in card
    assert "licences of the texts were not at hand" in card
    card = write_card(folder, None, {"cc-by-4.0": 7}).read_text("utf-8")
    assert "license: cc-by-4.0" in card
    card = write_card(folder, None, {"cc-by-4.0": 7, "": 2}).read_text("utf-8")
    assert "license: other" in card
    assert "- not stated: 2 records" in card


def test_no_path_of_this_machine_gets_into_the_card(folder):
    config = {"base_model_name_or_path": "/home/me/models/secret-base", "r": 16}
    (folder.path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    run = json.loads((folder.path / "run.json").read_text("utf-8"))
    run |= {"base": "/home/me/models/secret-base"}
    (folder.path / "run.json").write_text(json.dumps(run), "utf-8")
    card = write_card(folder, None).read_text("utf-8")
    assert "/home/me" not in card
    assert "base_model: secret-base" in card
    assert "--left secret-base --right secret-base@poems" in card


def test_a_run_that_measured_nothing_has_a_card_without_curves(folder):
    (folder.path / "metrics.jsonl").unlink()
    (folder.path / "train.jsonl").unlink()
    card = write_card(folder, None).read_text("utf-8")
    assert "Nothing was measured on records that it did not learn from." in card
    assert "curves.svg" not in card
    assert not (folder.path / "curves.svg").exists()


def test_a_folder_without_a_passport_is_told(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(QeuError, match=r"run\.json"):
        write_card(RunFolder(tmp_path / "x"), None)


def test_curves_are_small_and_survive_odd_figures(folder):
    for step in range(41, 4_041):
        folder.add_metric("train", step, {"loss": 1.0})
    picture = draw_curves(folder.metrics())
    assert picture.startswith("<svg")
    assert len(picture) < 12_000
    assert picture.count("<polyline") == 4 + 4
    for name in ("training", "validation", "contract"):
        assert f">{name}</text>" in picture
    folder.add_metric("train", 4_041, {"loss": float("nan")})
    folder.add_metric("samples", 4_041, {"contract": {"count": 0, "of": 0}, "leak": None})
    assert "nan" not in draw_curves(folder.metrics())
