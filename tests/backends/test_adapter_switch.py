"""Adapters on one base: what is refused leaves all as it was, what changes nothing is told."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.backends.adapter_files import find_adapter
from qeu.backends.base import Piece
from qeu.backends.local import LocalModel
from qeu.core.errors import QeuError
from tests.backends.tiny_engine import GREEDY, TEXTS, build_adapter, generate, tiny_local
from tests.tiny_checkpoints import build_checkpoint

Change = Callable[[dict], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, and the adapters one (q and v), two (o only)."""
    folder = tmp_path_factory.mktemp("switch")
    base = build_checkpoint(folder / "llama", "llama")
    build_adapter(base, folder / "adapters" / "one", seed=1)
    build_adapter(base, folder / "adapters" / "two", seed=2, target_modules=["o_proj"])
    return folder


@pytest.fixture
def adapters(built: Path, tmp_path: Path) -> Path:
    """Copies to break."""
    return Path(shutil.copytree(built / "adapters", tmp_path / "adapters"))


@pytest.fixture(autouse=True)
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)


@pytest.fixture
def model(built: Path, adapters: Path) -> LocalModel:
    return tiny_local(built, adapters=adapters)


def ask(model: LocalModel, *names: str | None):
    return generate(model, TEXTS[:1] * len(names), GREEDY, names)


def ids(model: LocalModel, *names: str | None) -> list[tuple[int, ...]]:
    found = ask(model, *names)
    assert [one.error for one in found] == [""] * len(found)
    return [one.token_ids for one in found]


def lora_layers(model: LocalModel) -> list[str]:
    return [name for name, _ in model._model.named_modules() if "lora_" in name]


def change_weights(path: Path, change: Change) -> None:
    from safetensors.torch import load_file, save_file

    file = path / "adapter_model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def change_config(path: Path, **values: object) -> None:
    file = path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values))


def rename_layer(weights: dict) -> None:
    key = next(key for key in weights if "layers.1.self_attn.v_proj" in key)
    weights[key.replace("layers.1", "layers.7")] = weights.pop(key)


def widen(weights: dict) -> None:
    for key in [key for key in weights if "v_proj.lora_B" in key]:
        weights[key] = weights[key].repeat(2, 1)


def drop_half(weights: dict) -> None:
    del weights[next(key for key in weights if "q_proj.lora_B" in key)]


def change_rank(weights: dict) -> None:
    for key in weights:
        weights[key] = weights[key][:2] if "lora_A" in key else weights[key][:, :2]
    for key in weights:
        weights[key] = weights[key].contiguous()


def put_nan(weights: dict) -> None:
    weights[next(key for key in weights if "lora_B" in key)][0, 0] = float("nan")


def put_infinity(weights: dict) -> None:
    weights[next(key for key in weights if "lora_A" in key)][0, 0] = float("inf")


REFUSED = {
    "layers.7.self_attn.v_proj, which is not there": rename_layer,
    r"v_proj gives 32 numbers, the adapter's 64": widen,
    "only lora_A is in the file": drop_half,
    "has rank 2, adapter_config.json says 4": change_rank,
    "numbers that are none .NaN or infinity, in base_model": put_nan,
    "Take an earlier checkpoint": put_infinity,
}


@pytest.mark.parametrize(("said", "change"), REFUSED.items(), ids=list(REFUSED))
def test_a_file_that_does_not_fit_is_refused_before_anything_is_changed(
    model, adapters, said, change
):
    untouched = ids(model, None)
    change_weights(adapters / "one", change)
    adapter = find_adapter(adapters, "one")
    with pytest.raises(QeuError, match=said):
        model._switch.load(adapter)
    assert lora_layers(model) == []
    # beside another one that is loaded the same, and that one goes on
    other = ids(model, "two")
    layers = lora_layers(model)
    found = ask(model, "one", "two", None)
    assert [one.finish_reason for one in found] == ["error", "length", "length"]
    assert lora_layers(model) == layers
    assert model.adapters == ("two",)
    assert ids(model, "two", None) == [*other, *untouched]


