"""Presets: each can be meant as it stands, and says where its numbers come from."""

import re
from dataclasses import replace

import pytest

from qeu.core.errors import QeuError
from qeu.core.train_presets import PRESETS, find_preset, presets_for


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_preset_can_be_meant(preset):
    # the names of a base's layers are filled in when it is known
    lora = replace(preset.lora, target_modules=preset.lora.target_modules or ("q_proj",))
    assert lora.problems() + preset.training.problems() + preset.watch.problems() == []
    assert 0 <= preset.epochs <= 10
    assert re.match(r"(https://|benchmarks/)\S+$", preset.url)
    assert preset.source.endswith(".")
    assert find_preset(preset.id) is preset


def test_there_is_one_for_each_model_and_card():
    assert [p.id for p in presets_for("smollm2-135m")] == [
        "smollm2-135m-demo", "smollm2-135m-shipped",
    ]  # fmt: skip
    for base in ("phi-2", "llama-3-8b"):
        small, large = presets_for(base)
        assert (small.training.compute_dtype, large.training.compute_dtype) == (
            "float16", "bfloat16",
        )  # fmt: skip
        for preset in (small, large):
            assert preset.lora.quantization == "nf4"
            assert preset.training.optimizer == "paged_adamw_8bit"
            assert preset.training.checkpointing
            assert preset.training.batch_size * preset.training.accumulation == 16
            assert "Not run" in preset.source
    assert presets_for("qwen2.5-7b") == ()


def test_an_unknown_preset_is_told():
    with pytest.raises(QeuError, match="phi-2-16gb"):
        find_preset("some")


def test_ids_are_names_once():
    assert len({preset.id for preset in PRESETS}) == len(PRESETS)
