"""What is loaded: once each, in two variants, refused with numbers, unloaded when idle."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qeu.backends import shelf as shelf_module
from qeu.backends.shelf import Shelf
from qeu.backends.weights import FetchStopped
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from tests.backends.tiny_engine import GREEDY, TEXTS, build_adapter, generate
from tests.tiny_checkpoints import build_checkpoint, build_hub_cache


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("shelf") / "tiny", "llama")


def make_shelf(tmp_path: Path, **settings) -> Shelf:
    return Shelf(Settings(cache=tmp_path, adapters=tmp_path / "adapters", **settings))


def test_importing_loads_neither_torch_nor_transformers():
    modules = "qeu.backends.shelf, qeu.backends.adapter_files, qeu.backends.compute_queue"
    heavy = ("torch", "transformers", "peft", "psutil", "gradio")
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_folder_is_loaded_listed_and_unloaded(tmp_path, tiny):
    shelf = make_shelf(tmp_path, device="cpu", dtype="bfloat16")
    steps = []
    needed = shelf.estimate_bytes(str(tiny))
    model = shelf.load(str(tiny), progress=lambda p: steps.append(p.step))
    assert needed > model.memory_bytes > 0
    assert shelf.load(str(tiny)) is model
    assert shelf.estimate_bytes(str(tiny)) == 0
    assert steps == ["load", "load"]
    (item,) = shelf.loaded()
    assert (item.model_id, item.dtype, item.device) == (model.name, "bfloat16", "cpu")
    assert (item.adapters, item.busy) == ((), False)
    shelf.unload(str(tiny))
    assert shelf.loaded() == []
    with pytest.raises(QeuError, match="unloaded meanwhile"):
        generate(model, TEXTS[:1])
    shelf.unload(str(tiny))


def test_exact_is_a_variant_of_its_own_in_float32(tmp_path, tiny):
    shelf = make_shelf(tmp_path, device="cpu", dtype="bfloat16")
    plain, exact = shelf.load(str(tiny)), shelf.load(str(tiny), exact=True)
    assert (plain.dtype, exact.dtype) == ("bfloat16", "float32")
    assert [m.dtype for m in shelf.loaded()] == ["bfloat16", "float32"]
    shelf.unload(str(tiny), exact=True)
    assert [m.dtype for m in shelf.loaded()] == ["bfloat16"]


def test_where_plain_is_float32_too_one_copy_serves_both(tmp_path, tiny):
    shelf = make_shelf(tmp_path, device="cpu", dtype="float32")
    assert shelf.load(str(tiny)) is shelf.load(str(tiny), exact=True)
    assert len(shelf.loaded()) == 1
    shelf.unload(str(tiny), exact=True)
    assert shelf.loaded() == []


def test_whoever_asks_meanwhile_waits_for_the_same_load(tmp_path, tiny, monkeypatch):
    from qeu.backends import torch_loading

    shelf = make_shelf(tmp_path)
    began, gate, loads = threading.Event(), threading.Event(), []
    load = torch_loading.load_weights

    def slow(*args):
        loads.append(args[0])
        began.set()
        gate.wait(10)
        return load(*args)

    monkeypatch.setattr(torch_loading, "load_weights", slow)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf.load(str(tiny)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    stop, steps = threading.Event(), []
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(FetchStopped):
        shelf.load(str(tiny), stop=stop, progress=lambda p: steps.append(p.step))
    assert steps == ["wait"]
    gate.set()
    for thread in threads:
        thread.join(20)
    assert len(loads) == 1
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


def test_a_failed_load_is_tried_again(tmp_path, tiny, monkeypatch):
    from qeu.backends import torch_loading

    shelf = make_shelf(tmp_path)
    load = torch_loading.load_weights

    def fails(*args):
        raise QeuError("the disk is gone")

    monkeypatch.setattr(torch_loading, "load_weights", fails)
    with pytest.raises(QeuError, match="the disk is gone"):
        shelf.load(str(tiny))
    monkeypatch.setattr(torch_loading, "load_weights", load)
    assert shelf.load(str(tiny)).name


def test_what_does_not_fit_is_refused_with_numbers_and_a_way_out(tmp_path, tiny, monkeypatch):
    shelf = make_shelf(tmp_path)
    shelf.load(str(tiny))
    other = build_checkpoint(tmp_path / "other", "phi")
    monkeypatch.setattr(shelf_module, "free_memory_bytes", lambda device: 100_000_000)
    with pytest.raises(
        QeuError, match=r"needs 0\.2 GB, and 0\.1 GB is free\. Unload .*tiny \(0\.0"
    ):
        shelf.load(str(other))


def test_a_model_that_computes_is_not_unloaded(tmp_path, tiny, monkeypatch):
    shelf = make_shelf(tmp_path)
    model = shelf.load(str(tiny))
    began, gate = threading.Event(), threading.Event()

    def hold(piece: object) -> None:
        began.set()
        gate.wait(10)

    thread = threading.Thread(target=lambda: generate(model, TEXTS[:1], GREEDY, emit=hold))
    thread.start()
    assert began.wait(10)
    assert shelf.loaded()[0].busy
    with pytest.raises(QeuError, match=r"is computing\. Stop its runs"):
        shelf.unload(str(tiny))
    threading.Timer(0.05, gate.set).start()
    shelf.unload(str(tiny), wait_s=10)
    thread.join(10)
    assert shelf.loaded() == []


def test_a_hub_id_in_the_cache_loads_offline_with_its_commit(tmp_path, monkeypatch):
    snapshot = build_hub_cache(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(shelf_module, "has_gpu", lambda: False)
    monkeypatch.setattr(Shelf, "_check_room", lambda *_: None)  # the table says 5.6 GB
    shelf = make_shelf(tmp_path, device="cpu")
    build_adapter(snapshot, tmp_path / "adapters" / "mine", base_name="microsoft/phi-2")
    model = shelf.load("phi-2")
    assert (model.name, model.revision) == ("phi-2", snapshot.name)
    one = generate(model, TEXTS[:1], GREEDY, ["mine"])[0]
    assert (one.error, one.revision) == ("", snapshot.name)
    assert shelf.loaded()[0].adapters == ("mine",)


def test_local_weights_have_a_revision_that_training_changes(tmp_path):
    from qeu.backends.folders import inspect_local
    from qeu.backends.torch_loading import fingerprint

    folders = [build_checkpoint(tmp_path / str(at), "llama", seed=at // 2) for at in range(3)]
    same, again, other = (fingerprint(inspect_local(folder)) for folder in folders)
    assert same == again != other
    assert len(same) == 64


def test_hosted_and_unknown_models_are_refused(tmp_path):
    shelf = make_shelf(tmp_path, public=True)
    with pytest.raises(QeuError, match="runs on a server"):
        shelf.load("groq/llama-3.1-8b-instant")
    with pytest.raises(QeuError):
        shelf.load(str(tmp_path))


def test_free_memory_respects_a_containers_limit(tmp_path):
    from qeu.backends.memory import _container_limit, free_memory_bytes

    assert free_memory_bytes("cpu") > 0
    assert _container_limit(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert _container_limit(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert _container_limit(tmp_path) is None
