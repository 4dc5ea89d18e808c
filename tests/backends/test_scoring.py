"""Probabilities of texts behind a prompt: those of a plain forward pass over the joined ids."""

import threading

import pytest

from qeu.backends.local import LocalModel
from qeu.backends.scoring import MOST_TOGETHER, ScoreRow, TokenRow, group_rows
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.prompts import Message, Prompt, Segment
from qeu.core.settings import Settings
from tests.backends.tiny_engine import TEXTS, build_adapter, tagged, tiny_local

CHOICES = (" open question", " translation", " math", " 翻訳", " x")


def plain_forward(model: LocalModel, row: ScoreRow) -> list[float]:
    """What transformers says: each choice joined with its prompt, log-softmax over all of it."""
    import torch

    prompt = model.prepare(row.prompt).token_ids
    found = []
    for choice in row.choices:
        ids = list(model._encoder.encode(choice))
        joined = torch.tensor([[*prompt, *ids]], device=model._model.device)
        with torch.inference_mode():
            steps = model._model(joined).logits[0].float().log_softmax(-1)
        at = range(len(prompt) - 1, len(prompt) - 1 + len(ids))
        found.append(sum(float(steps[place, id_]) for place, id_ in zip(at, ids, strict=True)))
    return found


def check(model: LocalModel, rows: list[ScoreRow], adapter: str | None = None) -> None:
    scored = model.score(rows, adapter)
    assert len(scored) == len(rows)
    for row, scores in zip(rows, scored, strict=True):
        assert [s.log_probability for s in scores] == pytest.approx(
            plain_forward(model, row), abs=2e-3
        )
        tokens = [len(model._encoder.encode(choice)) for choice in row.choices]
        assert [s.tokens for s in scores] == tokens


@pytest.mark.parametrize("arch", ["llama", "phi"])
def test_scores_are_those_of_a_plain_forward_pass(tmp_path, arch):
    model = tiny_local(tmp_path, arch)
    check(model, [ScoreRow(tagged(text), CHOICES) for text in TEXTS])
    check(model, [ScoreRow(tagged("one"), ("a",)), ScoreRow(tagged(TEXTS[2]), ("b", "c"))])


def test_an_adapter_speaks_where_it_is_named_and_only_there(tmp_path):
    model = tiny_local(tmp_path, adapters=tmp_path / "adapters")
    build_adapter(tmp_path / "llama", tmp_path / "adapters" / "poems")
    rows = [ScoreRow(tagged(text), CHOICES[:2]) for text in TEXTS[:3]]
    base = model.score(rows)
    check(model, rows, "poems")  # the plain pass that follows runs with what is active
    assert model.score(rows, "poems") != base
    assert model.score(rows) == base
    with pytest.raises(QeuError, match="nobody"):
        model.score(rows, "nobody")


def test_rows_are_computed_together_as_memory_allows():
    rows = [TokenRow((1,) * length, ((1,), (2,), (3,))) for length in (5, 50, 5, 5)]
    assert group_rows(rows, 1, float("inf")) == [[1, 0, 2, 3]]
    assert group_rows(rows, 1, 0.0) == [[1], [0], [2], [3]]
    assert group_rows(rows, 10, 4 * 50 * 10) == [[1], [0, 2, 3]]
    many = [TokenRow((1,), ((1,),) * 10)] * 20
    assert max(map(len, group_rows(many, 1, float("inf")))) == MOST_TOGETHER // 11
    long = [TokenRow((1,) * 5000, ((1,),))] * 2
    assert group_rows(long, 1, float("inf")) == [[0], [1]]


def test_a_stop_a_long_prompt_and_a_model_that_is_gone(tmp_path):
    model = tiny_local(tmp_path)
    rows = [ScoreRow(tagged("one"), CHOICES)]
    stop = threading.Event()
    stop.set()
    assert model.score(rows, stop=stop) == []
    with pytest.raises(QeuError, match=r"have \d+,\d+ tokens; tiny-llama reads"):
        model.score([ScoreRow(tagged("many words " * 5000), CHOICES)])
    with model._lock:
        assert model.score(rows, stop=stop) == []  # does not wait for ever
    assert model.close()
    with pytest.raises(QeuError, match="unloaded meanwhile"):
        model.score(rows)


@pytest.mark.slow
def test_the_embedded_model_agrees_with_transformers(embedded_path, tmp_path):
    shelf = Shelf(Settings(cache=embedded_path.parent, adapters=tmp_path))
    model = shelf.load("smollm2-135m", exact=True)
    rows = []
    for question in ("What is 12 times 13?", "Write a poem about the rain in spring.", "Hi"):
        turn = Message("user", (Segment("instruction", question),))
        rows.append(ScoreRow(Prompt("chat", "both", messages=(turn,), prefill="Kind:"), CHOICES))
    check(model, rows)
    best = max(model.score(rows)[0], key=lambda score: score.log_probability)
    assert best.log_probability < 0
