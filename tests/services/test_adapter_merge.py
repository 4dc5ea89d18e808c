"""Merging: a folder that is a model at once, equal to base and adapter; refusals with numbers."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from qeu.backends.adapter_files import AdapterFolder, open_adapter
from qeu.backends.child import FetchStopped
from qeu.backends.folders import inspect_local
from qeu.backends.local import LocalModel
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.services.adapter_merge import merge_adapter
from tests.backends.test_adapter_files import make
from tests.backends.tiny_engine import GREEDY, TEXTS, build_adapter, generate
from tests.tiny_checkpoints import build_checkpoint

PLENTY = 10**12


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint in float32, and the adapter `one` that was trained on its folder."""
    folder = tmp_path_factory.mktemp("merge")
    base = build_checkpoint(folder / "base", "llama")
    path = build_adapter(base, folder / "adapters" / "one", 1, str(base), scale=0.2)
    run = {"base": str(base), "layout": "bonsai-v2", "target": "both"}
    (path / "run.json").write_text(json.dumps(run))
    return folder


@pytest.fixture
def one(built: Path) -> AdapterFolder:
    return open_adapter(built / "adapters" / "one", "one")


def rounded(folder: Path, target: Path, dtype: str) -> Path:
    """The checkpoint again, saved in 16 bits."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(folder, target)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.save_pretrained(target)
    return target


@pytest.mark.slow
def test_the_merged_folder_is_a_model_that_writes_what_base_and_adapter_write(
    built, one, tmp_path, monkeypatch
):
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)
    steps = []
    target = tmp_path / "new" / "merged"
    made = merge_adapter(one, target, tmp_path, progress=lambda p: steps.append(p.step))
    assert (made.path, made.dtype, made.adapter_hash) == (str(target), "float32", one.hash)
    assert (made.layout, made.target) == ("bonsai-v2", "both")
    assert list(dict.fromkeys(steps)) == ["read", "merge", "save"]
    assert [p.name for p in target.parent.iterdir()] == ["merged"]  # nothing is left beside it
    assert inspect_local(target).bytes == inspect_local(built / "base").bytes
    assert "adapter" in (target / "README.md").read_text("utf-8")
    shelf = Shelf(Settings(adapters=built / "adapters", device="cpu"))
    base = shelf.load(str(built / "base"), exact=True)
    merged = shelf.load(str(target), exact=True)
    assert isinstance(merged, LocalModel)
    with_adapter = generate(base, TEXTS[:4], GREEDY, ["one"] * 4, exact=True)
    alone = generate(merged, TEXTS[:4], GREEDY, exact=True)
    plain = generate(base, TEXTS[:4], GREEDY, exact=True)
    assert [g.token_ids for g in alone] == [g.token_ids for g in with_adapter]
    assert [g.token_ids for g in alone] != [g.token_ids for g in plain]


@pytest.mark.slow
def test_a_16_bit_base_stays_one(built, tmp_path):
    base = rounded(built / "base", tmp_path / "half", "bfloat16")
    path = build_adapter(base, tmp_path / "adapters" / "one", 1, str(base), scale=0.2)
    made = merge_adapter(open_adapter(path, "one"), tmp_path / "merged", tmp_path)
    assert made.dtype == "bfloat16"
    assert inspect_local(tmp_path / "merged").dtype == "BF16"


@pytest.mark.slow
def test_a_merge_that_would_lose_its_adapter_is_refused(built, tmp_path):
    """An adapter on the output matrix of a base that shares it with its embedding."""
    from transformers import AutoModelForCausalLM

    base = shutil.copytree(built / "base", tmp_path / "tied")
    model = AutoModelForCausalLM.from_pretrained(base, tie_word_embeddings=True)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(base)
    path = build_adapter(
        base, tmp_path / "adapters" / "head", 1, str(base), target_modules=["lm_head"]
    )
    with pytest.raises(QeuError, match="does not do what it does beside it"):
        merge_adapter(open_adapter(path, "head"), tmp_path / "merged", tmp_path)
    assert not (tmp_path / "merged").exists()


def test_a_stop_ends_the_child_and_leaves_nothing(one, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(FetchStopped):
        merge_adapter(one, tmp_path / "out" / "merged", tmp_path, stop=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_too_little_memory_is_told_in_numbers(one, tmp_path):
    said = r"needs 0\.9 GB of memory in float32, and 0\.5 GB is free"
    with pytest.raises(QeuError, match=said):
        merge_adapter(one, tmp_path / "merged", tmp_path, free_bytes=lambda: 500_000_000)


def test_a_full_disk_is_told_in_numbers(one, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(QeuError, match=r"has 0\.0 GB free, and the merged model needs 0\.1 GB"):
        merge_adapter(one, tmp_path / "merged", tmp_path, free_bytes=lambda: PLENTY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_and_one_with_an_at_are_refused(one, tmp_path):
    with pytest.raises(QeuError, match="is there already"):
        merge_adapter(one, tmp_path, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(QeuError, match="could not be written to"):
        merge_adapter(one, tmp_path / "file" / "merged", tmp_path)
    with pytest.raises(QeuError, match="holds an @"):
        merge_adapter(one, tmp_path / "base@one", tmp_path)


def test_a_base_that_is_unknown_hosted_or_another_is_refused(built, tmp_path):
    foreign = open_adapter(make(tmp_path, "foreign", base="/somebody/their-base"), "foreign")
    with pytest.raises(QeuError, match=r"does not tell a base.*Name it with --base"):
        merge_adapter(foreign, tmp_path / "merged", tmp_path)
    with pytest.raises(QeuError, match="runs on a server"):
        merge_adapter(foreign, tmp_path / "merged", tmp_path, base="groq/llama")
    with pytest.raises(QeuError, match="was trained on /somebody/their-base, but"):
        merge_adapter(foreign, tmp_path / "merged", tmp_path, base=str(built / "base"))


def test_a_base_in_4_bits_is_never_merged_into(built, tmp_path):
    base = shutil.copytree(built / "base", tmp_path / "packed")
    file = base / "config.json"
    packed = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "quant_method": "bitsandbytes"}
    told = json.loads(file.read_text("utf-8")) | {"quantization_config": packed}
    file.write_text(json.dumps(told))
    path = make(tmp_path / "adapters", "one", base=str(base))
    with pytest.raises(QeuError, match=r"holds its weights as nf4.*16 or 32 bits only"):
        merge_adapter(open_adapter(path, "one"), tmp_path / "merged", tmp_path)
