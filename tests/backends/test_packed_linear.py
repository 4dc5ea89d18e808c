"""Packed layers: equal to torch's own, used where they can be, out of the way elsewhere."""

from pathlib import Path

import pytest
import torch

from qeu.backends import packed_linear
from qeu.backends.local import LocalModel
from qeu.backends.packed_linear import PackedForward, pack_linears, packed_bytes
from tests.backends.tiny_engine import TEXTS, build_adapter, generate, tiny_local

pytestmark = pytest.mark.skipif(
    not packed_linear._can_pack(), reason="this build of torch cannot lay matrices out"
)


def in_bfloat16(folder: Path, arch: str = "llama") -> LocalModel:
    model = tiny_local(folder, arch)
    model._model.to(torch.bfloat16)
    return model


def packed_layers(model: torch.nn.Module) -> int:
    return sum(isinstance(vars(m).get("forward"), PackedForward) for m in model.modules())


@pytest.mark.parametrize("arch", ["llama", "phi"])  # phi's layers have a bias
def test_scores_are_equal_bit_for_bit(tmp_path: Path, arch: str) -> None:
    model = in_bfloat16(tmp_path, arch)._model
    ids = [torch.randint(0, 200, shape) for shape in ((1, 1), (2, 1), (3, 17), (1, 130))]
    with torch.inference_mode():
        before = [model(input_ids=one).logits for one in ids]
        pack_linears(model)
        after = [model(input_ids=one).logits for one in ids]
    assert packed_layers(model) > 10
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_texts_are_the_same_with_and_without_an_adapter(tmp_path: Path) -> None:
    plain, packed = in_bfloat16(tmp_path), in_bfloat16(tmp_path)
    pack_linears(packed._model)
    adapter = build_adapter(tmp_path / "llama", tmp_path / "adapters" / "shift", scale=0.5)
    names = [None, adapter.name, None, adapter.name]
    found = []
    for model in (plain, packed):
        model._adapter_folder = tmp_path / "adapters"
        found.append([g.text for g in generate(model, TEXTS[:4], adapters=names)])
    assert found[0] == found[1]
    assert found[1][0] != found[1][1]


def test_float32_and_large_models_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = tiny_local(tmp_path)._model
    pack_linears(exact)
    assert packed_layers(exact) == packed_bytes(exact) == 0
    large = in_bfloat16(tmp_path)._model
    monkeypatch.setattr(packed_linear, "MOST_BYTES", 1000)
    pack_linears(large)
    assert packed_layers(large) == 0


def test_the_memory_told_counts_the_copies(tmp_path: Path) -> None:
    model = in_bfloat16(tmp_path)._model
    pack_linears(model)
    weights = [m.weight for m in model.modules() if type(m) is torch.nn.Linear]
    assert packed_bytes(model) == sum(w.nbytes for w in weights) > 0
