"""Precisions: chosen from the machine with a reason, refused where impossible, safe in float16."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode

from qeu.backends.folders import ResolvedWeights, inspect_local, read_quantised
from qeu.backends.local import LocalModel
from qeu.backends.precision import (
    Machine,
    Placement,
    check_possible,
    keep_stored,
    place,
    read_machine,
    read_precision,
)
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.core.settings import PRECISIONS
from tests.backends.tiny_engine import GREEDY, TEXTS, generate, tiny_local
from tests.tiny_checkpoints import build_checkpoint

T4 = Machine("cuda", (7, 5))
A100 = Machine("cuda", (8, 0))
FAST_CPU = Machine("cpu", fast_bfloat16=True)
PLAIN_CPU = Machine("cpu")


@pytest.mark.parametrize(
    ("machine", "four_bit", "precision", "dtype", "reason"),
    [
        (T4, False, "float16", "float16", "capability is 7.5, and bfloat16 needs 8.0"),
        (T4, True, "nf4", "float16", "4 bits are the default"),
        (A100, False, "bfloat16", "bfloat16", "compute capability 8.0"),
        (A100, True, "nf4", "bfloat16", "4 bits are the default"),
        (FAST_CPU, True, "bfloat16", "bfloat16", "computes it directly"),
        (PLAIN_CPU, True, "float32", "float32", "slower in bfloat16"),
    ],
)
def test_auto_follows_the_machine_and_says_why(machine, four_bit, precision, dtype, reason):
    found = place(machine, exact=False, four_bit=four_bit)
    assert (found.device, found.precision, found.dtype) == (machine.device, precision, dtype)
    assert found.reason.startswith(precision)
    assert reason in found.reason


@pytest.mark.parametrize("machine", [T4, A100, FAST_CPU, PLAIN_CPU])
def test_what_was_chosen_is_taken_and_exact_is_float32(machine):
    for wanted in ("nf4", "int8", "bfloat16", "float16", "float32"):
        found = place(machine, wanted, exact=False, four_bit=False)
        assert found.precision == wanted
        assert found.reason == f"{wanted}: it was chosen."
        exact = place(machine, wanted, exact=True, four_bit=True)
        assert (exact.precision, exact.dtype) == ("float32", "float32")
    assert place(T4, "nf4", exact=False, four_bit=False).dtype == "float16"
    assert place(PLAIN_CPU, "int8", exact=False, four_bit=False).dtype == "float32"


def test_names_and_synonyms_are_those_of_the_setting():
    assert [read_precision(name) for name in PRECISIONS[-2:]] == ["nf4", "int8"]
    assert [read_precision(name) for name in PRECISIONS[:-2]] == list(PRECISIONS[:-2])
    assert read_precision(" FP16 ") == "float16"
    with pytest.raises(QeuError, match="Unknown precision"):
        read_precision("int4")


def test_the_machine_is_read_without_torch_where_there_is_no_gpu():
    code = (
        "import sys; from qeu.backends.precision import read_machine;"
        "read_machine('cpu'); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(not Path("/proc/cpuinfo").exists())


def test_both_ways_of_asking_the_processor_agree():
    asked = "from qeu.backends.precision import read_machine; print(read_machine('cpu'))"
    out = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    found = torch.cpu.get_capabilities()
    fast = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    assert f"fast_bfloat16={fast})" in out.stdout
    assert read_machine("cpu") == Machine("cpu", fast_bfloat16=fast)


@pytest.mark.parametrize(
    ("wanted", "stored", "is_gguf", "words"),
    [
        ("nf4", "", True, "GGUF file, which is unpacked .* in nf4. Choose bfloat16"),
        ("int8", "nf4", False, "stored in nf4 and cannot be loaded in int8. Choose auto"),
        ("nf4", "gptq", False, "stored in gptq"),
    ],
)
def test_what_cannot_be_is_refused(wanted, stored, is_gguf, words):
    with pytest.raises(QeuError, match=words):
        check_possible("some", wanted, stored, is_gguf=is_gguf)
    check_possible("some", "bfloat16", stored, is_gguf=is_gguf)


def test_weights_that_are_quantised_in_their_files_stay_so():
    asked = Placement("cpu", "bfloat16", "bfloat16", "bfloat16: it was chosen.")
    kept = keep_stored(asked, "nf4")
    assert (kept.precision, kept.dtype) == ("nf4", "bfloat16")
    assert kept.reason == "nf4: the weights are stored so, and stay so."
    assert keep_stored(asked, "") is asked


def test_the_configuration_tells_how_files_are_quantised():
    four = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    eight = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    for config, name in ((four, "nf4"), (eight, "int8"), ({"quant_method": "awq"}, "awq")):
        assert read_quantised({"quantization_config": config}) == name
    assert read_quantised({}) == ""


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Phi whose scores leave float16's range, as the real one's do."""
    from transformers import AutoModelForCausalLM

    folder = build_checkpoint(tmp_path_factory.mktemp("phi") / "overflowing", "phi")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(1_000)
            layer.self_attn.k_proj.weight.mul_(1_000)
    model.save_pretrained(folder)
    return folder


def load(folder: Path, precision: str, dtype: str = "") -> LocalModel:
    from qeu.backends.torch_loading import load_weights

    placement = Placement("cpu", dtype or precision, precision)
    model, tokenizer = load_weights("tiny", inspect_local(folder), placement)
    return LocalModel("tiny", model, tokenizer, dtype=placement.dtype, precision=precision)


