"""Training on a processor: faster attention and dropout that compute what the usual ones do."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.train_cpu import BY_RECORD, attend_by_record, record_bounds, speed_up


def attend_usually(query, key, value, bounds):
    """torch's attention behind a mask that keeps the records apart."""
    import torch

    at = torch.bucketize(torch.arange(bounds[-1]), torch.tensor(bounds[1:-1]), right=True)
    mask = (at[:, None] == at[None, :]).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return found.transpose(1, 2)


# one record beyond the length at which the way of computing changes, and two short ones
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_and_its_gradients_are_the_usual_ones(kv_heads):
    import torch

    torch.manual_seed(0)
    bounds = (0, 300, 307, 400)
    tensors = [
        torch.randn(1, heads, 400, 8, requires_grad=True) for heads in (4, kv_heads, kv_heads)
    ]
    weights = torch.randn(1, 400, 4, 8)
    found = []
    ours, none = attend_by_record(None, *tensors, None, record_bounds=bounds)
    assert none is None
    for out in (ours, attend_usually(*tensors, bounds)):
        gradients = torch.autograd.grad((out * weights).sum(), tensors)
        found.append([out, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_without_bounds_or_with_a_window_the_mask_counts():
    import torch

    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 6, 4) for _ in range(3))
    mask = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    mask[..., 0] = True  # everybody sees the first token alone
    layer = torch.nn.Identity()
    for more in ({}, {"record_bounds": (0, 3, 6), "sliding_window": 2}):
        found, _ = attend_by_record(layer, query, key, value, mask, **more)
        torch.testing.assert_close(found, value[:, :, :1].expand_as(value).transpose(1, 2))


def test_bounds_are_where_positions_begin_anew():
    import torch

    ids = torch.ones(1, 6, dtype=torch.int64)
    packed = {"input_ids": ids, "position_ids": torch.tensor([[0, 1, 2, 0, 0, 1]])}
    assert record_bounds(packed) == (0, 3, 4, 6)
    assert record_bounds({"input_ids": ids, "attention_mask": ids}) == (0, 6)
    padded = ids.clone()
    padded[0, -1] = 0
    assert record_bounds({"input_ids": ids, "attention_mask": padded}) == ()
    two = ids.repeat(2, 1)
    assert record_bounds({"input_ids": two, "attention_mask": two}) == ()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory):
    """(trainer, one packed batch) of a tiny checkpoint, with dropout."""
    from qeu.backends.folders import inspect_local
    from qeu.backends.train_data import make_rows, read_examples
    from qeu.backends.train_model import load_base, load_tokenizer
    from qeu.backends.train_trainer import make_trainer
    from qeu.backends.training_encoder import TrainingEncoder
    from qeu.core.training_variant import Variant
    from tests.services.test_train_failure import PASSPORT
    from tests.tiny_checkpoints import build_checkpoint
    from tests.tiny_training import LORA, TRAINING, make_records

    root: Path = tmp_path_factory.mktemp("packed")
    weights = inspect_local(build_checkpoint(root / "base"))
    training = replace(TRAINING, compute_dtype="float32", packing=True, batch_size=1)
    lora = replace(LORA, quantization="none", dropout=0.25)
    passport = replace(PASSPORT, lora=lora, training=training)
    tokenizer = load_tokenizer(weights)
    encode = TrainingEncoder(tokenizer)
    pairs = [(record, None) for record in make_records(8)]
    found = list(read_examples(pairs, Variant(), encode, encode.end_id, 192))
    rows = make_rows([one.example for one in found], 400, packing=True)
    base = load_base("tiny", weights, lora, training)
    trainer = make_trainer(base, tokenizer, rows, passport, root / "work", None, "tiny")  # type: ignore[arg-type]
    return trainer, trainer.data_collator([trainer.train_dataset[0]])


@pytest.mark.slow
def test_a_packed_step_has_the_loss_and_gradients_of_the_usual_attention(packed):
    import torch

    trainer, batch = packed
    model = trainer.model
    assert model.config._attn_implementation == BY_RECORD
    assert len(record_bounds(batch)) > 2
    model.eval()
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():  # B begins at zero, and A would have no gradient
        for one in trained:
            one.normal_(std=0.1, generator=torch.Generator().manual_seed(one.numel()))
    seen = []
    for way in (BY_RECORD, "sdpa", "eager"):
        model.set_attn_implementation(way)
        loss = trainer.compute_loss(model, dict(batch))
        seen.append([loss, *torch.autograd.grad(loss, trained)])
    model.set_attn_implementation(BY_RECORD)
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_dropout_drops_its_share_anew_each_time_and_none_in_evaluation(packed):
    import torch

    model = packed[0].model
    dropout = next(m.lora_dropout["default"] for m in model.modules() if hasattr(m, "lora_dropout"))
    assert type(dropout) is not torch.nn.Dropout
    x = torch.ones(300, 1001)
    dropout.eval()
    assert dropout(x) is x
    dropout.train()
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    # 300,300 draws of 0.25: six standard deviations are 0.0047
    assert abs((first == 0).float().mean() - 0.25) < 0.0047
    # neighbours come from one number of 64 bits, and must not know of each other
    both = ((first[:, :-1] == 0) & (first[:, 1:] == 0)).float().mean()
    assert abs(both - 0.0625) < 0.003
    torch.testing.assert_close(first[first != 0].unique(), torch.tensor([4 / 3]))
    assert dropout(x.bfloat16()).dtype == torch.bfloat16
    assert dropout(torch.ones(0, 3)).shape == (0, 3)


@pytest.mark.slow
def test_a_model_with_another_attention_keeps_it(packed):
    model = packed[0].model
    model.set_attn_implementation("eager")
    speed_up(model)
    assert model.config._attn_implementation == "eager"
    model.set_attn_implementation("sdpa")
    speed_up(model)
    assert model.config._attn_implementation == BY_RECORD
