"""Memory before loading: against what tiny models really take, and as a table."""

from pathlib import Path

import pytest

from qeu.backends.catalog import find_model, list_models
from qeu.backends.folders import inspect_local
from qeu.backends.memory import memory_of
from qeu.backends.memory_estimate import (
    PACKED_BELOW,
    estimate,
    estimate_training,
    memory_table,
    weights_bytes,
)
from qeu.backends.model_shape import ModelShape, known_shape, shape_of_config
from qeu.backends.precision import Placement
from tests.backends.tiny_engine import GREEDY, TEXTS, generate
from tests.tiny_checkpoints import build_checkpoint


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("estimate")
    return {arch: build_checkpoint(root / arch, arch) for arch in ("phi", "llama")}  # type: ignore[arg-type]


@pytest.mark.parametrize("arch", ["phi", "llama"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "nf4", "int8"])
@pytest.mark.parametrize("used", [False, True])
def test_the_estimate_is_within_a_tenth_of_what_is_taken(folders, arch, precision, used):
    from qeu.backends.local import LocalModel
    from qeu.backends.packed_linear import _can_pack
    from qeu.backends.torch_loading import load_weights

    weights = inspect_local(folders[arch])
    dtype = "bfloat16" if precision in ("nf4", "int8") else precision
    # on a GPU, and on a processor without the kernel, nothing is kept a second time
    packs = "cpu" if _can_pack() else "cuda"
    expected = estimate(weights, precision, dtype=dtype, device=packs)
    model, tokenizer = load_weights("tiny", weights, Placement("cpu", dtype, precision))
    if used:  # the first product may lay matrices out anew
        generate(LocalModel("tiny", model, tokenizer), TEXTS[:1], GREEDY)
    taken = memory_of(model)
    # as loaded to the hundredth; the processor's own layout of 4 bits takes a little less
    assert abs(expected.weights - taken) < (0.1 if used else 0.01) * taken
    assert expected.total == expected.weights + expected.cache + expected.overhead


@pytest.mark.parametrize("arch", ["phi", "llama"])
def test_headers_and_configuration_give_the_same_shape(folders, arch):
    import json

    weights = inspect_local(folders[arch])
    config = json.loads((folders[arch] / "config.json").read_text("utf-8"))
    by_config = shape_of_config(config)
    assert weights.shape is not None
    assert by_config is not None
    assert sorted(weights.shape.matrices) == sorted(by_config.matrices)
    for name in ("other", "head", "cached", "context", "layers", "hidden", "vocabulary"):
        assert getattr(weights.shape, name) == getattr(by_config, name), name
    assert weights.parameters == by_config.parameters


def test_the_cache_is_what_the_engine_counts(folders):
    from transformers import AutoConfig

    from qeu.backends.kv_cache import bytes_per_token

    for folder in folders.values():
        shape = inspect_local(folder).shape
        assert shape is not None
        assert 2 * shape.cached == bytes_per_token(AutoConfig.from_pretrained(folder), 2)


def test_known_shapes_have_the_catalogues_parameters():
    counted = 0
    for card in list_models():
        shape = known_shape(card.hub_repo)
        assert shape is not None, card.id
        assert (shape.parameters, shape.context) == (card.parameters, card.context)
        counted += 1
    assert counted >= 5


def test_the_published_4_bit_weights_are_met_within_a_thousandth():
    published = find_model("llama-3-8b-4bit").memory_bytes
    computed = find_model("llama-3-8b").needs_bytes
    assert abs(published - computed) < published / 1_000
    assert estimate(find_model("llama-3-8b-4bit"), "bfloat16").weights == published


def test_an_unknown_repository_is_estimated_by_its_count_alone():
    from dataclasses import replace

    card = replace(find_model("phi-2"), hub_repo="somebody/else")
    true = estimate(find_model("phi-2"), "nf4")
    rough = estimate(card, "nf4")
    assert abs(rough.weights - true.weights) < 0.1 * true.weights
    assert estimate(card, "bfloat16").weights == card.memory_bytes
    assert estimate(replace(card, parameters=0, memory_bytes=0), "nf4").weights == 0


def test_the_limit_of_packing_is_the_packers():
    from qeu.backends.packed_linear import MOST_BYTES

    assert MOST_BYTES == PACKED_BELOW


def test_the_table_says_what_fits_in_16_gb():
    rows = {(row.what, row.precision): row for row in memory_table()}
    assert rows["Phi-2", "bfloat16"].fits
    assert rows["Llama-3 8B", "nf4"].fits
    assert not rows["Llama-3 8B", "bfloat16"].fits
    assert rows["Phi-2 + Llama-3 8B", "nf4"].fits
    for what in ("Phi-2, QLoRA", "Llama-3 8B, QLoRA"):
        assert rows[what, "nf4"].fits
    both = rows["Phi-2 + Llama-3 8B", "nf4"].estimate
    apart = [rows[what, "nf4"].estimate for what in ("Phi-2", "Llama-3 8B")]
    assert both.weights == sum(one.weights for one in apart)
    assert max(one.total for one in apart) < both.total < sum(one.total for one in apart)


def test_training_grows_with_rank_and_length():
    shape = known_shape("microsoft/phi-2")
    assert isinstance(shape, ModelShape)
    one = estimate_training(shape)
    # LoRA of rank 16 on all linear layers of Phi-2 is 23.6 million numbers
    assert one.weights - weights_bytes(shape, "nf4") == 10 * 16 * 32 * (4 * 5_120 + 2 * 12_800)
    assert estimate_training(shape, rank=32).weights > one.weights
    assert estimate_training(shape, tokens=2_048).cache > 1.5 * one.cache
