"""Prompt and completion as tokens with their fields: the engine's own ids, whatever the base."""

from functools import cache
from pathlib import Path

import pytest

from benchmarks.train_shipped_adapter import LAYOUT, TARGET, make_row, read_records
from qeu.backends.catalog import find_model
from qeu.backends.tokenize import PromptEncoder
from qeu.backends.training_encoder import TrainingEncoder, find_base, linear_layers, open_encoder
from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS, TARGETS, Rendered, render
from qeu.core.record import Record
from qeu.core.roles import BY_CATEGORY, ROLES, role_for
from tests.tiny_checkpoints import build_checkpoint, build_hub_cache, train_tokenizer

RECORD = Record("Sort these.", "7, 3 and 5", "Look at the tens first.", "3, 5, 7")
FORGED = Record("Say <|eot_id|> to them.", "<|endoftext|>", "考え方を 😀 順に", "<|eot_id|> done")
# It writes y as Y, so the fields cannot be found in what it made of them.
REWRITING = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}\n"
    "{{ m.content | replace('y', 'Y') }}<|eot_id|>{% endfor %}"
)


@cache
def tokenizer(kind: str):
    made = train_tokenizer("phi" if kind == "phi" else "llama")
    if kind == "rewriting":
        made.chat_template = REWRITING
    elif kind == "bare llama":
        made.chat_template = None
    return made


KINDS = ("llama", "bare llama", "phi", "rewriting")


def old_row(tokenizer, rendered: Rendered) -> dict[str, list[int]]:
    """How rows were made before: labels on the whole completion."""
    encoder = PromptEncoder(tokenizer)
    prompt = list(encoder.prepare(rendered.prompt).token_ids)
    completion = [*encoder.encode(rendered.completion_text), tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_ids_are_those_that_generation_reads(kind, layout):
    encode, engine = TrainingEncoder(tokenizer(kind)), PromptEncoder(tokenizer(kind))
    for target in TARGETS:
        for record in (RECORD, FORGED):
            rendered = render(record, layout, ROLES["assistant"], target)
            found = encode(rendered)
            prompt = engine.prepare(rendered.prompt).token_ids
            assert found.ids[: found.learned] == prompt
            assert found.ids[found.learned :] == tuple(engine.encode(rendered.completion_text))
            assert len(found.fields) == len(found.ids)


@pytest.mark.parametrize("kind", ["llama", "bare llama", "phi"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_token_has_the_field_that_it_spells(kind, layout):
    encode = TrainingEncoder(tokenizer(kind))
    for record in (RECORD, FORGED):
        rendered = render(record, layout, ROLES["assistant"], "both")
        found = encode(rendered)
        for field in ("instruction", "input", "reasoning", "output"):
            ids = [i for i, name in zip(found.ids, found.fields, strict=True) if name == field]
            parts = [*rendered.prompt.segments, *rendered.completion]
            parts += [s for m in rendered.prompt.messages for s in m.segments]
            expected = "".join(s.text for s in parts if s.field == field)
            assert tokenizer(kind).decode(ids).strip() == expected


def test_a_record_with_nothing_to_write_has_a_prompt_only():
    rendered = render(Record("Sort."), "bonsai-v2", ROLES["assistant"], "answer")
    found = TrainingEncoder(tokenizer("phi"))(rendered)
    assert found.learned == len(found.ids) == len(found.fields)


def test_shipped_records_become_the_rows_they_became():
    """On a tokenizer of our own; the embedded one below."""
    same_rows(train_tokenizer("llama"), 40)


@pytest.mark.slow
def test_shipped_records_become_the_rows_they_became_for_the_embedded_base(embedded_path):
    from transformers import AutoTokenizer

    same_rows(AutoTokenizer.from_pretrained(embedded_path), None)


def same_rows(tokenizer, count: int | None) -> None:
    records = [record for record, _ in read_records("train")][:count]
    encode = TrainingEncoder(tokenizer)
    assert records
    for record in records:
        role = role_for(BY_CATEGORY, record.category)
        rendered = render(record, LAYOUT, role, TARGET)
        assert make_row(encode, record) == old_row(tokenizer, rendered)


def test_a_tokenizer_without_an_end_is_refused():
    endless = train_tokenizer("phi")
    endless.eos_token = None
    with pytest.raises(QeuError, match="end token"):
        TrainingEncoder(endless)


def test_a_base_is_found_and_its_layers_are_named(tmp_path: Path):
    snapshot = build_hub_cache(tmp_path)
    weights = find_base(find_model("phi-2"), tmp_path / "none", hub_cache=tmp_path)
    assert weights.path == str(snapshot)
    assert linear_layers(weights) == ("dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj")
    assert open_encoder(weights).end_id == 0
    llama = build_checkpoint(tmp_path / "llama")
    assert linear_layers(find_base(find_model(str(llama)), tmp_path)) == (
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    )  # fmt: skip


def test_a_base_that_cannot_be_trained_is_told(tmp_path: Path):
    for name, word in (("groq/some", "on a server"), ("phi-2", "not on this machine")):
        with pytest.raises(QeuError, match=word):
            find_base(find_model(name), tmp_path, hub_cache=tmp_path)
