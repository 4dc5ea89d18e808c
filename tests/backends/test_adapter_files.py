"""Adapter folders on disk: what is listed, what is refused, and what their hash means."""

import json
from pathlib import Path

import pytest

from qeu.backends.adapter_files import check_base, find_adapter, list_adapters
from qeu.core.errors import QeuError
from qeu.core.request import hash_adapter

CONTRACT = Path(__file__).parent.parent / "contract" / "adapter_hash.json"


def make(folder: Path, name: str, base: str = "phi-2", weights: bytes = b"weights") -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": base, "r": 8, "peft_type": "LORA"})
    )
    (path / "adapter_model.safetensors").write_bytes(weights)
    return path


def test_complete_folders_are_listed_and_a_run_in_progress_offers_its_checkpoints(tmp_path):
    make(tmp_path, "poems.v2")
    make(tmp_path, "logic/checkpoint-200")
    make(tmp_path, "logic/checkpoint-30")
    make(tmp_path, "poems.v2/checkpoint-5")
    (tmp_path / "empty").mkdir()
    broken = make(tmp_path, "broken")
    (broken / "adapter_config.json").write_text("not json")
    found = list_adapters(tmp_path)
    names = ["logic/checkpoint-30", "logic/checkpoint-200", "poems.v2"]
    assert [a.name for a in found] == names
    assert (found[2].base, found[2].rank) == ("phi-2", 8)
    assert list_adapters(tmp_path / "nowhere") == []


def test_an_adapter_is_found_by_its_name_or_its_checkpoints(tmp_path):
    path = make(tmp_path, "poems")
    make(tmp_path, "poems/checkpoint-5")
    assert find_adapter(tmp_path, "poems").path == path
    assert find_adapter(tmp_path, "poems/checkpoint-5").path == path / "checkpoint-5"


@pytest.mark.parametrize("name", ["", "verse", "../poems", "poems/../poems", "/etc", "..\\poems"])
def test_an_unknown_name_says_which_there_are(tmp_path, name):
    make(tmp_path, "poems")
    with pytest.raises(QeuError, match=r"There is no adapter.*there are: poems\."):
        find_adapter(tmp_path, name)


def test_a_pickle_is_refused_by_name(tmp_path):
    path = make(tmp_path, "old")
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
    with pytest.raises(QeuError, match=r"adapter_model\.bin, a pickle that could run code"):
        find_adapter(tmp_path, "old")
    assert list_adapters(tmp_path) == []


def test_the_hash_is_that_of_the_contract_and_changes_with_the_weights(tmp_path):
    contract = json.loads(CONTRACT.read_text("utf-8"))
    path = tmp_path / "poems"
    path.mkdir()
    for name, content in contract["files"].items():
        (path / name).write_bytes(bytes.fromhex(content))
    adapter = find_adapter(tmp_path, "poems")
    assert adapter.hash == contract["hash"] == hash_adapter(contract["digests"])
    (path / "README.md").write_text("another card")
    assert adapter.hash == contract["hash"]
    (path / "adapter_model.safetensors").write_bytes(b"trained again!!!")  # as long as it was
    assert adapter.hash != contract["hash"]


def test_an_adapter_of_another_base_is_refused(tmp_path):
    make(tmp_path, "poems", base="microsoft/Phi-2")
    adapter = find_adapter(tmp_path, "poems")
    check_base(adapter, "phi-2", ["microsoft/phi-2", ""])
    with pytest.raises(QeuError, match="trained on microsoft/Phi-2, but llama-3-8b is loaded"):
        check_base(adapter, "llama-3-8b", ["unsloth/llama-3-8b-Instruct"])


def test_a_base_named_by_its_folder_is_the_model_of_that_folder(tmp_path):
    (tmp_path / "model").mkdir()
    make(tmp_path / "adapters", "a", base=str(tmp_path / "x" / ".." / "model"))
    (tmp_path / "x").mkdir()
    adapter = find_adapter(tmp_path / "adapters", "a")
    check_base(adapter, "smollm2-135m", [str(tmp_path / "model")])
    unknown = find_adapter(make(tmp_path / "adapters", "b", base="").parent, "b")
    check_base(unknown, "smollm2-135m", [])
