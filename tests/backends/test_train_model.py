"""A base that is loaded for training: evaluation spoils no gradient, and what cannot be is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.folders import ResolvedWeights, inspect_local
from qeu.backends.train_model import (
    base_name,
    check_targets,
    load_base,
    lora_config,
    machine_problems,
)
from qeu.core.errors import QeuError
from qeu.core.run_passport import LoraSettings, TrainingSettings
from tests.tiny_checkpoints import build_checkpoint
from tests.tiny_training import LORA, PHI_TARGETS, TRAINING

BF16 = replace(TRAINING, compute_dtype="bfloat16")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ResolvedWeights]:
    root = tmp_path_factory.mktemp("bases")

    def build(arch: str) -> ResolvedWeights:
        path = root / arch
        if not path.exists():
            build_checkpoint(path, arch)  # type: ignore[arg-type]
        return inspect_local(path)

    return build


def gradient(model):
    """The gradient of all trained numbers on a fixed text, as one row."""
    import torch

    ids = torch.arange(1, 97)[None] % 500
    model.train()
    model.zero_grad()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
    )


def evaluate(model) -> None:
    import torch

    model.eval()
    with torch.inference_mode():
        model(input_ids=torch.arange(1, 9)[None])


def similarity(model) -> float:
    """Of the gradients before and after an evaluation."""
    import torch

    before = gradient(model)
    assert bool(before.any())
    evaluate(model)
    return torch.nn.functional.cosine_similarity(before, gradient(model), dim=0).item()


def adapted(model, lora: LoraSettings):
    from peft import get_peft_model

    return get_peft_model(model, lora_config(replace(lora, dropout=0.0)))


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["llama", "phi"])
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_evaluation_leaves_gradients_as_they_were(weights, arch, quantization):
    targets = PHI_TARGETS if arch == "phi" else LORA.target_modules
    lora = replace(
        LORA, quantization=quantization, double_quantization=True, target_modules=targets
    )
    for training in (BF16, TRAINING):
        model = adapted(load_base("tiny", weights(arch), lora, training), lora)
        assert similarity(model) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_without_the_cure_evaluation_spoils_the_gradients(weights, monkeypatch):
    import bitsandbytes
    import torch

    if not getattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: False)():
        pytest.skip("this processor's layout of 4-bit matrices is the plain one")
    lora = replace(LORA, quantization="nf4")
    monkeypatch.setattr("qeu.backends.train_model.keep_trainable", lambda model, dtype: None)
    model = adapted(load_base("tiny", weights("llama"), lora, BF16), lora)
    assert torch.isfinite(gradient(model)).all()
    assert similarity(model) < 0.9


@pytest.mark.slow
def test_a_base_is_frozen_and_held_as_wanted(weights):
    import torch
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    kinds = {"nf4": Linear4bit, "int8": Linear8bitLt, "none": torch.nn.Linear}
    for quantization, kind in kinds.items():
        lora = replace(LORA, quantization=quantization)
        model = load_base("tiny", weights("llama"), lora, BF16)
        assert type(model.model.layers[0].mlp.down_proj) is kind
        assert not any(parameter.requires_grad for parameter in model.parameters())
    layer = load_base("tiny", weights("phi"), replace(LORA, quantization="nf4"), BF16)
    assert layer.model.layers[0].mlp.fc1.compute_dtype is torch.bfloat16


@pytest.mark.slow
def test_layers_that_are_not_there_or_are_the_vocabulary_are_refused(weights):
    model = load_base("tiny", weights("phi"), LORA, TRAINING)
    check_targets(model, replace(LORA, target_modules=PHI_TARGETS), "tiny")
    with pytest.raises(QeuError, match="no layers called o_proj, gate_proj"):
        check_targets(model, replace(LORA, target_modules=("fc1", "o_proj", "gate_proj")), "tiny")
    with pytest.raises(QeuError, match="lm_head writes out the vocabulary"):
        check_targets(model, replace(LORA, target_modules=("fc1", "lm_head")), "tiny")


@pytest.mark.slow
def test_weights_that_are_no_weights_are_told_in_a_sentence(weights, tmp_path):
    path = build_checkpoint(tmp_path / "broken")
    found = inspect_local(path)
    (path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(QeuError, match="tiny could not be loaded for training"):
        load_base("tiny", found, LORA, TRAINING)
    stored = replace(weights("llama"), quantised="int8")
    with pytest.raises(QeuError, match="stored in int8"):
        load_base("tiny", stored, replace(LORA, quantization="nf4"), TRAINING)


def test_what_only_a_gpu_trains_with_is_said_where_there_is_none():
    settings = TrainingSettings(optimizer="paged_adamw_8bit", compute_dtype="float16")
    first, second = machine_problems(LORA, settings, has_gpu=False)
    assert "8-bit states need a GPU" in first
    assert "Choose bfloat16 or float32" in second
    assert machine_problems(LORA, settings, has_gpu=True) == []
    assert machine_problems(LORA, TrainingSettings(), has_gpu=False) == []


def test_an_adapter_names_its_base_and_no_path_of_this_machine(tmp_path: Path):
    assert base_name("microsoft/phi-2", "phi-2") == "microsoft/phi-2"
    assert base_name("", str(tmp_path)) == tmp_path.name
    assert base_name("", "smollm2-135m") == "smollm2-135m"
