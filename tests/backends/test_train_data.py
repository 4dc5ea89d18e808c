"""What the trainer gets: whole-set packing, labels as they were made, texts that see themselves."""

import pytest

from qeu.backends.train_data import longest_rows, make_rows, read_examples
from qeu.backends.training_encoder import TrainingEncoder
from qeu.core.errors import QeuError
from qeu.core.packing import count_packs
from qeu.core.record import Record
from qeu.core.training_example import NOT_LEARNED, make_example
from qeu.core.training_variant import Variant
from tests.backends.tiny_engine import load_tiny
from tests.tiny_training import make_records

pytestmark = pytest.mark.slow
LIMIT = 192
LONG = Record("Go on.", reasoning="Think. " * 5_000, output="Done.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    return load_tiny(tmp_path_factory.mktemp("tiny"), "llama")


@pytest.fixture(scope="module")
def encoder(tiny) -> TrainingEncoder:
    return TrainingEncoder(tiny[1])


def learned(encoder: TrainingEncoder, records: list[Record], limit: int = LIMIT, **more: object):
    pairs = [(record, None) for record in records]
    return list(read_examples(pairs, Variant(), encoder, encoder.end_id, limit, **more))


def test_packed_rows_are_as_many_as_the_plan_counts(encoder):
    # more than the 1,000 records that are packed at once where nobody asks for all
    found = [one.example for one in learned(encoder, [*make_records(1_300), LONG])]
    for limit in (150, LIMIT, 1_000_000):
        rows = make_rows([one.cut(limit) for one in found], limit, packing=True)
        assert len(rows) == count_packs([one.tokens for one in found], limit)
        assert max(map(len, rows["input_ids"])) <= limit
        assert sum(map(sum, rows["seq_lengths"])) == sum(min(one.tokens, limit) for one in found)


def test_ids_and_labels_reach_the_model_as_they_were_made(tiny, encoder):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    found = [one.example for one in learned(encoder, make_records(7))]
    made = {one.input_ids: one.labels for one in found}
    for packing in (True, False):
        rows = make_rows(found, LIMIT, packing)
        collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=packing)
        seen = 0
        for row in rows:
            batch = collate([row])
            ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
            ends = row.get("seq_lengths", [len(ids)])
            at = 0
            for length in ends:
                wanted = made[tuple(ids[at : at + length])]
                # nothing foretells the first token, whose label is taken away where texts meet
                assert labels[at + 1 : at + length] == list(wanted[1:])
                assert labels[at] in (wanted[0], NOT_LEARNED)
                at, seen = at + length, seen + 1
        assert seen == len(found)


def test_packed_texts_do_not_see_each_other(tiny, encoder):
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model, _ = tiny
    found = [one.example for one in learned(encoder, make_records(3))]
    (row,) = make_rows(found, 10_000, packing=True)
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row])
    batch.pop("labels")
    alone_ids = batch["input_ids"][:, row["seq_lengths"][0] : sum(row["seq_lengths"][:2])]
    with torch.inference_mode():
        together = model(**batch, use_cache=False).logits[0]
        alone = model(input_ids=alone_ids, use_cache=False).logits[0]
        positions = torch.arange(batch["input_ids"].shape[1])[None]
        seeing = model(
            input_ids=batch["input_ids"], position_ids=positions, use_cache=False
        ).logits[0]  # fmt: skip
    first, second = row["seq_lengths"][:2]
    part = slice(first, first + second)
    assert torch.allclose(together[part], alone, atol=1e-4)
    assert not torch.allclose(seeing[part], alone, atol=1e-2)


def test_an_endless_record_is_cut_and_what_then_teaches_nothing_is_left_out(encoder):
    endless_prompt = Record("Read. " * 5_000, reasoning="Think.", output="Done.")
    assert make_example(LONG, Variant(), encoder, encoder.end_id).tokens > 10_000
    (one,) = learned(encoder, [endless_prompt, LONG])
    assert one.record == LONG
    assert one.example.tokens == LIMIT
    assert one.prompt_ids == one.example.input_ids[: len(one.prompt_ids)]
    with pytest.raises(QeuError, match="Not one of the run's records"):
        make_rows([], LIMIT, packing=True)


def test_reading_ends_where_it_is_stopped(encoder):
    calls: list[int] = []
    found = learned(encoder, make_records(9), is_stopped=lambda: len(calls) == 4 or calls.append(1))
    assert len(found) == 4


def test_the_longest_rows_are_found(encoder):
    rows = make_rows([one.example for one in learned(encoder, make_records(7))], LIMIT, False)
    lengths = [len(row["input_ids"]) for row in rows]
    chosen = longest_rows(rows, 2)
    assert sorted((lengths[at] for at in chosen), reverse=True) == sorted(lengths)[:-3:-1]
