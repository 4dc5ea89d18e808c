"""What is loaded: once each, in two variants, refused with numbers, unloaded when idle."""

import subprocess
import sys
import threading
import time
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
    news = []
    needed = shelf.estimate_bytes(str(tiny))
    model = shelf.load(str(tiny), progress=news.append)
    assert needed > model.memory_bytes > 0
    assert shelf.load(str(tiny)) is model
    assert shelf.estimate_bytes(str(tiny)) == 0
    assert {p.step for p in news} == {"load"}
    shares = [p.done / p.total for p in news]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(set(shares)) > 10  # the tensors one by one
    (item,) = shelf.loaded()
    assert (item.model_id, item.dtype, item.device) == (model.name, "bfloat16", "cpu")
    assert (item.adapters, item.busy, item.precision) == ((), False, "bfloat16")
    assert item.idle_since is not None
    assert time.time() - item.idle_since < 60
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


def test_a_precision_is_chosen_for_a_model_or_for_one_load(tmp_path, tiny):
    shelf = make_shelf(tmp_path, device="cpu", dtype="bfloat16")
    assert shelf.placement_of(str(tiny)).precision == "bfloat16"
    chosen = shelf.choose_precision(str(tiny), "4bit")
    assert (chosen.precision, chosen.reason) == ("nf4", "nf4: it was chosen.")
    four_bit = shelf.load(str(tiny))
    assert (four_bit.precision, shelf.load(str(tiny), precision="nf4")) == ("nf4", four_bit)
    assert shelf.load(str(tiny), precision="bfloat16").precision == "bfloat16"
    assert shelf.load(str(tiny), exact=True).precision == "float32"
    assert [m.precision for m in shelf.loaded()] == ["bfloat16", "float32", "nf4"]
    one = generate(four_bit, TEXTS[:1], GREEDY)[0]
    assert (one.error, one.receipt.dtype) == ("", f"nf4/{four_bit.dtype}")
    shelf.unload(str(tiny), precision="nf4")
    assert [m.precision for m in shelf.loaded()] == ["bfloat16", "float32"]
    assert shelf.choose_precision(str(tiny), "auto").precision == "bfloat16"
    shelf.unload(str(tiny))
    assert shelf.loaded() == []
    with pytest.raises(QeuError, match=r"Unknown precision 'nf5'\. Choose one of: auto, nf4"):
        shelf.choose_precision(str(tiny), "nf5")


def test_a_load_is_stopped_between_two_tensors(tmp_path, tiny):
    shelf = make_shelf(tmp_path)
    stop, news = threading.Event(), []

    def watch(progress):
        news.append(progress)
        if progress.done == 3:
            stop.set()

    with pytest.raises(FetchStopped):
        shelf.load(str(tiny), stop=stop, progress=watch)
    assert max(p.done for p in news) == 3
    assert shelf.loaded() == []
    assert shelf.load(str(tiny)).name


def test_what_is_idle_for_too_long_is_unloaded_but_not_what_computes(tmp_path, tiny):
    shelf = make_shelf(tmp_path, idle_minutes=1)
    model = shelf.load(str(tiny))
    assert any(thread.name == "qeu-idle" for thread in threading.enumerate())
    shelf._idle.sweep()
    assert len(shelf.loaded()) == 1
    began, gate = threading.Event(), threading.Event()

    def hold(piece: object) -> None:
        began.set()
        gate.wait(10)

    thread = threading.Thread(target=lambda: generate(model, TEXTS[:1], GREEDY, emit=hold))
    thread.start()
    assert began.wait(10)
    model._used_at -= 61
    assert shelf.loaded()[0].idle_since is None
    shelf._idle.sweep()
    assert len(shelf.loaded()) == 1
    gate.set()
    thread.join(10)
    shelf._idle.sweep()
    assert len(shelf.loaded()) == 1  # it was used just now
    model._used_at -= 61
    shelf._idle.sweep()
    assert shelf.loaded() == []
    shelf._idle.stop()


def test_no_thread_watches_where_models_stay(tmp_path, tiny):
    shelf = make_shelf(tmp_path)
    shelf.load(str(tiny))
    assert shelf._idle._thread is None


def test_memory_counts_the_adapters_that_are_loaded_too(tmp_path, tiny):
    shelf = make_shelf(tmp_path, device="cpu", dtype="float32")
    build_adapter(tiny, tmp_path / "adapters" / "mine", base_name=str(tiny))
    model = shelf.load(str(tiny))
    before = shelf.loaded()[0].memory_bytes
    one = generate(model, TEXTS[:1], GREEDY, ["mine"])[0]
    assert one.error == ""
    # rank 4 on q (64 x 64) and v (32 x 64) of two layers, in float32
    assert shelf.loaded()[0].memory_bytes - before == 2 * 4 * 4 * (64 + 64 + 64 + 32)


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
    words = r"needs 0\.2 GB in .*, and 0\.1 GB is free\. Unload .*tiny \(0\.0"
    with pytest.raises(QeuError, match=words):
        shelf.load(str(other))
    # with nothing that fits in 4 bits either; where that would fit, it is the way out
    free = shelf.estimate(str(other), precision="nf4").total
    assert free < shelf.estimate(str(other), precision="float32").total
    monkeypatch.setattr(shelf_module, "free_memory_bytes", lambda device: free)
    with pytest.raises(QeuError, match=r"in float32, .* Load it in 4 bits: 0\.2 GB\."):
        shelf.load(str(other), precision="float32")
    with pytest.raises(QeuError, match=r"in float32, .* Without the exact setting, in 4 bits"):
        shelf.load(str(other), exact=True)


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
