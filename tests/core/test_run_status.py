"""The state of a run as its file tells it."""

import json
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.core.run_status import OPEN_STATES, RESUMABLE, STATES, RunStatus

LITERAL = Path(__file__).parents[1] / "contract" / "status.json"


def test_the_status_comes_back_from_its_literal() -> None:
    data = json.loads(LITERAL.read_text("utf-8"))
    assert RunStatus.from_json(data).to_json() == data


def test_every_state_is_open_or_not_and_only_ended_ones_are_resumed() -> None:
    assert set(OPEN_STATES) | set(RESUMABLE) | {"finished"} == set(STATES)
    assert [state for state in STATES if RunStatus(state).is_open] == list(OPEN_STATES)


@pytest.mark.parametrize("data", [{"state": "asleep"}, {"state": "running", "mood": "good"}])
def test_what_no_version_of_ours_wrote_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(QeuError, match="json"):
        RunStatus.from_json(data)
