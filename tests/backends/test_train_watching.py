"""What is looked at while a run learns: losses by part, samples and the verdicts on them."""

import math
import threading
from dataclasses import replace

import pytest

from qeu.backends.train_data import Learned, read_examples
from qeu.backends.train_losses import measure_validation
from qeu.backends.train_samples import (
    choose_prompts,
    count_judgements,
    judge_sample,
    write_samples,
)
from qeu.backends.training_encoder import TrainingEncoder
from qeu.core.record import Record
from qeu.core.training_example import NOT_LEARNED
from qeu.core.training_variant import Variant
from tests.backends.tiny_engine import load_tiny, tiny_local
from tests.tiny_training import make_records

LIMIT = 400
POEM = Record(
    "Write a slogan for a tea shop.",
    reasoning="You should name the place.",
    output="A pot for every hour.",
    category="creative",
)
GOOD = "You should name the place.\n<|response|>A pot for every hour."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    return load_tiny(tmp_path_factory.mktemp("tiny"), "llama")


def learned(tokenizer, records: list[Record], variant: Variant | None = None) -> list[Learned]:
    encoder = TrainingEncoder(tokenizer)
    pairs = [(record, None) for record in records]
    return list(read_examples(pairs, variant or Variant(), encoder, encoder.end_id, LIMIT))


@pytest.mark.slow
def test_losses_are_those_of_each_record_on_its_own(tiny):
    import torch

    model, tokenizer = tiny
    examples = [one.example for one in learned(tokenizer, make_records(9))]
    found = measure_validation(model, examples)
    sums: dict[str, list[float]] = {"reasoning": [], "output": []}
    for one in examples:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([one.input_ids])).logits[0]
        scores = logits.log_softmax(-1)
        for at in range(1, one.tokens):
            if one.labels[at] != NOT_LEARNED:
                sums[one.parts[at]].append(-scores[at - 1, one.labels[at]].item())
    both = sums["reasoning"] + sums["output"]
    assert found.rows == 9
    assert found.loss == pytest.approx(sum(both) / len(both), rel=1e-4)
    for name, values in (("reasoning_loss", sums["reasoning"]), ("answer_loss", sums["output"])):
        assert found.of(name) == pytest.approx(sum(values) / len(values), rel=1e-4)


@pytest.mark.slow
def test_a_part_that_is_not_learned_has_no_loss(tiny):
    model, tokenizer = tiny
    records = make_records(2)
    only = [one.example for one in learned(tokenizer, records, Variant(loss_on=("output",)))]
    found = measure_validation(model, only)
    assert found.reasoning_loss is None
    assert found.loss == pytest.approx(found.answer_loss)
    assert measure_validation(model, []) is None
    assert measure_validation(model, only, is_stopped=lambda: True) is None


@pytest.mark.slow
def test_looking_changes_neither_numbers_nor_chance(tiny):
    import torch

    model, tokenizer = tiny
    found = learned(tokenizer, make_records(3))
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    measure_validation(model, [one.example for one in found])
    write_samples(model, tokenizer, found, Variant(), 5, threading.Event())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_samples_are_what_the_engine_writes(tiny, tmp_path):
    from qeu.backends.base import Row
    from qeu.core.prompts import render
    from qeu.core.sampling import Sampling

    model, tokenizer = tiny
    records = make_records(3)
    samples = write_samples(
        model, tokenizer, learned(tokenizer, records), Variant(), 12, threading.Event()
    )
    engine = tiny_local(tmp_path)
    sampling = Sampling(greedy=True, repetition_penalty=1, max_new_tokens=12)
    prompts = [render(one, "bonsai-v2", Variant().role, "both").prompt for one in records]
    wanted = engine.generate([Row(prompt, sampling) for prompt in prompts])
    assert [one.text for one in samples] == [one.text for one in wanted]
    assert [one.record for one in samples] == [one.identity for one in records]
    stopped = threading.Event()
    stopped.set()
    assert write_samples(model, tokenizer, learned(tokenizer, records), Variant(), 12, stopped) is (
        None
    )


@pytest.mark.slow
def test_only_prompts_that_are_whole_and_have_room_are_sampled(tiny):
    _, tokenizer = tiny
    endless = Record("Go on. " + "Read. " * 30, reasoning="Think.", output="Done.")
    found = learned(tokenizer, [*make_records(3), endless])
    longest = max(len(one.prompt_ids) for one in found)
    assert [one.record for one in choose_prompts(found, 8, longest - 1)] == make_records(3)
    assert len(choose_prompts(found, 2, LIMIT)) == 2
    assert choose_prompts(found, 8, 0) == []
    cut = [replace(one, example=one.example.cut(len(one.prompt_ids))) for one in found]
    assert choose_prompts(cut, 8, LIMIT) == []


def judge(text: str, record: Record = POEM, reason: str = "stop", **variant: str):
    return judge_sample(record, text, reason, Variant(**variant))


def test_a_text_is_taken_apart_and_held_to_its_contract():
    good = judge(GOOD)
    assert (good.reasoning, good.answer) == ("You should name the place.", POEM.output)
    assert (good.contract, good.leak, good.closed, good.loop) == (True, False, True, False)
    assert not judge(GOOD.replace("You should", "I will")).contract
    assert not judge(GOOD, reason="length").closed
    assert not judge("You should name the place.").closed
    assert judge("", reason="stop").leak is None
    assert judge("ab " * 60, reason="length").loop
    assert judge(GOOD, reason="loop").loop


def test_a_reasoning_that_gives_the_answer_away_leaks():
    sum_ = Record("What is 12 times 13?", reasoning="Multiply.", output="156")
    assert judge("Multiply them.\n<|response|>156", sum_).leak is False
    assert judge("It is 156, since 12 times 13 is 156.\n<|response|>156", sum_).leak is True


def test_where_no_reasoning_is_written_the_answer_is_judged():
    found = judge("A pot for every hour.", target="answer")
    assert (found.reasoning, found.answer, found.leak) == ("", "A pot for every hour.", None)
    assert found.contract
    assert found.closed
    counts = count_judgements([found, judge(GOOD), judge(GOOD, reason="length")])
    assert counts["leak"] == {"count": 0, "of": 2}
    assert counts["closed"] == {"count": 2, "of": 3}
    assert not math.isnan(counts["contract"]["count"])
