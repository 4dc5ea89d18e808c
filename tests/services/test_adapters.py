"""What a person sees of adapters: base, layout, checkpoints, warnings; never an exception."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.services.adapters import layout_warning, list_cards, own_layout, show_card
from tests.backends.test_adapter_files import make, tensors

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
FIRST = "base_model.model.layer.lora_A.weight"
SECOND = "base_model.model.layer.lora_B.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Adapters poems (with a run.json and two checkpoints), plain, and one that is broken."""
    found = tmp_path / "adapters"
    path = make(found, "poems", base=HUB_ID, target_modules=["v_proj", "q_proj"])
    run = {"base": "smollm2-135m", "layout": "bonsai-v2", "target": "both", "role": "creator"}
    (path / "run.json").write_text(json.dumps(run))
    make(found, "poems/checkpoint-10", base=HUB_ID)
    make(found, "poems/checkpoint-5", base=HUB_ID)
    make(found, "plain", base="someone/else-7b")
    make(found, "cut", weights=tensors(a=(2, 2))[:-1])
    return found


def test_cards_tell_base_layout_and_checkpoints(folder):
    cards, broken = list_cards(folder)
    assert [card.name for card in cards] == [
        "plain", "poems", "poems/checkpoint-5", "poems/checkpoint-10",
    ]  # fmt: skip
    plain, poems, early, _ = cards
    assert (poems.base, poems.ref) == ("smollm2-135m", "smollm2-135m@poems")
    assert (poems.layout, poems.target, poems.role) == ("bonsai-v2", "both", "creator")
    assert poems.target_modules == ("q_proj", "v_proj")
    assert poems.checkpoints == ("poems/checkpoint-5", "poems/checkpoint-10")
    assert (early.layout, early.checkpoints) == ("bonsai-v2", ())
    assert (plain.base, plain.layout) == ("someone/else-7b", "")
    assert [one.name for one in broken] == ["cut"]


def test_one_card_tells_the_hash_and_takes_a_path(folder):
    poems = show_card(folder, "poems")
    assert len(poems.hash) == 64
    assert show_card(folder, str(folder / "poems")).hash == poems.hash
    with pytest.raises(QeuError, match="There is no adapter 'verse'"):
        show_card(folder, "verse")


def test_a_base_on_somebody_elses_machine_is_not_told_as_a_path(folder):
    make(folder, "foreign", base="/home/somebody/models/their-base")
    card = show_card(folder, "foreign")
    assert (card.base, card.ref, card.trained_on) == ("", "", "their-base")


def test_an_adapter_that_was_never_trained_is_told_in_the_list(folder):
    make(folder, "zero", weights=tensors(**{FIRST: (2, 4), SECOND: (4, 2)}))
    weights = tensors(**{FIRST: (2, 4), SECOND: (4, 2)})[:-4] + b"\0\0\x80\x3f"
    make(folder, "trained", weights=weights)
    warnings = {card.name: card.warning for card in list_cards(folder)[0]}
    assert "'zero' changes nothing" in warnings["zero"]
    assert {name for name, warning in warnings.items() if warning} == {"zero"}


def test_listing_loads_no_torch(folder):
    code = (
        "import sys; from pathlib import Path; from qeu.services.adapters import list_cards\n"
        f"assert list_cards(Path({str(folder)!r}))[0]\n"
        "assert 'torch' not in sys.modules and 'peft' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_own_layout_is_that_of_run_json_or_none(folder):
    assert own_layout(folder, "smollm2-135m@poems") == ("bonsai-v2", "both")
    assert own_layout(folder, "smollm2-135m@poems/checkpoint-5") == ("bonsai-v2", "both")
    for ref in ("smollm2-135m", "smollm2-135m@plain", "smollm2-135m@nowhere", "@", "x@owner/name"):
        assert own_layout(folder, ref) is None
    path = str(folder / "poems")
    assert own_layout(folder, f"smollm2-135m@{path}") == ("bonsai-v2", "both")
    assert own_layout(folder, f"smollm2-135m@{path}", local_paths=False) is None


@pytest.mark.parametrize(
    ("layout", "target", "said"),
    [
        ("", "", ""),
        ("bonsai-v2", "both", ""),
        ("bonsai-v2", "reasoning", ""),
        ("bonsai-v2", "answer", ""),
        ("", "both", ""),
        ("chat", "both", "learned the layout bonsai-v2, and chat is chosen"),
        ("bonsai-v1", "", "learned the layout bonsai-v2, and bonsai-v1 is chosen"),
        ("bonsai-v2", "reasoning_task", "learned to write both, and reasoning_task is asked for"),
    ],
)
def test_another_layout_or_target_than_the_learned_one_is_told(folder, layout, target, said):
    found = layout_warning(layout, target, "smollm2-135m@poems", folder)
    assert said in found
    assert bool(found) == bool(said)
    assert layout_warning(layout, target, "smollm2-135m@plain", folder) == ""
    assert layout_warning(layout, target, "smollm2-135m", folder) == ""


@pytest.mark.slow
def test_a_changed_base_is_told_in_the_list(folder, embedded_path):
    cache = embedded_path.parent
    run = {"base": "smollm2-135m", "base_revision": "a" * 64}
    (folder / "poems" / "run.json").write_text(json.dumps(run))
    warnings = {card.name: card.warning for card in list_cards(folder, cache)[0]}
    assert "trained on other files of smollm2-135m (aaaaaaaaaaaa)" in warnings["poems"]
    assert warnings["plain"] == ""
