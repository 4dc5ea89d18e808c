"""Literal examples that several layers share, held where the layers meet."""

import json
from pathlib import Path

from qeu.backends.adapter_files import AdapterFolder

CONTRACT = Path(__file__).parent / "contract"


def test_an_adapter_folder_on_disk_has_the_hash_of_the_literal(tmp_path):
    literal = json.loads((CONTRACT / "adapter_hash.json").read_text(encoding="utf-8"))
    for name in ("poems", "renamed"):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in literal["files"].items():
            (folder / file).write_bytes(bytes.fromhex(content))
    # opened without a look into the weights: the literal's are no real ones
    adapters = [AdapterFolder(name, tmp_path / name, "", 2) for name in ("poems", "renamed")]
    assert {adapter.hash for adapter in adapters} == {literal["hash"]}
    (tmp_path / "poems" / "README.md").write_text("another card")
    (tmp_path / "poems" / "run.json").unlink()
    assert adapters[0].hash == literal["hash"]
    (tmp_path / "poems" / "adapter_model.safetensors").write_bytes(b"other weights")
    assert adapters[0].hash != literal["hash"]


def test_every_literal_is_valid_json_that_somebody_holds_the_code_to():
    tests = "".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")
    )
    names = [path.name for path in sorted(CONTRACT.glob("*.json"))]
    assert {"request.json", "receipt.json", "events.json", "run.json"} <= set(names)
    for name in names:
        assert json.loads((CONTRACT / name).read_text(encoding="utf-8"))
        assert f'"{name}"' in tests, f"no test reads {name}"
