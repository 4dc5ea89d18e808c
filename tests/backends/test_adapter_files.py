"""Adapter folders on disk: what is listed, what is refused, and what their hash means."""

import json
import struct
from pathlib import Path

import pytest

from qeu.backends.adapter_base import check_base, fitting_models, revision_warning
from qeu.backends.adapter_files import AdapterFolder, find_adapter, list_adapters, scan_adapters
from qeu.core.errors import QeuError
from qeu.core.request import hash_adapter

CONTRACT = Path(__file__).parent.parent / "contract" / "adapter_hash.json"


def tensors(**shapes: tuple[int, ...]) -> bytes:
    """A safetensors file of float32 zeros with these names and shapes."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for number in shape:
            size *= number
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def make(
    folder: Path, name: str, base: str = "phi-2", weights: bytes = b"", **config: object
) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    told = {"base_model_name_or_path": base, "r": 8, "peft_type": "LORA", **config}
    (path / "adapter_config.json").write_text(json.dumps(told))
    (path / "adapter_model.safetensors").write_bytes(weights or tensors(a=(2, 3)))
    return path


def test_runs_are_listed_each_before_its_checkpoints(tmp_path):
    make(tmp_path, "poems.v2", target_modules=["v_proj", "q_proj"])
    make(tmp_path, "logic/checkpoint-200")
    make(tmp_path, "logic/checkpoint-30")
    make(tmp_path, "poems.v2/checkpoint-5")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text("{}")
    found, broken = scan_adapters(tmp_path)
    names = ["logic/checkpoint-30", "logic/checkpoint-200", "poems.v2", "poems.v2/checkpoint-5"]
    assert [a.name for a in found] == names
    assert broken == []
    poems = found[2]
    assert (poems.base, poems.rank) == ("phi-2", 8)
    assert poems.target_modules == ("q_proj", "v_proj")
    assert poems.bytes == (poems.path / "adapter_model.safetensors").stat().st_size
    assert list_adapters(tmp_path / "nowhere") == []


def test_what_cannot_be_loaded_is_told_with_the_reason(tmp_path):
    make(tmp_path, "good")
    (make(tmp_path, "config") / "adapter_config.json").write_text("not json")
    make(tmp_path, "cut", weights=tensors(a=(2, 3))[:-4])
    (make(tmp_path, "lacks") / "adapter_model.safetensors").unlink()
    make(tmp_path, "prompt", peft_type="PROMPT_TUNING")
    old = make(tmp_path, "run/checkpoint-1")
    (old / "adapter_model.safetensors").rename(old / "adapter_model.bin")
    found, broken = scan_adapters(tmp_path)
    assert [a.name for a in found] == ["good"]
    reasons = {one.name: one.reason for one in broken}
    assert set(reasons) == {"config", "cut", "lacks", "prompt", "run/checkpoint-1"}
    assert "adapter_config.json cannot be read" in reasons["config"]
    assert "cut" in reasons["cut"]
    assert "bytes and has" in reasons["cut"]
    assert "lacks adapter_model.safetensors" in reasons["lacks"]
    assert "of kind PROMPT_TUNING, and only LoRA" in reasons["prompt"]
    assert "a pickle that could run code" in reasons["run/checkpoint-1"]


def test_what_run_json_tells_holds_for_checkpoints_too(tmp_path):
    run = json.loads((CONTRACT.parent / "run.json").read_text("utf-8"))
    path = make(tmp_path, "poems")
    make(tmp_path, "poems/checkpoint-5")
    (path / "run.json").write_text(json.dumps(run))
    for name in ("poems", "poems/checkpoint-5"):
        told = find_adapter(tmp_path, name).run
        assert (told.layout, told.target, told.base) == ("bonsai-v2", "reasoning", "smollm2-135m")
        assert told.base_revision == run["base_revision"]
        assert told.created == run["created"]
    (path / "run.json").write_text(json.dumps({"layout": "alpaca", "target": 3, "more": []}))
    told = find_adapter(tmp_path, "poems").run
    assert (told.layout, told.target) == ("", "")
    for text in ("[]", "{", "\ud800"):
        (path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        assert find_adapter(tmp_path, "poems").run is None


def test_an_adapter_is_found_by_its_name_or_its_checkpoints(tmp_path):
    path = make(tmp_path, "poems")
    make(tmp_path, "poems/checkpoint-5")
    assert find_adapter(tmp_path, "poems").path == path
    assert find_adapter(tmp_path, "poems/checkpoint-5").path == path / "checkpoint-5"


@pytest.mark.parametrize(
    "name",
    ["", ".", "verse", "../poems", "poems/../poems", "/etc", "..\\poems", "a" * 5_000, "po\0ems"],
)
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
    adapter = AdapterFolder("poems", path, "", 2)
    assert adapter.hash == contract["hash"] == hash_adapter(contract["digests"])
    (path / "README.md").write_text("another card")
    assert adapter.hash == contract["hash"]
    weights = path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[::-1])  # as long as it was
    assert adapter.hash != contract["hash"]


def test_an_adapter_of_another_base_is_refused(tmp_path):
    make(tmp_path, "poems", base="microsoft/Phi-2")
    adapter = find_adapter(tmp_path, "poems")
    check_base(adapter, "phi-2", ["microsoft/phi-2", ""])
    said = r"trained on microsoft/Phi-2, but llama-3-8b is loaded\. Choose phi-2 for it"
    with pytest.raises(QeuError, match=said):
        check_base(adapter, "llama-3-8b", ["unsloth/llama-3-8b-Instruct"])
    make(tmp_path, "else", base="someone/else-7b")
    with pytest.raises(QeuError, match=r"Choose someone/else-7b for it"):
        check_base(find_adapter(tmp_path, "else"), "phi-2", ["microsoft/phi-2"])


def test_mirrors_and_cache_folders_of_the_same_weights_are_one_base(tmp_path):
    names = {
        "a": "unsloth/llama-3-8b-Instruct-bnb-4bit",
        "b": "/home/x/.cache/huggingface/hub/models--unsloth--llama-3-8b-Instruct/snapshots/0f1e",
        "c": "meta-llama/Meta-Llama-3-8B-Instruct",
        "d": r"C:\hub\models--meta-llama--Meta-Llama-3-8B-Instruct\snapshots\0f1e",
    }
    for name, base in names.items():
        make(tmp_path, name, base=base)
        adapter = find_adapter(tmp_path, name)
        check_base(adapter, "llama-3-8b", ["unsloth/llama-3-8b-Instruct"])
        assert fitting_models(adapter) == ("llama-3-8b", "llama-3-8b-4bit", "llama-3-8b-meta")
        with pytest.raises(QeuError, match="is loaded"):
            check_base(adapter, "phi-2", ["microsoft/phi-2"])


def test_the_base_of_run_json_counts_where_the_configuration_names_a_foreign_path(tmp_path):
    path = make(tmp_path, "poems", base="/content/drive/base")
    with pytest.raises(QeuError, match="trained on /content/drive/base"):
        check_base(find_adapter(tmp_path, "poems"), "smollm2-135m", [])
    (path / "run.json").write_text(json.dumps({"base": "smollm2-135m"}))
    check_base(find_adapter(tmp_path, "poems"), "smollm2-135m", [])


def test_a_base_that_changed_since_the_training_is_told(tmp_path):
    path = make(tmp_path, "poems")

    def warning(trained: str, here: str) -> str:
        (path / "run.json").write_text(json.dumps({"base_revision": trained}))
        return revision_warning(find_adapter(tmp_path, "poems"), "phi-2", here)

    one, other, commit = "a" * 64, "b" * 64, "c" * 40
    assert "trained on other files of phi-2 (aaaaaaaaaaaa) than those here (bbbb" in warning(
        one, other
    )
    assert warning(commit, "d" * 40)
    # a commit and a hash of files tell nothing of each other
    for pair in ((one, one), (one, commit), (commit, one), ("", one), (one, "")):
        assert warning(*pair) == ""


def test_a_base_named_by_its_folder_is_the_model_of_that_folder(tmp_path):
    (tmp_path / "model").mkdir()
    make(tmp_path / "adapters", "a", base=str(tmp_path / "x" / ".." / "model"))
    (tmp_path / "x").mkdir()
    adapter = find_adapter(tmp_path / "adapters", "a")
    check_base(adapter, "smollm2-135m", [str(tmp_path / "model")])
    unknown = find_adapter(make(tmp_path / "adapters", "b", base="").parent, "b")
    check_base(unknown, "smollm2-135m", [])