class WatchedAttention(TorchFunctionMode):
    """Notes the dtypes in which torch's attention is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.dtypes |= {str(x.dtype) for x in args[:3]}
        return func(*args, **(kwargs or {}))


def last_scores(model: object) -> "object":
    ids = torch.randint(5, 500, (2, 24), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask).logits[:, -1].float()


def test_phi_in_float16_computes_its_scores_in_float32(overflowing):
    from transformers import AutoModelForCausalLM

    exact = last_scores(AutoModelForCausalLM.from_pretrained(overflowing))
    plain = AutoModelForCausalLM.from_pretrained(
        overflowing, dtype=torch.float16, attn_implementation="eager"
    )
    assert not last_scores(plain).isfinite().all()  # without the cure
    ours = load(overflowing, "float16")
    with WatchedAttention() as watched:
        cured = last_scores(ours._model)
    # (torch's kernels for processors would do so by themselves, those of a GPU need not)
    assert watched.dtypes == {"torch.float32"}
    assert ours._model.dtype == torch.float16
    assert cured.isfinite().all()
    assert (cured - exact).abs().max() < 0.01 * exact.abs().max()
    done = generate(ours, TEXTS[:4], GREEDY)
    assert [one.error for one in done] == [""] * 4
    # padded rows and rows alone agree in their first tokens, as our own masks are taken
    alone = generate(ours, TEXTS[:1], GREEDY)[0]
    assert alone.token_ids[:3] == done[0].token_ids[:3]


def test_only_what_overflows_in_float16_pays_for_wider_scores(tmp_path, overflowing):
    from qeu.backends.float32_scores import NAME

    llama = build_checkpoint(tmp_path / "llama", "llama")
    kinds = [
        load(overflowing, "float16"),
        load(overflowing, "nf4", "float16"),
        load(overflowing, "bfloat16"),
        load(llama, "float16"),
    ]
    found = [model._model.config._attn_implementation for model in kinds]
    assert found == [NAME, NAME, "sdpa", "sdpa"]


@pytest.fixture
def broken(tmp_path: Path) -> LocalModel:
    """A model whose scores overflow in float16 for real: its output matrix is too large."""
    from transformers import AutoModelForCausalLM

    folder = build_checkpoint(tmp_path / "broken", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.mul_(10_000)
        model.lm_head.weight.mul_(10_000)
    model.save_pretrained(folder)
    return load(folder, "float16")


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(max_new_tokens=4), Sampling(top_k=0)])
def test_scores_that_are_no_numbers_end_the_row_with_the_precision_and_the_way_out(
    broken, sampling
):
    for one in generate(broken, TEXTS[:2], sampling):
        assert (one.finish_reason, one.text, one.token_ids) == ("error", "", ())
        assert "The scores of tiny in float16 are not numbers (NaN or infinite)" in one.error
        assert one.error.endswith("Load it in bfloat16 or float32.")


def test_a_row_of_nan_does_not_end_the_row_beside_it(tmp_path, monkeypatch):
    model = tiny_local(tmp_path)
    drawn = Sampling(max_new_tokens=4, top_k=0, top_p=0.9)
    forward = model._model.forward

    def spoil(*args, **kwargs):
        out = forward(*args, **kwargs)
        if len(out.logits) == 2:
            out.logits[0] = float("nan")
        return out

    monkeypatch.setattr(model._model, "forward", spoil)
    done = generate(model, TEXTS[:2], drawn)
    assert sorted(one.finish_reason for one in done) == ["error", "length"]


def test_labels_are_refused_where_scores_are_no_numbers(broken):
    from qeu.backends.scoring import ScoreRow
    from tests.backends.tiny_engine import tagged

    row = ScoreRow(tagged("12 times 13"), (" is", " question"))
    with pytest.raises(QeuError, match="in float16 are not numbers"):
        broken.score([row])


def test_a_model_with_sizes_that_the_packed_layout_lacks_still_runs_in_4_bits(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    folder = build_checkpoint(tmp_path / "odd", "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=96, intermediate_size=176, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=1, eos_token_id=0,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    one = generate(load(folder, "nf4", "bfloat16"), TEXTS[:1], GREEDY)[0]
    assert one.error == ""
    assert one.new_tokens > 0


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_quantised_models_run_on_the_processor_near_the_full_one(tmp_path, precision):
    folder = build_checkpoint(tmp_path / "tiny", "llama")
    full = last_scores(load(folder, "float32")._model)
    model = load(folder, precision, "float32")
    near = last_scores(model._model)
    limit = {"nf4": 0.3, "int8": 0.05}[precision] * full.abs().max()
    assert 0 < (near - full).abs().max() < limit
    assert model.numbers == f"{precision}/float32"
    with pytest.raises(QeuError, match=rf"loaded in {precision}/float32|needs float32"):
        load(folder, precision, "bfloat16").generate([], exact=True)


def test_saved_4_bit_weights_are_recognised_and_loaded_as_they_are(tmp_path):
    folder = build_checkpoint(tmp_path / "tiny", "llama")
    saved = tmp_path / "saved"
    first = load(folder, "nf4", "bfloat16")
    first._model.save_pretrained(saved)
    first._tokenizer.save_pretrained(saved)
    weights: ResolvedWeights = inspect_local(saved)
    assert (weights.quantised, weights.shape) == ("nf4", None)
    again = load(saved, "nf4", "bfloat16")
    assert generate(again, TEXTS[:1], GREEDY)[0].text == generate(first, TEXTS[:1], GREEDY)[0].text
