"""Hosted models against a real OpenAI-compatible server, `transformers serve`, in a process."""

import os
import threading
from dataclasses import replace

import pytest

from qeu.backends.base import Row
from qeu.backends.catalog import find_model
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.prompts import render
from qeu.core.record import Record
from qeu.core.roles import find_role
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from tests.real_server import MODEL, serve_transformers

pytestmark = pytest.mark.slow

GREEDY = Sampling(greedy=True, repetition_penalty=1.0, max_new_tokens=24)
DRAWN = Sampling(temperature=1.5, top_p=1.0, top_k=0, repetition_penalty=1.0, max_new_tokens=16)


@pytest.fixture(scope="module")
def keyring(embedded_path):
    with serve_transformers(embedded_path) as server:
        yield Keyring().with_server(f"{server.address}/v1", "real")


@pytest.fixture(scope="module")
def model(keyring):
    return HostedPool().open(find_model(f"server:real/{MODEL}"), keyring)


def ask(question="Where does coffee grow?", layout="chat"):
    return render(Record(instruction=question), layout, find_role("assistant"), "answer").prompt


def generate(model, sampling, prompt=None, emit=None, stop=None):
    (done,) = model.generate([Row(prompt or ask(), sampling, None, stop)], emit)
    return done


def test_it_lists_the_model_it_has(keyring):
    assert MODEL in [card.id for card in HostedPool().list_models("server:real", keyring)]


def test_pieces_make_up_the_text_and_the_server_counts_its_tokens(model):
    pieces = []
    done = generate(model, replace(GREEDY, max_new_tokens=8), emit=pieces.append)
    assert (done.finish_reason, done.error) == ("length", "")
    assert "".join(piece.text for piece in pieces) == done.text
    assert len([piece for piece in pieces if piece.text]) > 5
    assert done.new_tokens == pieces[-1].new_tokens == 8
    assert done.prompt_tokens > 20
    assert pieces[-1].finish_reason == "length"
    assert done.thinking == ""


def test_greedy_text_is_that_of_the_engine_on_this_machine(model):
    local = Shelf(Settings.from_env(os.environ)).load("smollm2-135m", exact=True)
    for question in ("Where does coffee grow?", "Write a short poem about a lighthouse."):
        (here,) = local.generate([Row(ask(question), GREEDY)], exact=True)
        there = generate(model, GREEDY, ask(question))
        assert there.text == here.text
        assert there.prompt_tokens == here.prompt_tokens


def test_settings_beyond_the_standard_reach_it_and_stand_in_the_receipt(model):
    first, again = (generate(model, replace(DRAWN, seed=1)) for _ in range(2))
    other = generate(model, replace(DRAWN, seed=2))
    narrow = generate(model, replace(DRAWN, seed=2, top_k=1))
    assert first.text == again.text
    assert len({first.text, other.text, narrow.text}) == 3
    assert narrow.text == generate(model, replace(GREEDY, max_new_tokens=16)).text
    sent = {p.name: p.sent for p in narrow.receipt.parameters}
    assert (sent["top_k"], sent["temperature"], sent["max_new_tokens"]) == (1, 1.5, 16)


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it(model):
    whole = generate(model, GREEDY).text
    word = whole.split()[3]
    stopped = generate(model, GREEDY, replace(ask(), stop=(f" {word}",)))
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.partition(f" {word}")[0]


def test_a_cancelled_answer_leaves_the_server_free_for_the_next(model):
    stop = threading.Event()
    done = generate(
        model,
        replace(GREEDY, max_new_tokens=1_000),
        emit=lambda piece: stop.set() if piece.text else None,
        stop=stop,
    )
    assert done.finish_reason == "cancelled"
    assert done.text
    assert generate(model, replace(GREEDY, max_new_tokens=2)).finish_reason == "length"


def test_a_tagged_layout_is_continued_as_plain_text(model):
    done = generate(model, GREEDY, ask(layout="bonsai-v2"))
    assert (done.error, done.layout) == ("", "bonsai-v2")
    assert done.text
    local = Shelf(Settings.from_env(os.environ)).load("smollm2-135m", exact=True)
    (here,) = local.generate([Row(ask(layout="bonsai-v2"), GREEDY)], exact=True)
    assert done.text == here.text


def test_a_model_that_is_not_there_is_refused_in_a_sentence(keyring):
    try:
        other = HostedPool().open(find_model("server:real/some-owner/other-model"), keyring)
        error = generate(other, GREEDY).error
    except QeuError as refused:
        error = str(refused)
    assert "other-model" in error
    assert error.endswith(".")
