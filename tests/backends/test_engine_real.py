"""The engine on the embedded model: the tokens of `generate`, exact restarts, quick stops."""

import json
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import pytest

from benchmarks.engine import SYSTEM
from qeu.backends.base import Row
from qeu.backends.local import LocalModel
from qeu.backends.shelf import Shelf
from qeu.core.prompts import Prompt, render
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from tests.backends.tiny_engine import build_adapter

pytestmark = pytest.mark.slow

QUESTIONS = (
    "What is the capital of Portugal?",
    "Write a story about a lighthouse keeper.",
    "List three fruits.",
    "Explain to a child why the sky is blue, in a few sentences, with an example from the kitchen.",
    "日本の首都はどこですか。",
    "Which is heavier, a kilogram of feathers or a kilogram of iron?",
    "Hi",
    "Sort these numbers: 42, 7, 19, 3, 88, 61, 5, 99, 23, 71, 12, 36.",
)


@cache
def shelf_of(cache: Path, adapters: Path) -> Shelf:
    return Shelf(Settings(cache=cache, adapters=adapters))


@pytest.fixture
def shelf(cache_dir: Path, embedded_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return shelf_of(embedded_path.parent, tmp_path_factory.getbasetemp() / "adapters")


@pytest.fixture
def exact(shelf: Shelf) -> LocalModel:
    return shelf.load("smollm2-135m", exact=True)


def prompt_of(text: str) -> Prompt:
    # a wording of our own: the shipped one may change, and with it what the model answers
    return render(Record(text), "chat", Role("assistant", SYSTEM), "answer").prompt


def reference(model: LocalModel, text: str, penalty: float, tokens: int) -> list[int]:
    import torch

    ids = torch.tensor([model.prepare(prompt_of(text)).token_ids])
    out = model._model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        repetition_penalty=penalty,
        max_new_tokens=tokens,
        eos_token_id=sorted(model._end_ids),
    )
    return out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize(("penalty", "sizes"), [(1.0, (1, 8)), (1.1, (2,))])
def test_greedy_equals_generate_at_every_batch_size(exact, penalty, sizes, monkeypatch):
    monkeypatch.setattr("qeu.backends.live_row.tail_loop", lambda ids: None)
    settings = Sampling(greedy=True, repetition_penalty=penalty, max_new_tokens=40)
    expected = [reference(exact, text, penalty, 40) for text in QUESTIONS]
    assert {len(tokens) for tokens in expected} != {40}  # some of them end on their own
    for size in sizes:
        for at in range(0, 8, size):
            rows = [Row(prompt_of(text), settings) for text in QUESTIONS[at : at + size]]
            found = exact.generate(rows)
            assert [list(g.token_ids) for g in found] == expected[at : at + size]
    rows = [Row(prompt_of(text), settings) for text in QUESTIONS[:3]]
    found = exact.generate(rows, exact=True)
    assert [list(g.token_ids) for g in found] == expected[:3]


SCRIPT = """
import json, sys
from pathlib import Path
from qeu.backends.base import Row
from qeu.backends.shelf import Shelf
from qeu.core.settings import Settings
from tests.backends.test_engine_real import QUESTIONS, exact_request, prompt_of
model = Shelf(Settings(cache=Path(sys.argv[1]))).load("smollm2-135m", exact=True)
rows = [exact_request(), Row(prompt_of(QUESTIONS[3]), exact_request().sampling)]
print(json.dumps(model.generate(rows[: int(sys.argv[2])], exact=True)[0].token_ids))
"""


def exact_request() -> Row:
    sampling = Sampling(temperature=1.2, top_k=0, top_p=1, max_new_tokens=40, seed=5)
    return Row(prompt_of(QUESTIONS[1]), sampling)


def test_exact_gives_the_same_after_a_restart_and_beside_another_row(exact, embedded_path):
    here = exact.generate([exact_request()], exact=True)[0].token_ids
    assert len(here) == 40
    for rows in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(embedded_path.parent), rows],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(out.stdout) == list(here)


@pytest.mark.parametrize("is_exact", [False, True], ids=["plain", "exact"])
def test_a_stop_while_a_long_prompt_is_read_is_heard_at_once(shelf, is_exact):
    model = shelf.load("smollm2-135m", exact=is_exact)
    long = prompt_of("Count the rivers in this text. " + "The river is long and cold. " * 650)
    assert 4_000 < model.prepare(long).tokens < 6_000
    stop, begun = threading.Event(), threading.Event()
    settings = Sampling(max_new_tokens=5)
    done: list = []
    row = Row(long, settings, stop=stop)

    def run() -> None:
        done.extend(model.generate([row], lambda piece: begun.set(), exact=is_exact))

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(60)
    time.sleep(0.5)
    stopped = time.monotonic()
    stop.set()
    thread.join(60)
    taken = time.monotonic() - stopped
    assert done[0].finish_reason == "cancelled"
    assert done[0].new_tokens == 0
    # 0.3 s is the promise on a machine of one's own; tests run beside others
    assert taken < 3


def test_base_and_adapter_in_one_batch_equal_separate_runs(shelf, exact, embedded_path):
    path = shelf._settings.adapters / "loud"
    build_adapter(embedded_path, path, scale=0.03, base_name="smollm2-135m")
    settings = Sampling(greedy=True, max_new_tokens=24)
    prompt = prompt_of(QUESTIONS[3])
    names = [None, "loud"]
    alone = [exact.generate([Row(prompt, settings, name)])[0] for name in names]
    mixed = exact.generate([Row(prompt, settings, name) for name in names])
    assert [g.error for g in alone + mixed] == [""] * 4
    assert alone[0].token_ids != alone[1].token_ids
    assert [g.token_ids for g in mixed] == [g.token_ids for g in alone]


def test_the_plain_setting_answers_and_says_how_it_rounds(shelf):
    model = shelf.load("smollm2-135m")
    one = model.generate([Row(prompt_of(QUESTIONS[0]), Sampling(greedy=True))])[0]
    assert "Lisbon" in one.text
    assert one.finish_reason == "stop"
    assert one.receipt.dtype == model.dtype
    assert any("exact setting" in note for note in one.receipt.notes)
