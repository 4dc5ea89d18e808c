"""A record's identity and plain values."""

from dataclasses import fields, replace

import pytest

from qeu.core.errors import QeuError
from qeu.core.record import Record

FULL = Record(
    instruction="Add.",
    input="2 and 3",
    reasoning="Count on.",
    output="5",
    seq="6EN",
    no=12,
    category="math",
    field="science",
    uniqueness="simple",
    language="en",
    extra={"source": "ours"},
)


def test_a_record_comes_back_from_its_plain_values():
    assert Record.from_json(FULL.to_json()) == FULL
    assert FULL.to_json()["extra"] == {"source": "ours"}
    assert FULL.to_json()["field"] == "science"
    assert Record.from_json({"instruction": "Add."}) == Record("Add.")


def test_records_do_not_share_their_extra_columns():
    assert Record("a").extra is not Record("b").extra
    assert Record("a").extra == {}


def test_identity_is_content_and_seq_but_not_the_position():
    changes = {
        "instruction": "Sum.",
        "input": "",
        "reasoning": "",
        "output": "6",
        "seq": "7EN",
        "category": "open_qa",
        "field": "other",
        "uniqueness": "complex",
        "language": "ja",
        "extra": {},
    }
    assert set(changes) == {f.name for f in fields(Record)} - {"no"}
    identities = {replace(FULL, **{name: value}).identity for name, value in changes.items()}
    assert len(identities | {FULL.identity}) == len(changes) + 1
    assert replace(FULL, no=99).identity == FULL.identity
    assert len(FULL.identity) == 64


def test_identity_holds_for_any_text():
    assert Record("\ud800").identity != Record("\ud801").identity


def test_the_question_joins_instruction_and_input():
    assert FULL.question == "Add.\n\n2 and 3"
    assert Record(" Add. ", input=" ").question == "Add."


def test_an_unknown_or_missing_field_is_refused():
    with pytest.raises(QeuError, match="'answer'"):
        Record.from_json({"instruction": "Add.", "answer": "5"})
    with pytest.raises(QeuError, match="instruction"):
        Record.from_json({"output": "5"})
