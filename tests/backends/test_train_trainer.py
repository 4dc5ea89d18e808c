"""The trainer of a run: TRL's loss at a lower price, and numbers that hear every small step."""

from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.folders import inspect_local
from qeu.backends.train_cpu import record_bounds
from qeu.backends.train_data import make_rows, read_examples
from qeu.backends.train_model import OPTIMIZERS, SCHEDULES, load_base, load_tokenizer
from qeu.backends.train_trainer import lean_loss, make_trainer
from qeu.backends.training_encoder import TrainingEncoder
from qeu.core.run_passport import OPTIMIZERS as OUR_OPTIMIZERS
from qeu.core.run_passport import SCHEDULES as OUR_SCHEDULES
from qeu.core.training_variant import Variant
from tests.services.test_train_failure import PASSPORT
from tests.tiny_checkpoints import build_checkpoint
from tests.tiny_training import LORA, TRAINING, make_records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory):
    root: Path = tmp_path_factory.mktemp("trainer")
    weights = inspect_local(build_checkpoint(root / "base"))
    lora = replace(LORA, quantization="nf4", dropout=0.0)
    training = replace(TRAINING, compute_dtype="bfloat16", batch_size=2, packing=False)
    passport = replace(PASSPORT, lora=lora, training=training, seed=2**40)
    tokenizer = load_tokenizer(weights)
    encode = TrainingEncoder(tokenizer)
    pairs = [(record, None) for record in make_records(6)]
    found = list(read_examples(pairs, Variant(), encode, encode.end_id, 192))
    rows = make_rows([one.example for one in found], 192, packing=False)
    base = load_base("tiny", weights, lora, training)
    return make_trainer(base, tokenizer, rows, passport, root / "work", None, "tiny")  # type: ignore[arg-type]


def test_what_is_trained_is_held_in_float32(trainer):
    import torch

    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    assert trained
    assert {p.dtype for p in trained} == {torch.float32}
    assert not any(p.requires_grad for n, p in trainer.model.named_parameters() if "lora" not in n)


def collate(trainer, way: str):
    """Two rows of unlike length in one batch, and their lengths."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [trainer.train_dataset[at] for at in (0, 2)]
    padding = DataCollatorForLanguageModeling(pad_token_id=0)
    batch = (padding if way == "padded" else trainer.data_collator)(rows)
    assert ("attention_mask" in batch) == (way == "padded")
    lengths = [len(row["input_ids"]) for row in rows]
    assert lengths[0] != lengths[1]
    return batch, lengths


def test_rows_stand_end_to_end_where_nothing_needs_padding(trainer):
    batch, lengths = collate(trainer, "end to end")
    assert batch["input_ids"].shape == (1, sum(lengths))
    assert record_bounds(batch) == (0, lengths[0], sum(lengths))


@pytest.mark.parametrize("way", ["padded", "end to end"])
def test_the_lean_loss_is_trl_s(trainer, way):
    import torch
    from trl import SFTTrainer

    batch, _ = collate(trainer, way)
    learned = int((batch["labels"][:, 1:] != -100).sum())
    found = []
    for total in (None, torch.tensor(3 * learned)):
        ways = (
            lambda batch, total: SFTTrainer.compute_loss(
                trainer, trainer.model, batch, num_items_in_batch=total
            ),
            lambda batch, total: lean_loss(trainer.model, batch, total),
            lambda batch, total: trainer.compute_loss(
                trainer.model, batch, num_items_in_batch=total
            ),
        )  # fmt: skip
        for way in ways:
            trainer.model.train()
            trainer.model.zero_grad()
            loss = way(dict(batch), total)
            loss.backward()
            trained = [p.grad for p in trainer.model.parameters() if p.grad is not None]
            found.append((loss.item(), torch.cat([grad.flatten() for grad in trained])))
        (theirs, gradient), *ours = found[-3:]
        for loss, mine in ours:
            assert loss == pytest.approx(theirs, rel=2e-3)
            assert torch.nn.functional.cosine_similarity(mine, gradient, dim=0) > 0.999
            assert mine.norm().item() == pytest.approx(gradient.norm().item(), rel=2e-2)
    assert found[3][0] == pytest.approx(found[0][0] / 3, rel=2e-3)


@pytest.mark.parametrize("way", ["padded", "end to end"])
def test_tokens_are_counted_without_padding(trainer, way):
    batch, lengths = collate(trainer, way)
    before = trainer._total_train_tokens
    trainer.model.train()
    trainer.compute_loss(trainer.model, batch)
    assert trainer._total_train_tokens - before == sum(lengths)


def test_every_choice_has_a_name_that_the_trainer_knows():
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert set(OPTIMIZERS) == set(OUR_OPTIMIZERS)
    assert set(SCHEDULES) == set(OUR_SCHEDULES)
    assert all(OptimizerNames(name) for name in OPTIMIZERS.values())
    assert all(SchedulerType(name) for name in SCHEDULES.values())
