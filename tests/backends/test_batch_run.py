"""Memory that runs out: batches go on in halves, rows keep their text, the rest is explained.

The model asks torch for far more memory than any machine has, so the failures are torch's own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.base import Piece
from qeu.backends.batch_run import group_rows
from qeu.backends.failures import is_out_of_memory
from qeu.backends.local import LocalModel
from qeu.core.errors import QeuError
from tests.backends.tiny_engine import (
    GREEDY,
    TEXTS,
    generate,
    live_rows,
    load_tiny,
    tagged,
    tiny_local,
)

ABSURD = 1 << 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch-run")


@pytest.fixture
def model(folder: Path) -> LocalModel:
    return tiny_local(folder)


@contextmanager
def hungry(model: LocalModel, too_much: Callable[[object], bool]) -> Iterator[list[tuple]]:
    """Asks for absurd memory whenever `too_much` says so of the ids; yields the shapes seen."""
    import torch

    shapes: list[tuple] = []

    def eat(module: object, args: tuple) -> None:
        shapes.append(tuple(args[0].shape))
        if too_much(args[0]):
            torch.empty(ABSURD, dtype=torch.uint8)

    hook = model._model.get_input_embeddings().register_forward_pre_hook(eat)
    try:
        yield shapes
    finally:
        hook.remove()


def heard(pieces: list[Piece]) -> list[str]:
    """What was streamed, by row."""
    rows = sorted({piece.row for piece in pieces})
    return ["".join(piece.text for piece in pieces if piece.row == row) for row in rows]


def test_a_batch_that_is_too_large_goes_on_in_halves(model):
    alone = [generate(model, [text], GREEDY)[0].text for text in TEXTS]
    whole: list[Piece] = []
    generate(model, TEXTS, GREEDY, emit=whole.append)
    pieces: list[Piece] = []
    with hungry(model, lambda ids: ids.shape[0] > 2) as shapes:
        done = generate(model, TEXTS, GREEDY, emit=pieces.append)
    assert [one.error for one in done] == [""] * len(TEXTS)
    assert [one.text for one in done] == alone
    assert max(shape[0] for shape in shapes) == len(TEXTS)
    # once as 8, once as each 4, then twos that fit
    assert [shape[0] for shape in shapes if shape[0] > 2] == [8, 4, 4]
    assert heard(pieces) == heard(whole)
    assert {one.receipt.batch for one in done} == {2}


def test_rows_go_on_where_they_were_when_memory_runs_out_on_the_way(model):
    whole: list[Piece] = []
    alone = [one.text for one in generate(model, TEXTS[:4], GREEDY, emit=whole.append)]
    steps = []

    def late(ids) -> bool:
        if ids.shape[0] == 4:
            steps.append(ids.shape[1])
        return ids.shape[0] == 4 and steps.count(1) > 5

    pieces: list[Piece] = []
    with hungry(model, late):
        done = generate(model, TEXTS[:4], GREEDY, emit=pieces.append)
    assert steps.count(1) == 6
    assert [one.text for one in done] == alone
    assert {one.finish_reason for one in done} <= {"length", "stop", "loop"}
    assert heard(pieces) == heard(whole)


def test_drawn_rows_draw_the_same_whether_interrupted_or_not(model):
    sampling = replace(GREEDY, greedy=False, temperature=0.8, repetition_penalty=1.3)
    whole = [one.token_ids for one in generate(model, TEXTS[:2], sampling)]
    seen = []

    def once(ids) -> bool:
        seen.append(ids.shape)
        return len(seen) == 8

    with hungry(model, once):
        done = generate(model, TEXTS[:2], sampling)
    assert len(seen) > 8
    assert [one.token_ids for one in done] == whole


def test_a_single_row_that_does_not_fit_ends_with_numbers_and_the_others_finish(model):
    widths = [model.prepare(tagged(text)).tokens for text in TEXTS[:4]]
    width = max(widths)
    long = widths.index(width)
    second = sorted(widths)[-2]
    with hungry(model, lambda ids: ids.shape[1] > second):
        done = generate(model, TEXTS[:4], GREEDY)
    assert [one.finish_reason == "error" for one in done] == [at == long for at in range(4)]
    error = done[long].error
    assert "the memory is full. One text of " in error
    assert f"{width + GREEDY.max_new_tokens:,} tokens" in error
    assert error.endswith("Shorten the text, ask for fewer tokens, or unload another model.")
    assert generate(model, TEXTS[:1], GREEDY)[0].error == ""
    assert not model.busy


def test_exact_rows_wait_for_the_others_but_are_never_gone_on_with(model):
    fine = [one.text for one in generate(model, TEXTS[:3], GREEDY, exact=True)]
    seen = []

    def second_batch_first_time(ids) -> bool:
        seen.append(ids.shape)
        return len(seen) == 2

    with hungry(model, second_batch_first_time):
        done = generate(model, TEXTS[:3], GREEDY, exact=True)
    assert [one.text for one in done] == fine
    seen.clear()
    with hungry(model, lambda ids: (seen.append(1), len(seen) == 20)[1]):
        done = generate(model, TEXTS[:3], GREEDY, exact=True)
    failed = [one for one in done if one.finish_reason == "error"]
    assert len(failed) == 1
    assert failed[0].new_tokens > 0
    assert "the memory is full" in failed[0].error


def test_other_failures_are_not_tried_again(model):
    calls = []

    def breaks(module: object, args: tuple) -> None:
        calls.append(1)
        raise RuntimeError("a broken kernel")

    hook = model._model.get_input_embeddings().register_forward_pre_hook(breaks)
    done = generate(model, TEXTS[:4], GREEDY)
    hook.remove()
    assert len(calls) == 1
    assert {one.error for one in done} == {"tiny-llama failed (RuntimeError: a broken kernel)."}


def test_torchs_own_words_are_recognised():
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(ABSURD, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_a_load_that_does_not_fit_is_freed_and_explained_with_numbers(tmp_path, monkeypatch):
    import torch
    from transformers import LlamaForCausalLM

    from qeu.backends.shelf import Shelf
    from qeu.core.settings import Settings
    from tests.tiny_checkpoints import build_checkpoint

    tiny = build_checkpoint(tmp_path / "tiny", "llama")
    shelf = Shelf(Settings(cache=tmp_path, adapters=tmp_path / "adapters", device="cpu"))
    begin = LlamaForCausalLM.__init__

    def greedy_init(self, config) -> None:
        begin(self, config)
        with torch.device("cpu"):
            torch.empty(ABSURD, dtype=torch.uint8)

    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "__init__", greedy_init)
        words = r"did not fit into the memory .* in float32: 0\.\d GB were expected, and [\d.]+ GB"
        with pytest.raises(QeuError, match=words):
            shelf.load(str(tiny), precision="float32")
    assert shelf.loaded() == []
    assert shelf.load(str(tiny), precision="float32").name


@pytest.mark.parametrize(
    ("budget", "most", "sizes"),
    [(float("inf"), 64, [4]), (float("inf"), 3, [3, 1]), (0, 64, [1, 1, 1, 1])],
)
def test_groups_keep_to_the_budget_and_the_most(folder, budget, most, sizes):
    _, tokenizer = load_tiny(folder, "llama")
    rows = live_rows(tokenizer, TEXTS[:4])
    groups = group_rows(
        rows, most=most, bytes_per_token=10, budget=budget, can_mix=lambda adapters: True
    )
    assert [len(group) for group in groups] == sizes
