"""The decode loop gives what `generate` gives, row by row, whatever shares the batch."""

import threading
from pathlib import Path

import pytest
import torch

from qeu.backends import decode, forward_pass
from qeu.backends.decode import DecodeBatch, count_shared, split_rows
from qeu.backends.forward_pass import ForwardPass
from qeu.backends.live_row import LiveRow
from qeu.core.sampling import Sampling
from tests.backends.tiny_engine import GREEDY, TEXTS, live_rows, load_tiny

PENALISED = Sampling(greedy=True, repetition_penalty=1.3, max_new_tokens=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(autouse=True)
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random models repeat themselves at once; `generate` does not mind."""
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)


def run(model, rows: list[LiveRow]) -> list[list[int]]:
    batch = DecodeBatch(model, rows)
    while not batch.finished:
        batch.step()
    return [row.token_ids for row in rows]


def reference(model, row: LiveRow, **settings) -> list[int]:
    ids = torch.tensor([row.prompt_ids])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=row.sampling.max_new_tokens,
        eos_token_id=None,
        **settings,
    )
    return out[0, len(row.prompt_ids) :].tolist()


@pytest.mark.parametrize("arch", ["llama", "phi"])
@pytest.mark.parametrize("sampling", [GREEDY, PENALISED], ids=["plain", "penalty"])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_greedy_equals_generate_token_for_token(folder, arch, sampling, size):
    model, tokenizer = load_tiny(folder, arch)
    rows = live_rows(tokenizer, TEXTS[:size], sampling)
    found = run(model, rows)
    for row, tokens in zip(rows, found, strict=True):
        settings = {"repetition_penalty": sampling.repetition_penalty}
        assert tokens == reference(model, row, **settings)


@pytest.mark.parametrize("arch", ["llama", "phi"])
def test_long_prompts_in_chunks_equal_generate(folder, arch, monkeypatch):
    model, tokenizer = load_tiny(folder, arch)
    monkeypatch.setattr(decode, "PREFILL_CHUNK", 7)
    rows = live_rows(tokenizer, TEXTS, GREEDY)
    assert max(len(row.prompt_ids) for row in rows) > 50
    assert run(model, rows) == [reference(model, row) for row in rows]


def test_a_mask_made_by_transformers_gives_the_same(folder, monkeypatch):
    model, tokenizer = load_tiny(folder, "llama")
    monkeypatch.setattr(forward_pass, "can_build_mask", lambda model: False)
    rows = live_rows(tokenizer, TEXTS, GREEDY)
    assert run(model, rows) == [reference(model, row) for row in rows]


def test_no_column_attends_to_nothing(folder):
    model, tokenizer = load_tiny(folder, "llama")
    ends = [len(row.prompt_ids) for row in live_rows(tokenizer, TEXTS, GREEDY)]
    padding = torch.tensor([[max(ends) - end] for end in ends])
    assert padding[4] > 10
    mask = ForwardPass(model, lambda names: None).mask(torch.arange(0, 20), 20, padding)
    # some kernels turn a column without any into NaN, which then spreads
    assert mask.any(-1).all()
    assert not mask[4, 0, 10, :10].any()


def test_a_common_beginning_is_computed_once_and_gives_the_same(folder, monkeypatch):
    model, tokenizer = load_tiny(folder, "llama")
    texts = [TEXTS[2] + text for text in TEXTS]
    rows = live_rows(tokenizer, texts, PENALISED)
    shared = count_shared(rows)
    assert shared > 50
    monkeypatch.setattr(decode, "PREFILL_CHUNK", 16)
    computed = []
    forward = model.forward

    def counting(*args, **kwargs):
        computed.append(kwargs["input_ids"].numel())
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", counting)
    found = run(model, rows)
    steps = PENALISED.max_new_tokens - 1
    rest = max(len(row.prompt_ids) for row in rows) - shared
    assert sum(computed) <= shared + len(rows) * (rest + steps)
    monkeypatch.undo()
    settings = {"repetition_penalty": PENALISED.repetition_penalty}
    assert found == [reference(model, row, **settings) for row in rows]


@pytest.mark.parametrize("shared", ["", TEXTS[2]], ids=["apart", "common beginning"])
def test_prompts_read_in_parts_of_like_length_give_the_same(folder, monkeypatch, shared):
    model, tokenizer = load_tiny(folder, "llama")
    rows = live_rows(tokenizer, [shared + text for text in TEXTS], PENALISED)
    lengths = [len(row.prompt_ids) for row in rows]
    monkeypatch.setitem(decode.PART_TOKENS, "cpu", max(lengths))
    computed = []
    forward = model.forward

    def counting(*args, **kwargs):
        computed.append(kwargs["input_ids"].shape)
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", counting)
    found = run(model, rows)
    monkeypatch.undo()
    settings = {"repetition_penalty": PENALISED.repetition_penalty}
    assert found == [reference(model, row, **settings) for row in rows]
    prompts = [shape for shape in computed if shape[1] > 1]
    assert len(prompts) > 2
    if not shared:
        # in one part all would be as long as the longest
        padded = max(lengths) * len(rows)
        assert sum(shape[0] * shape[1] for shape in prompts) < 0.75 * padded
        assert sum(lengths) < 0.6 * padded


def test_the_prompt_of_rows_that_are_stopped_is_not_read_on(folder, monkeypatch):
    model, tokenizer = load_tiny(folder, "llama")
    monkeypatch.setattr(decode, "PREFILL_CHUNK", 8)
    monkeypatch.setitem(decode.PART_TOKENS, "cpu", 1)
    stop = threading.Event()
    rows = [
        *live_rows(tokenizer, TEXTS[:1], GREEDY),
        *live_rows(tokenizer, TEXTS[2:3], GREEDY, stop=stop),
    ]
    assert len(rows[1].prompt_ids) > len(rows[0].prompt_ids) + 16
    batch = DecodeBatch(model, rows)
    batch.step()
    stop.set()
    steps = 0
    while not rows[0].token_ids:
        batch.step()
        steps += 1
    assert steps <= 2 + len(rows[0].prompt_ids) // 8
    while not batch.finished:
        batch.step()
    assert rows[1].finish_reason == "cancelled"
    assert rows[0].token_ids == reference(model, rows[0])


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([9], [1]),
        ([9, 9, 9], [2, 1]),
        ([30, 9, 8, 2], [1, 2, 1]),
        ([5, 4, 4, 3], [4]),
    ],
)
def test_rows_are_split_by_length(lengths, parts):
    found = split_rows(lengths, 20)
    assert [part.stop - part.start for part in found] == parts
    assert [at for part in found for at in range(part.start, part.stop)] == [*range(len(lengths))]


def test_rows_that_end_early_leave_the_others_as_they_are(folder):
    model, tokenizer = load_tiny(folder, "llama")
    lengths = [3, 40, 7, 24, 1, 24, 12, 300]
    settings = [Sampling(greedy=True, repetition_penalty=1, max_new_tokens=n) for n in lengths]
    rows = live_rows(tokenizer, TEXTS, settings)
    found = run(model, rows)
    assert [len(tokens) for tokens in found] == lengths
    assert {row.finish_reason for row in rows} == {"length"}
    assert found == [reference(model, row) for row in rows]


def test_drawn_rows_do_not_depend_on_the_batch(folder):
    model, tokenizer = load_tiny(folder, "llama")
    settings = [
        Sampling(temperature=1.0 + at / 4, top_k=(0, 50, 5)[at % 3], seed=at, max_new_tokens=16)
        for at in range(len(TEXTS))
    ]
    together = run(model, live_rows(tokenizer, TEXTS, settings))
    alone = [
        run(model, live_rows(tokenizer, [text], one))[0]
        for text, one in zip(TEXTS, settings, strict=True)
    ]
    assert together == alone
    again = live_rows(tokenizer, TEXTS[:1], Sampling(temperature=1.0, seed=99, max_new_tokens=16))
    assert run(model, again) != alone[:1]


def test_a_stopped_row_ends_and_the_other_goes_on(folder):
    model, tokenizer = load_tiny(folder, "llama")
    stop = threading.Event()
    rows = [
        *live_rows(tokenizer, TEXTS[:1], GREEDY, stop=stop),
        *live_rows(tokenizer, TEXTS[2:3], GREEDY),
    ]
    batch = DecodeBatch(model, rows)
    while len(rows[0].token_ids) < 5:
        batch.step()
    stop.set()
    while not batch.finished:
        batch.step()
    assert rows[0].finish_reason == "cancelled"
    assert len(rows[0].token_ids) == 5
    assert rows[1].finish_reason == "length"
    assert rows[1].token_ids == reference(model, rows[1])


def test_a_stop_is_heard_inside_a_forward_pass(folder, monkeypatch):
    model, tokenizer = load_tiny(folder, "llama")
    stop = threading.Event()
    rows = live_rows(tokenizer, TEXTS[2:3], GREEDY, stop=stop)
    seen = []
    layers = model.model.layers

    def note(at: int) -> None:
        seen.append(at)
        stop.set()

    hooks = [
        layer.register_forward_hook(lambda *_, at=at: note(at)) for at, layer in enumerate(layers)
    ]
    batch = DecodeBatch(model, rows)
    batch.step()
    for hook in hooks:
        hook.remove()
    assert seen == [0]
    assert batch.finished
    assert rows[0].finish_reason == "cancelled"


def test_scores_that_are_no_numbers_end_their_row_only(folder, monkeypatch):
    model, tokenizer = load_tiny(folder, "llama")
    rows = live_rows(tokenizer, TEXTS[:2], GREEDY)
    forward = model.forward

    def broken(*args, **kwargs):
        out = forward(*args, **kwargs)
        if len(out.logits) == 2:
            out.logits[0] = float("nan")
        return out

    monkeypatch.setattr(model, "forward", broken)
    run(model, rows)
    monkeypatch.undo()
    assert rows[0].finish_reason == "error"
    assert "not numbers" in rows[0].error
    assert rows[1].token_ids == reference(model, rows[1])
