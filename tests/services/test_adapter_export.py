"""The zip file of an adapter: only what may leave, the same bytes again, whole or not there."""

import json
import zipfile
from pathlib import Path

import pytest

from qeu.backends.adapter_files import AdapterFolder, open_adapter, scan_adapters
from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.services.adapter_export import export_adapter, make_card, portable_files
from tests.backends.test_adapter_files import make

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONTRACT = Path(__file__).parent.parent / "contract" / "run.json"
PRIVATE = ("train.jsonl", "validation.jsonl", "samples.jsonl", "train.log", "status.json", "stop")
SECRET = "a text of somebody"


@pytest.fixture
def poems(tmp_path: Path) -> AdapterFolder:
    """An adapter with all that a run leaves in its folder."""
    path = make(tmp_path / "adapters", "poems", base=HUB_ID)
    run = {"name": "poems", "base": "smollm2-135m", "layout": "bonsai-v2", "target": "both"}
    (path / "run.json").write_text(json.dumps(run))
    (path / "metrics.jsonl").write_text('{"kind":"train","step":1}\n')
    (path / "curves.svg").write_text("<svg/>")
    for name in PRIVATE:
        (path / name).write_text(SECRET)
    make(path, "checkpoint-5", base=HUB_ID)
    return open_adapter(path, "poems")


def names(file: Path) -> list[str]:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_only_what_peft_and_the_program_read_goes_out(poems, tmp_path):
    made = export_adapter(poems, tmp_path / "out" / "poems.zip")
    files = ["adapter_config.json", "adapter_model.safetensors", "README.md", "run.json"]
    expected = [f"poems/{name}" for name in [*files, "metrics.jsonl", "curves.svg"]]
    assert names(Path(made.file)) == expected == list(made.files)
    assert SECRET.encode() not in Path(made.file).read_bytes()
    assert (made.hash, made.bytes) == (poems.hash, Path(made.file).stat().st_size)


def test_the_zip_unpacks_to_the_same_adapter(poems, tmp_path):
    made = export_adapter(poems, tmp_path / "poems.zip")
    with zipfile.ZipFile(made.file) as archive:
        archive.extractall(tmp_path / "elsewhere")
    (found,), broken = scan_adapters(tmp_path / "elsewhere")
    assert (found.name, found.hash, broken) == ("poems", poems.hash, [])
    assert found.run == poems.run


def test_the_same_adapter_gives_the_same_bytes(poems, tmp_path):
    first = Path(export_adapter(poems, tmp_path / "one.zip").file).read_bytes()
    for file in poems.path.iterdir():
        if file.is_file():
            file.write_bytes(file.read_bytes())  # another time of change
    assert Path(export_adapter(poems, tmp_path / "two.zip").file).read_bytes() == first


def test_a_checkpoint_takes_passport_and_curves_of_its_run(poems, tmp_path):
    step = open_adapter(poems.path / "checkpoint-5", "poems/checkpoint-5")
    found = names(Path(export_adapter(step, tmp_path / "step.zip").file))
    assert "poems-checkpoint-5/run.json" in found
    assert "poems-checkpoint-5/metrics.jsonl" in found
    assert "poems-checkpoint-5/curves.svg" in found


def test_no_folder_of_this_machine_goes_out(tmp_path):
    base = "/home/somebody/models/their-base"
    path = make(tmp_path, "own", base=base)
    (path / "run.json").write_text(json.dumps({"base": base}))
    made = export_adapter(open_adapter(path, "own"), tmp_path / "own.zip")
    assert b"/home/somebody" not in Path(made.file).read_bytes()
    assert b"their-base" in Path(made.file).read_bytes()


def test_an_adapter_of_a_typed_path_is_named_by_its_end(tmp_path):
    path = make(tmp_path, "own", base=HUB_ID)
    made = export_adapter(open_adapter(path, str(path)), tmp_path / "own.zip")
    assert all(name.startswith("own/") for name in names(Path(made.file)))


def test_the_own_card_is_kept_and_one_is_made_where_there_is_none(poems):
    made = portable_files(poems)["README.md"].decode()
    assert f"base_model: {HUB_ID}" in made
    assert "smollm2-135m@poems --layout bonsai-v2 --target both" in made
    (poems.path / "README.md").write_text("# Mine\n")
    assert portable_files(poems)["README.md"] == poems.path / "README.md"


def test_a_run_of_ours_gets_its_full_card(poems):
    run = json.loads(CONTRACT.read_text("utf-8")) | {"name": "poems", "dataset": "mine"}
    (poems.path / "run.json").write_text(json.dumps(run))
    # damaged records say less, and stop nothing
    assert "A LoRA adapter of rank 8" in make_card(poems, "", {"MIT": 400})
    record = {"record": Record(instruction=SECRET, language="en").to_json()}
    (poems.path / "train.jsonl").write_text(json.dumps(record) + "\n")
    made = make_card(poems, "", {"MIT": 400})
    assert "400 records of the data set mine" in made
    assert made.count("- MIT: 400 records") == 1
    assert SECRET not in made


def test_the_card_tells_the_licences_of_the_texts(poems):
    card = make_card(poems, "# Mine\n", {"MIT": 1200, "": 3})
    assert "# Mine" in card
    assert "- MIT: 1,200 records\n- not stated: 3 records" in card
    assert card.startswith("---\nlicense: other\n")
    assert make_card(poems, "", {"MIT": 5}).startswith("---\nlicense: mit\n")
    assert "not known" in make_card(poems, "", {})


def test_what_fails_leaves_no_file(poems, tmp_path):
    with pytest.raises(QeuError, match=r"Let it end with \.zip"):
        export_adapter(poems, tmp_path / "poems.tar")
    (tmp_path / "file").write_text("")
    with pytest.raises(QeuError, match="could not be written"):
        export_adapter(poems, tmp_path / "file" / "poems.zip")
    out = tmp_path / "out"
    out.mkdir()
    (poems.path / "adapter_model.safetensors").unlink()
    with pytest.raises(QeuError, match="Was it deleted"):
        export_adapter(poems, out / "poems.zip")
    assert list(out.iterdir()) == []


def test_an_adapter_that_is_written_meanwhile_is_not_exported_half(poems, tmp_path, monkeypatch):
    from qeu.services import adapter_export

    write, count = adapter_export._write_zip, 0

    def retrained(*args):
        nonlocal count
        count += 1
        found = write(*args)
        (poems.path / "adapter_config.json").write_text(json.dumps({"r": count + 10}))
        return found

    monkeypatch.setattr(adapter_export, "_write_zip", retrained)
    with pytest.raises(QeuError, match="is being written at this moment"):
        export_adapter(poems, tmp_path / "poems.zip")
    assert not list(tmp_path.glob("*.zip"))
