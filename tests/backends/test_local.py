"""A loaded model: receipts, errors that stay in their row, stops, and adapters side by side."""

import json
import threading
import time
from pathlib import Path

import pytest

from qeu.backends import local
from qeu.backends.adapter_files import find_adapter
from qeu.backends.base import Piece, Row
from qeu.backends.local import LocalModel
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from tests.backends.tiny_engine import (
    GREEDY,
    TEXTS,
    build_adapter,
    generate,
    tagged,
    tiny_local,
)
from tests.tiny_checkpoints import build_checkpoint

DRAWN = Sampling(temperature=1.5, top_k=0, max_new_tokens=20, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints, and the adapters one.v1, two and dora."""
    found = tmp_path_factory.mktemp("local")
    base = build_checkpoint(found / "llama", "llama")
    build_adapter(base, found / "adapters" / "one.v1", seed=1)
    build_adapter(base, found / "adapters" / "two", seed=2, r=8)
    build_adapter(base, found / "adapters" / "dora", seed=3, use_dora=True)
    build_adapter(base, found / "adapters" / "foreign", seed=4, base_name="phi-2")
    return found


@pytest.fixture(autouse=True)
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)


@pytest.fixture
def model(folder: Path) -> LocalModel:
    return tiny_local(folder, adapters=folder / "adapters")


def texts_of(found) -> list[tuple[int, ...]]:
    assert [one.error for one in found] == [""] * len(found)
    return [one.token_ids for one in found]


def test_a_generation_tells_all_there_is_to_tell(model):
    sampling = Sampling(temperature=0.5, top_k=0, min_p=0.1, top_p=1, max_new_tokens=6, seed=11)
    pieces: list[Piece] = []
    one = generate(model, ["First read the question"], sampling, emit=pieces.append)[0]
    assert (one.model, one.seed, one.layout, one.target) == (
        "tiny-llama",
        11,
        "bonsai-v2",
        "answer",
    )
    assert one.prompt_text == "<|begin_of_text|>First read the question"
    assert one.prompt_tokens == model.prepare(tagged("First read the question")).tokens
    assert one.new_tokens == len(one.token_ids) <= 6
    assert one.finish_reason in ("length", "stop")
    assert 0 < one.ttft_s < 60
    assert one.tokens_per_s > 0
    assert (pieces[0].new_tokens, pieces[0].text) == (0, "")
    assert [p.new_tokens for p in pieces[1:]] == list(range(1, one.new_tokens + 1))
    assert "".join(p.text for p in pieces) == one.text
    assert pieces[1].seconds == pytest.approx(one.ttft_s)
    receipt = one.receipt
    assert (receipt.engine, receipt.device, receipt.batch) == ("transformers", "cpu", 1)
    assert set(receipt.versions) == {"qeu", "torch", "transformers"}
    sent = {p.name: (p.asked, p.sent, p.why) for p in receipt.parameters}
    assert set(sent) == set(sampling.to_json())
    assert sent["temperature"] == (0.5, 0.5, "")
    assert sent["min_p"] == (0.1, 0.1, "")
    assert sent["top_k"] == (0, None, "0 is off.")
    assert sent["top_p"] == (1, None, "1 is off.")
    assert sent["repetition_penalty"] == (1.1, 1.1, "")


def test_the_receipt_of_a_greedy_row_says_what_it_dropped(model):
    one = generate(model, ["First"], Sampling(temperature=0, max_new_tokens=3))[0]
    sent = {p.name: p for p in one.receipt.parameters}
    assert (sent["greedy"].asked, sent["greedy"].sent) == (False, True)
    assert sent["greedy"].why == "Temperature 0 means greedy."
    for name in ("temperature", "top_p", "top_k", "min_p", "seed"):
        assert sent[name].sent is None
        assert sent[name].why.startswith("Greedy takes")
    assert sent["repetition_penalty"].sent == 1.1


def test_the_same_request_gives_the_same_text_and_another_seed_another(model):
    first, again = (texts_of(generate(model, TEXTS[:2], DRAWN)) for _ in range(2))
    assert first == again
    other = Sampling(**(DRAWN.to_json() | {"seed": 4}))
    assert texts_of(generate(model, TEXTS[:2], other)) != first


def test_a_prompt_too_long_fails_alone_and_says_by_how_much(folder):
    model = tiny_local(folder, "phi")
    long = "a b c " * 2_000
    tokens = model.prepare(tagged(long)).tokens
    first, second = generate(model, [long, "First read"])
    assert first.finish_reason == "error"
    assert f"{tokens:,} tokens, {tokens + 1 - 2_048:,} more than" in first.error
    assert first.receipt is None
    assert second.finish_reason in ("length", "stop")


def test_max_new_tokens_shrinks_to_what_the_context_has_room_for(folder):
    model = tiny_local(folder, "phi")
    text = "a" * 4_000
    while model.prepare(tagged(text)).tokens > 2_040:
        text = text[:-1]
    room = 2_048 - model.prepare(tagged(text)).tokens
    one = generate(model, [text], Sampling(greedy=True, max_new_tokens=100))[0]
    sent = {p.name: p for p in one.receipt.parameters}["max_new_tokens"]
    assert (sent.asked, sent.sent) == (100, room)
    assert "room" in sent.why
    assert one.new_tokens == room


def test_exact_needs_float32_and_gives_the_same_beside_anything(model):
    alone = texts_of(generate(model, TEXTS[:1], DRAWN, exact=True))
    together = generate(model, TEXTS, DRAWN, ["one.v1", *[None] * 7], exact=True)
    assert texts_of(together)[0] != alone[0]
    beside = generate(model, TEXTS, DRAWN, [None, *["two"] * 7], exact=True)
    assert texts_of(beside)[0] == alone[0]
    receipt = beside[0].receipt
    assert (receipt.exact, receipt.batch, receipt.notes) == (True, 1, ())
    model.dtype = "bfloat16"
    with pytest.raises(QeuError, match="exact setting needs float32"):
        generate(model, TEXTS[:1], DRAWN, exact=True)


def test_exact_rows_stream_in_turns(model):
    pieces: list[Piece] = []
    generate(model, TEXTS[:2], DRAWN, emit=pieces.append, exact=True)
    first_end = max(at for at, p in enumerate(pieces) if p.row == 0)
    second_begin = min(at for at, p in enumerate(pieces) if p.row == 1 and p.new_tokens)
    assert second_begin < first_end


def test_mixed_rows_equal_separate_runs(model):
    names = [None, "one.v1", "two", "one.v1", None, "two"]
    texts = ["First read the question"] * 6
    alone = {n: texts_of(generate(model, texts[:1], GREEDY, [n]))[0] for n in set(names)}
    assert len(set(alone.values())) == 3
    mixed = texts_of(generate(model, texts, GREEDY, names))
    assert mixed == [alone[name] for name in names]
    again = generate(model, texts[:1], GREEDY)
    assert texts_of(again) == [alone[None]]
    assert set(model.adapters) == {"one.v1", "two"}


def test_the_base_is_the_base_to_the_bit_once_adapters_are_loaded(folder, model):
    untouched = texts_of(generate(tiny_local(folder), TEXTS, DRAWN))
    generate(model, TEXTS[:1], DRAWN, ["one.v1"])
    assert texts_of(generate(model, TEXTS, DRAWN)) == untouched
    one = generate(model, TEXTS[:1], DRAWN, ["one.v1"])[0]
    assert one.adapter == "one.v1"
    assert one.adapter_hash == find_adapter(folder / "adapters", "one.v1").hash
    assert "peft" in one.receipt.versions


def test_an_adapter_that_cannot_share_a_batch_runs_in_its_own(model):
    names = [None, "dora", "one.v1"]
    texts = ["First read the question"] * 3
    alone = [texts_of(generate(model, texts[:1], GREEDY, [name]))[0] for name in names]
    assert len(set(alone)) == 3
    assert texts_of(generate(model, texts, GREEDY, names)) == alone


def test_a_retrained_adapter_is_loaded_anew(folder, model, tmp_path):
    base = folder / "llama"
    model._finder.folder = tmp_path
    build_adapter(base, tmp_path / "mine", seed=1)
    before = texts_of(generate(model, TEXTS[:1], GREEDY, ["mine"]))
    build_adapter(base, tmp_path / "mine", seed=9, r=16)
    after = texts_of(generate(model, TEXTS[:1], GREEDY, ["mine"]))
    assert before != after
    fresh = tiny_local(folder, adapters=tmp_path)
    assert texts_of(generate(fresh, TEXTS[:1], GREEDY, ["mine"])) == after


def test_adapters_that_cannot_be_used_fail_in_their_row_only(folder, model, tmp_path):
    names = ["foreign", "nowhere", None]
    found = generate(model, TEXTS[:3], GREEDY, names)
    assert "trained on phi-2, but tiny-llama is loaded" in found[0].error
    assert "There is no adapter 'nowhere'" in found[1].error
    assert found[2].finish_reason == "length"
    phi = build_checkpoint(tmp_path / "phi", "phi")
    wide = {"target_modules": ["fc1"]}
    build_adapter(phi, tmp_path / "adapters" / "shape", base_name="tiny-llama", **wide)
    model._finder.folder = tmp_path / "adapters"
    found = generate(model, TEXTS[:2], GREEDY, ["shape", None])
    assert "does not fit the loaded model" in found[0].error
    assert texts_of(found[1:]) == texts_of(generate(tiny_local(folder), TEXTS[1:2], GREEDY))
    path = build_adapter(folder / "llama", tmp_path / "adapters" / "more")
    config = (path / "adapter_config.json").read_text("utf-8")
    fewer = json.loads(config) | {"target_modules": ["q_proj"]}
    (path / "adapter_config.json").write_text(json.dumps(fewer))
    found = generate(model, TEXTS[:1], GREEDY, ["more"])
    assert "v_proj" in found[0].error
    assert not [name for name, _ in model._model.named_modules() if "lora" in name]
    model._finder.folder = folder / "adapters"
    assert generate(model, TEXTS[:1], GREEDY, ["one.v1"])[0].finish_reason == "length"


def test_failures_of_the_machine_end_the_rows_and_leave_the_model_usable(model, monkeypatch):
    forward = model._model.forward

    def fails(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(model._model, "forward", fails)
    pieces: list[Piece] = []
    found = generate(model, TEXTS[:2], emit=pieces.append)
    assert {one.finish_reason for one in found} == {"error"}
    assert [p.row for p in pieces if p.finish_reason == "error"] == [0, 1]
    assert "the memory is full" in found[0].error
    monkeypatch.setattr(model._model, "forward", forward)
    assert generate(model, TEXTS[:1])[0].finish_reason == "length"
    assert not model.busy


def test_what_emit_raises_is_the_callers(model):
    def emit(piece: Piece) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        generate(model, TEXTS[:1], emit=emit)
    assert not model.busy


def test_rows_stopped_before_their_turn_compute_nothing(model, monkeypatch):
    began, gate = threading.Event(), threading.Event()

    def hold(piece: Piece) -> None:
        began.set()
        gate.wait(10)

    other = threading.Thread(target=lambda: generate(model, TEXTS[:1], emit=hold))
    other.start()
    assert began.wait(10)
    stop = threading.Event()
    row = Row(tagged("First"), GREEDY, stop=stop)
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    one = model.generate([row])[0]
    assert (one.finish_reason, one.text, one.new_tokens) == ("cancelled", "", 0)
    assert time.monotonic() - started < 3
    assert model.busy
    assert not model.close()
    gate.set()
    other.join(10)


def test_an_unloaded_model_says_so(model):
    assert model.close()
    with pytest.raises(QeuError, match="was unloaded meanwhile"):
        generate(model, TEXTS[:1])
    assert model.adapters == ()


def test_more_rows_than_fit_run_one_group_after_another(model, monkeypatch):
    expected = texts_of(generate(model, TEXTS, GREEDY))
    monkeypatch.setattr(local, "MAX_ROWS", 3)
    found = generate(model, TEXTS, GREEDY)
    assert texts_of(found) == expected
    assert sorted(one.receipt.batch for one in found) == [2, 2, 3, 3, 3, 3, 3, 3]
    monkeypatch.setattr(model, "_free_bytes", lambda: 1)
    found = generate(model, TEXTS, GREEDY)
    assert {one.receipt.batch for one in found} == {1}
    assert texts_of(found) == expected
