"""Losses of given texts: those of transformers with the prompt masked, however they are batched."""

import threading

import pytest

from qeu.backends.local import LocalModel
from qeu.backends.losses import LossLine, LossRow, TextLoss, group_lines, measure_losses
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.prompts import Message, Prompt, Segment, render
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.core.settings import Settings
from tests.backends.tiny_engine import TEXTS, build_adapter, tagged, tiny_local

ROWS = [LossRow(tagged(text), TEXTS[at - 3]) for at, text in enumerate(TEXTS)]


def plain_loss(model: LocalModel, row: LossRow) -> TextLoss:
    """Transformers' own loss of one row, the prompt's labels masked."""
    import torch

    prompt = list(model.prepare(row.prompt).token_ids)
    completion = model._tokenizer(
        row.completion, add_special_tokens=False, split_special_tokens=True
    ).input_ids
    completion.append(model._tokenizer.eos_token_id)
    ids = torch.tensor([prompt + completion], device=model._model.device)
    labels = torch.tensor([[-100] * len(prompt) + completion], device=model._model.device)
    with torch.inference_mode():
        loss = model._model(input_ids=ids, labels=labels).loss
    return TextLoss(float(loss), len(completion))


def measure(model: LocalModel, rows: list[LossRow], adapter: str | None = None) -> list[TextLoss]:
    plan = model.plan_losses(rows)
    assert not plan.refused
    found = {
        line.row: loss
        for batch in plan.batches
        for line, loss in zip(batch, model.losses(batch, adapter), strict=True)
    }
    return [found[at] for at in range(len(rows))]


def check(model: LocalModel, rows: list[LossRow], adapter: str | None = None) -> None:
    for row, loss in zip(rows, measure(model, rows, adapter), strict=True):
        plain = plain_loss(model, row)
        assert loss.loss == pytest.approx(plain.loss, abs=2e-4)
        assert loss.tokens == plain.tokens


@pytest.mark.parametrize("arch", ["llama", "phi"])
def test_a_loss_is_that_of_transformers_with_the_prompt_masked(tmp_path, arch):
    model = tiny_local(tmp_path, arch)
    check(model, ROWS)
    record = Record("Why?", "Look up.", "First read.", "Because.", language="en")
    for layout in ("chat", "bonsai-v2", "bonsai-v1"):
        rendered = render(record, layout, ROLES["assistant"], "answer")
        check(model, [LossRow(rendered.prompt, rendered.completion_text)])


def test_an_adapter_speaks_where_it_is_named_and_only_there(tmp_path):
    model = tiny_local(tmp_path, adapters=tmp_path / "adapters")
    build_adapter(tmp_path / "llama", tmp_path / "adapters" / "poems")
    base = measure(model, ROWS)
    check(model, ROWS, "poems")  # the plain pass that follows runs with what is active
    assert measure(model, ROWS, "poems") != base
    assert measure(model, ROWS) == base
    batch = model.plan_losses(ROWS).batches[0]
    with pytest.raises(QeuError, match="'poems' was changed meanwhile"):
        model.losses(batch, "poems", adapter_hash="another")
    with pytest.raises(QeuError, match="nobody"):
        model.losses(batch, "nobody")


def test_lines_of_like_length_share_a_batch_of_so_many_tokens():
    lines = [LossLine(at, (1,) * n, (2, 3)) for at, n in enumerate((5, 50, 6, 5, 300))]
    groups = [[line.row for line in group] for group in group_lines(lines, 110)]
    assert groups == [[4], [1, 2], [0, 3]]
    assert [len(g) for g in group_lines(lines, 0)] == [1] * 5
    assert list(group_lines([], 100)) == []


def test_a_row_that_is_too_long_is_refused_and_the_others_are_computed(tmp_path):
    model = tiny_local(tmp_path)
    long = LossRow(tagged("many words " * 5000), "a")
    plan = model.plan_losses([long, *ROWS])
    assert list(plan.refused) == [0]
    assert "tokens; tiny-llama reads 8,192" in plan.refused[0]
    assert sorted(line.row for batch in plan.batches for line in batch) == list(range(1, 9))


def test_the_batches_shrink_with_the_memory_that_is_free(tmp_path):
    roomy = tiny_local(tmp_path)
    tight = tiny_local(tmp_path, free_bytes=lambda: 0)
    assert len(roomy.plan_losses(ROWS).batches) == 1
    assert [len(batch) for batch in tight.plan_losses(ROWS).batches] == [1] * len(ROWS)
    assert [loss.loss for loss in measure(tight, ROWS)] == pytest.approx(
        [loss.loss for loss in measure(roomy, ROWS)], abs=2e-4
    )


def test_a_stop_and_a_model_that_is_gone(tmp_path):
    model = tiny_local(tmp_path)
    batch = model.plan_losses(ROWS).batches[0]
    stop = threading.Event()
    stop.set()
    with model._lock:
        assert model.losses(batch, stop=stop) == []  # does not wait for ever
    assert model.close()
    with pytest.raises(QeuError, match="unloaded meanwhile"):
        model.losses(batch)


class Narrow:
    """A model that has room for so many rows at once."""

    def __init__(self, model: object, room: int) -> None:
        self.model, self.room, self.device = model, room, model.device
        self.sizes: list[int] = []

    def get_memory_footprint(self) -> int:
        return self.model.get_memory_footprint()

    def __call__(self, input_ids, **more):
        self.sizes.append(len(input_ids))
        if len(input_ids) > self.room:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return self.model(input_ids=input_ids, **more)


def test_a_batch_that_fills_the_memory_goes_on_in_halves(tmp_path):
    model = tiny_local(tmp_path)
    batch = model.plan_losses(ROWS).batches[0]
    whole = measure_losses(model._model, batch)
    narrow = Narrow(model._model, 3)
    freed = []
    found = measure_losses(narrow, batch, lambda: freed.append(1))
    assert narrow.sizes == [8, 4, 2, 2, 4, 2, 2]
    assert len(freed) == 3
    assert [one.loss for one in found] == pytest.approx([one.loss for one in whole], abs=2e-4)
    narrow.room = 0
    with pytest.raises(QeuError, match="The loss could not be computed: the memory is full"):
        measure_losses(narrow, batch)


def test_scores_that_are_no_numbers_are_an_error(tmp_path):
    model = tiny_local(tmp_path)
    model._model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(QeuError, match="not numbers"):
        model.losses(model.plan_losses(ROWS).batches[0])


@pytest.mark.slow
def test_the_embedded_model_agrees_with_transformers(embedded_path, tmp_path):
    shelf = Shelf(Settings(cache=embedded_path.parent, adapters=tmp_path))
    model = shelf.load("smollm2-135m", exact=True)
    rows = []
    for question, answer in (("What is 12 times 13?", "It is 156."), ("Hi", "Hello! " * 40)):
        turn = Message("user", (Segment("instruction", question),))
        rows.append(LossRow(Prompt("chat", "answer", messages=(turn,)), answer))
        rows.append(LossRow(tagged(f"<|instruction|>{question}\n<|response|>"), answer))
    check(model, rows)
    right, wrong = (LossRow(rows[0].prompt, text) for text in ("It is 156.", "Purple teapot gas."))
    assert measure(model, [right])[0].loss < measure(model, [wrong])[0].loss
