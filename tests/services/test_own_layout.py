"""An adapter is asked in the layout that it learned, unless a person chooses otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.services.compare import Comparison, SideSettings
from qeu.services.fit import fit_comparison
from qeu.services.runs import Run
from tests.fake_shelf import FakeShelf, ScriptedBackend
from tests.services.test_runs import A, ask, finish

REF = f"{A}@poems"


@pytest.fixture
def shelf(tmp_path: Path) -> FakeShelf:
    """A shelf whose folder of adapters holds one that learned bonsai-v2, both."""
    passport = json.loads((Path(__file__).parents[1] / "contract" / "run.json").read_text("utf-8"))
    found = passport if "layout" in passport else next(iter(passport.values()))
    folder = tmp_path / "poems"
    folder.mkdir()
    run = found | {"layout": "bonsai-v2", "target": "both"}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    config = {"base_model_name_or_path": A, "r": 4, "peft_type": "LORA", "target_modules": ["x"]}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    shelf = FakeShelf(ScriptedBackend(A, ["Think.", "<|response|>", "5"]))
    shelf.adapters = tmp_path
    return shelf


def test_its_own_layout_is_taken_where_none_is_chosen(shelf: FakeShelf):
    run = finish(Run(shelf, [ask("left", REF, layout="", target="both"), ask("right", layout="")]))
    assert run.live["left"].prepared.text.startswith("<|system|>")
    assert run.live["left"].parts() == ("Think.", "5")
    assert run.live["right"].ask.chosen_layout() == "chat"
    assert run.warnings == {}


def test_another_choice_holds_and_is_warned_of(shelf: FakeShelf):
    run = finish(Run(shelf, [ask("left", REF, layout="chat")]))
    assert run.live["left"].ask.chosen_layout() == "chat"
    assert "learned the layout bonsai-v2, and chat is chosen" in run.warnings["left"]
    assert run.live["left"].generation.receipt.notes[0] == run.warnings["left"]


def test_a_text_is_cut_for_the_layout_that_will_be_used(shelf: FakeShelf):
    side = SideSettings(REF, target="both")
    long = Comparison(side, side, "Sum up.", "word " * 400)
    cut = fit_comparison(shelf, long, room=16)
    run = finish(Run(shelf, cut.asks()))
    assert run.live["left"].prepared.text.startswith("<|system|>")
    assert 900 < run.live["left"].prepared.tokens <= 1_000 - 16
    assert replace(cut, input="") == replace(long, input="")
