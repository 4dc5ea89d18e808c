"""Phi-2 and Llama-3 by their real repository ids: tiny random weights, the very code a user runs.

The checkpoints lie in a Hub cache folder, so that everything resolves offline.
"""

from pathlib import Path

import pytest

from qeu.backends.base import Piece
from qeu.backends.local import LocalModel
from qeu.backends.precision import Machine
from qeu.backends.shelf import Shelf
from qeu.core.settings import Settings
from tests.backends.tiny_engine import GREEDY, TEXTS, build_adapter, generate, tagged
from tests.tiny_checkpoints import build_hub_cache

REPOS = {"phi-2": "microsoft/phi-2", "llama-3-8b": "unsloth/llama-3-8b-Instruct"}
ARCHS = {"phi-2": "phi", "llama-3-8b": "llama"}
TARGETS = {
    "phi-2": ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    "llama-3-8b": [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ],
}  # fmt: skip
MODELS = tuple(REPOS)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hub cache with both repositories."""
    root = tmp_path_factory.mktemp("hub")
    for model, repo in REPOS.items():
        build_hub_cache(root, repo, ARCHS[model])  # type: ignore[arg-type]
    return root


@pytest.fixture
def shelf(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return Shelf(Settings(cache=tmp_path, adapters=tmp_path / "adapters", device="cpu"))


def reference(hub: Path, model: LocalModel, repo: str, text: str) -> list[int]:
    """New tokens of transformers' own load of the same repository and its own `generate`."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = getattr(torch, model.dtype)
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    theirs = AutoModelForCausalLM.from_pretrained(
        repo,
        cache_dir=hub,
        local_files_only=True,
        dtype=dtype,
        quantization_config=quantised if model.precision == "nf4" else None,
    ).eval()
    ids = torch.tensor([model.prepare(tagged(text)).token_ids])
    out = theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=GREEDY.max_new_tokens,
    )
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "nf4"])
def test_a_catalogue_id_loads_streams_and_equals_transformers(hub, shelf, name, precision):
    model = shelf.load(name, precision=precision)
    assert (model.name, model.precision, model.device) == (name, precision, "cpu")
    assert len(model.revision) == 40
    kinds = {type(layer).__name__ for layer in model._model.modules()}
    assert ("Linear4bit" in kinds) == (precision == "nf4")
    for text in TEXTS[:2]:
        pieces: list[Piece] = []
        one = generate(model, [text], GREEDY, emit=pieces.append)[0]
        assert one.error == ""
        wanted = reference(hub, model, REPOS[name], text)
        # ours also ends where a text goes round in circles
        assert len(one.token_ids) >= 8
        assert list(one.token_ids) == wanted[: len(one.token_ids)]
        assert one.finish_reason == "loop" or len(one.token_ids) == len(wanted)
        assert len([piece for piece in pieces if piece.text]) >= 4
        assert one.text.startswith("".join(piece.text for piece in pieces))


@pytest.mark.parametrize("name", MODELS)
def test_lora_on_all_linear_layers_is_switched_per_row_on_a_4_bit_base(hub, shelf, name, tmp_path):
    # unpacked to float32, as on a processor without bfloat16: rounding follows the batch less
    shelf._machine = Machine("cpu")
    model = shelf.load(name, precision="nf4")
    assert model.dtype == "float32"
    before = generate(model, TEXTS[:1], GREEDY)[0]
    snapshot = next((hub / f"models--{REPOS[name].replace('/', '--')}" / "snapshots").iterdir())
    build_adapter(
        snapshot,
        tmp_path / "adapters" / "mine",
        base_name=REPOS[name],
        target_modules=TARGETS[name],
        scale=0.1,
    )
    held = shelf.loaded()[0].memory_bytes
    alone = generate(model, TEXTS[:1], GREEDY, ["mine"])[0]
    assert alone.error == ""
    assert alone.token_ids != before.token_ids
    base, adapted, again = generate(model, [TEXTS[0]] * 3, GREEDY, [None, "mine", None])
    assert base.token_ids == again.token_ids == before.token_ids
    assert adapted.token_ids == alone.token_ids
    assert generate(model, TEXTS[:1], GREEDY)[0].token_ids == before.token_ids
    adapted_layers = [
        layer for layer in model._model.modules() if type(layer).__name__ == "Linear4bit"
    ]
    lora = [n for n, _ in model._model.named_parameters() if "lora_A" in n]
    assert len(lora) == 2 * len(TARGETS[name])
    assert len(adapted_layers) >= len(lora)
    assert shelf.loaded()[0].memory_bytes > held
    assert shelf.loaded()[0].adapters == ("mine",)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_load_took_is_what_was_estimated(shelf, name):
    from qeu.backends.folders import inspect_local
    from qeu.backends.hub import resolve_hub
    from qeu.backends.memory_estimate import estimate
    from qeu.backends.packed_linear import _can_pack

    packs = "cpu" if _can_pack() else "cuda"
    weights = inspect_local(Path(resolve_hub(REPOS[name]).path))
    for precision in ("float32", "bfloat16", "nf4"):
        model = shelf.load(name, precision=precision)
        expected = estimate(weights, precision, dtype=model.dtype, device=packs).weights
        assert abs(expected - model.memory_bytes) < 0.1 * model.memory_bytes
    assert [item.precision for item in shelf.loaded()] == ["bfloat16", "float32", "nf4"]
    shelf.unload(name)
    assert shelf.loaded() == []
