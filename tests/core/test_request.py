"""The canonical request, its key and the adapter hash, held to their literal examples."""

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from qeu.core.prompts import Prompt, render
from qeu.core.record import Record
from qeu.core.request import Request, hash_adapter, hash_json
from qeu.core.roles import Role
from qeu.core.sampling import Sampling

CONTRACT = Path(__file__).parents[1] / "contract"
EXAMPLE = json.loads((CONTRACT / "request.json").read_text(encoding="utf-8"))
ADAPTER = json.loads((CONTRACT / "adapter_hash.json").read_text(encoding="utf-8"))
SYSTEM = Role("assistant", "Be kind.")


def _tagged() -> Request:
    record = Record(instruction="足し算", input="2 と 3")
    literal = EXAMPLE["request"]
    return Request(
        model=literal["model"],
        revision=literal["revision"],
        prompt=render(record, "bonsai-v2", SYSTEM, "reasoning").prompt,
        sampling=Sampling(),
        dtype="float32",
        exact=True,
    )


def _chat() -> Request:
    literal = EXAMPLE["chat_request"]
    return Request(
        model=literal["model"],
        revision=literal["revision"],
        prompt=render(Record(instruction="Add.", input="2 and 3"), "chat", SYSTEM, "both").prompt,
        sampling=Sampling(0.0, 1.0, 0, 0.05, 1.0, 64, 0, True),
        adapter="poems",
        adapter_hash=literal["adapter_hash"],
        base_url=literal["base_url"],
        sample=3,
    )


@pytest.mark.parametrize(
    ("make", "name", "key"), [(_tagged, "request", "key"), (_chat, "chat_request", "chat_key")]
)
def test_the_request_is_the_literal_and_its_key_the_literals_hash(make, name, key):
    text = json.dumps(EXAMPLE[name], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == EXAMPLE[key]
    assert make().canonical() == EXAMPLE[name]
    assert make().key() == EXAMPLE[key]


def test_the_key_changes_with_everything_that_the_text_depends_on():
    request = _chat()
    changes = {
        "model": "other",
        "revision": "other",
        "prompt": replace(request.prompt, prefill=""),
        "sampling": replace(request.sampling, seed=1),
        "adapter_hash": None,
        "base_url": None,
        "dtype": "float16",
        "exact": True,
        "sample": 4,
    }
    assert set(changes) == {f.name for f in fields(Request)} - {"adapter"}
    keys = {replace(request, **{name: value}).key() for name, value in changes.items()}
    assert len(keys | {request.key()}) == len(changes) + 1


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"top_k": 5},
        {"min_p": 0.1},
        {"repetition_penalty": 1.2},
        {"max_new_tokens": 5},
        {"seed": 5},
        {"greedy": True},
    ],
)
def test_every_sampling_field_is_part_of_the_key(sampling):
    request = _tagged()
    assert replace(request, sampling=replace(request.sampling, **sampling)).key() != request.key()


def test_an_adapters_name_is_not_part_of_the_key():
    assert replace(_chat(), adapter="renamed").key() == _chat().key()


def test_texts_with_lone_surrogates_have_keys_of_their_own():
    prompts = [Prompt("chat", "answer", prefill=text) for text in ("\ud800", "\udfff", "?")]
    assert len({Request("m", "r", p, Sampling()).key() for p in prompts}) == len(prompts)


def test_hash_json_ignores_the_order_of_names():
    assert hash_json({"a": 1, "b": {"c": 2, "d": 3}}) == hash_json({"b": {"d": 3, "c": 2}, "a": 1})


def test_the_adapter_hash_is_the_literal():
    digests = {
        name: hashlib.sha256(bytes.fromhex(content)).hexdigest()
        for name, content in ADAPTER["files"].items()
        if name in ADAPTER["digests"]
    }
    assert digests == ADAPTER["digests"]
    text = json.dumps(digests, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == ADAPTER["hash"]
    assert hash_adapter(digests) == ADAPTER["hash"]


def test_the_adapter_hash_changes_with_a_name_or_a_byte():
    one, *rest = sorted(ADAPTER["digests"].items())
    changed = dict([(one[0], "0" * 64), *rest])
    renamed = dict([("other.safetensors", one[1]), *rest])
    assert len({hash_adapter(d) for d in (ADAPTER["digests"], changed, renamed)}) == 3