@pytest.mark.parametrize(
    "values",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "loftq"},
        {"bias": "lora_only"},
        {"layer_replication": [[0, 2], [1, 2]]},
    ],
)
def test_a_kind_that_would_alter_the_base_is_refused(model, adapters, values):
    untouched = ids(model, None)
    change_config(adapters / "one", **values)
    [found] = ask(model, "one")
    assert "would alter the base itself" in found.error
    assert next(iter(values)) in found.error
    assert lora_layers(model) == []
    assert ids(model, None) == untouched


def test_a_layer_that_the_configuration_leaves_out_is_refused(model, adapters):
    change_config(adapters / "one", target_modules=["q_proj"])
    [found] = ask(model, "one")
    assert "v_proj, which adapter_config.json does not name" in found.error


def test_a_load_that_fails_half_way_leaves_the_base_and_the_others(model, monkeypatch):
    from peft import PeftModel

    untouched = ids(model, None)

    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(PeftModel, "load_adapter", fails)
        [found] = ask(model, "one")
        assert "the memory is full" in found.error
        assert lora_layers(model) == []
        assert ids(model, None) == untouched
    expected = ids(model, "one")
    with monkeypatch.context() as patch:
        patch.setattr(PeftModel, "load_adapter", fails)
        found = ask(model, "two", "one", None)
        assert "the memory is full" in found[0].error
        assert [one.token_ids for one in found[1:]] == [*expected, *untouched]
        assert not [name for name in lora_layers(model) if "o_proj" in name and "lora_A." in name]
    assert ids(model, "two", "one", None)[1:] == [*expected, *untouched]


