"""Events of every kind, held to their literal examples."""

import json
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.event import DATA_FIELDS, KINDS, Event

LITERALS = json.loads(
    (Path(__file__).parents[1] / "contract" / "events.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("literal", LITERALS, ids=lambda literal: literal["kind"])
def test_an_event_comes_back_from_its_literal(literal):
    event = Event.from_json(literal)
    assert event.to_json() == literal
    assert event.problems() == []
    assert set(literal["data"]) == set(DATA_FIELDS[event.kind])


def test_every_kind_has_a_literal_and_failed_attempts_have_theirs():
    assert {literal["kind"] for literal in LITERALS} == set(KINDS)
    attempts = [e["data"] for e in LITERALS if e["kind"] == "generate"]
    assert {bool(a["error"]) for a in attempts} == {True, False}
    assert all(bool(a["error"]) == (a["finish_reason"] == "error") for a in attempts)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if DATA_FIELDS[kind]])
def test_an_event_that_tells_too_little_is_noticed(kind):
    problems = Event(0, "now", "user", kind, "record/1", {}).problems()
    assert len(problems) == len(DATA_FIELDS[kind])


def test_an_unknown_kind_or_field_is_refused():
    with pytest.raises(QeuError, match="'forget'"):
        Event(0, "now", "user", "forget", "record/1", {})
    with pytest.raises(QeuError, match="'mood'"):
        Event.from_json(LITERALS[0] | {"mood": "fine"})