def test_an_adapter_that_stops_in_the_middle_of_the_layers_leaves_none_behind(
    built, adapters, model, monkeypatch
):
    from peft.tuners.lora.layer import LoraLayer

    build_adapter(built / "llama", adapters / "three", seed=3)
    untouched = ids(model, None)
    update, calls = LoraLayer.update_layer, [0]

    def fails_later(*args: object, **kwargs: object) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise RuntimeError("no more")
        update(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(LoraLayer, "update_layer", fails_later)
        assert "no more" in ask(model, "one")[0].error
    assert lora_layers(model) == []
    assert ids(model, None) == untouched
    expected, layers, calls[0] = ids(model, "one"), lora_layers(model), 0
    with monkeypatch.context() as patch:
        patch.setattr(LoraLayer, "update_layer", fails_later)
        assert "no more" in ask(model, "three")[0].error
    assert calls[0] == 3
    assert lora_layers(model) == layers
    assert ids(model, "one", None) == [*expected, *untouched]


def test_an_adapter_that_was_never_trained_runs_and_says_that_it_changes_nothing(model, adapters):
    def zero(weights: dict) -> None:
        for key in weights:
            if "lora_B" in key:
                weights[key].zero_()

    change_weights(adapters / "one", zero)
    idle, base, working = ask(model, "one", None, "two")
    assert idle.token_ids == base.token_ids
    assert [note for note in idle.receipt.notes if "changes nothing" in note]
    for other in (base, working):
        assert not [note for note in other.receipt.notes if "changes nothing" in note]
    # told again when it is in memory already
    assert [note for note in ask(model, "one")[0].receipt.notes if "'one' changes nothing" in note]


def test_an_effect_that_is_lost_in_rounding_changes_nothing_either(model, adapters):
    def shrink(weights: dict) -> None:
        for key in weights:
            weights[key] *= 1e-20

    change_weights(adapters / "one", shrink)
    assert [note for note in ask(model, "one")[0].receipt.notes if "changes nothing" in note]


def test_numbers_that_overflow_in_the_base_are_refused(model, adapters):
    def grow(weights: dict) -> None:
        for key in weights:
            weights[key] *= 1e30

    change_weights(adapters / "one", grow)
    [found] = ask(model, "one")
    assert "makes the model compute numbers that are none" in found.error
    assert model.adapters == ()
    assert lora_layers(model) == []


def test_a_changed_base_is_told_in_the_receipt(built, adapters):
    model = tiny_local(built, adapters=adapters, revision="b" * 64)
    (adapters / "one" / "run.json").write_text(json.dumps({"base_revision": "a" * 64}))
    notes = ask(model, "one")[0].receipt.notes
    assert [note for note in notes if "trained on other files of tiny-llama (aaaaaaaaaaaa)" in note]
    (adapters / "one" / "run.json").write_text(json.dumps({"base_revision": "b" * 64}))
    notes = ask(model, "one")[0].receipt.notes
    assert not [note for note in notes if "trained on other files" in note]


def test_adapters_of_different_layers_do_not_speak_in_each_others_rows(built, adapters, model):
    fresh = {name: ids(tiny_local(built, adapters=adapters), name)[0] for name in ("one", "two")}
    base = ids(model, None)[0]
    assert ids(model, None, "one") == [base, fresh["one"]]
    # "two" adapts layers that nothing was hooked into while "one" was alone
    assert ids(model, None, "one", "two") == [base, fresh["one"], fresh["two"]]
    assert ids(model, "two", None) == [fresh["two"], base]


def test_an_adapter_trained_anew_with_another_rank_replaces_the_one_in_memory(
    built, adapters, model
):
    before = ids(model, "one")
    old = find_adapter(adapters, "one").hash
    build_adapter(built / "llama", adapters / "one", seed=9, r=16)
    [found] = ask(model, "one")
    assert found.error == ""
    assert found.adapter_hash == find_adapter(adapters, "one").hash != old
    assert [found.token_ids] != before
    assert model.adapters == ("one",)
    assert [found.token_ids] == ids(tiny_local(built, adapters=adapters), "one")


def test_training_anew_while_a_generation_runs_changes_the_next_one_only(built, adapters, model):
    expected = ids(model, "one")
    old = find_adapter(adapters, "one").hash
    under_way, trained = threading.Event(), threading.Event()

    def hold(piece: Piece) -> None:
        if piece.new_tokens == 2:
            under_way.set()
            trained.wait(30)

    running: list = []
    thread = threading.Thread(
        target=lambda: running.extend(generate(model, TEXTS[:1], GREEDY, ["one"], emit=hold))
    )
    thread.start()
    assert under_way.wait(30)
    build_adapter(built / "llama", adapters / "one", seed=9, r=16)
    trained.set()
    thread.join(30)
    assert [one.token_ids for one in running] == expected
    assert running[0].adapter_hash == old  # of the weights that spoke, not of those on the disk
    [after] = ask(model, "one")
    assert [after.token_ids] != expected
    assert after.adapter_hash == find_adapter(adapters, "one").hash


@pytest.mark.parametrize("rank", [4, 16])
def test_a_folder_rewritten_while_it_is_read_is_read_again(
    built, adapters, model, monkeypatch, rank
):
    read = model._switch._attach
    times: list[int] = []

    def attach(adapter, config, internal):
        if not times:
            build_adapter(built / "llama", adapters / "one", seed=9, r=rank)
        times.append(1)
        read(adapter, config, internal)

    monkeypatch.setattr(model._switch, "_attach", attach)
    [found] = ask(model, "one")
    assert found.error == ""
    assert len(times) == 2
    assert found.adapter_hash == find_adapter(adapters, "one").hash
    assert [found.token_ids] == ids(tiny_local(built, adapters=adapters), "one")
    assert model.adapters == ("one",)


def test_an_adapter_deleted_meanwhile_fails_in_its_row(model, adapters, monkeypatch):
    find = model._finder.find

    def find_and_delete(name, stop=None):
        found = find(name, stop)
        shutil.rmtree(found.path)
        return found

    monkeypatch.setattr(model._finder, "find", find_and_delete)
    found = ask(model, "one", None)
    assert found[0].finish_reason == "error"
    assert "cannot be read" in found[0].error or "lacks" in found[0].error
    assert found[1].finish_reason == "length"
