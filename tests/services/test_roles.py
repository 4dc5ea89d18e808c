"""Four roles: one run, four asks that differ in nothing but the role."""

import pytest

from qeu.core.errors import QeuError, UsageError
from qeu.core.roles import ROLE_IDS, ROLES
from qeu.core.sampling import Sampling
from qeu.services.roles import FourRoles

MODEL = "smollm2-135m"


def asks_by_role(**settings: object) -> dict[str, object]:
    return {
        ask.key: ask
        for ask in FourRoles(MODEL, "Write about rain.", **settings).asks()  # type: ignore[arg-type]
    }


def test_every_role_is_asked_once_with_the_same_settings() -> None:
    sampling = Sampling(seed=11)
    asks = asks_by_role(sampling=sampling, layout="bonsai-v2")
    assert tuple(asks) == ROLE_IDS
    assert {ask.model for ask in asks.values()} == {MODEL}
    assert {ask.sampling for ask in asks.values()} == {sampling}
    assert {ask.chosen_layout() for ask in asks.values()} == {"bonsai-v2"}


def test_an_edited_wording_reaches_the_prompt_of_its_role_alone() -> None:
    asks = asks_by_role(layout="bonsai-v2", roles={"creator": "You are a poet."})
    prompts = {role_id: ask.prompt().text for role_id, ask in asks.items()}
    assert prompts["creator"].startswith("<|system|>You are a poet.\n")
    for role_id in ("assistant", "translator", "logician"):
        assert ROLES[role_id].text in prompts[role_id]


def test_an_emptied_wording_means_the_shipped_one() -> None:
    assert asks_by_role(roles={"creator": "  \n"})["creator"].role == ROLES["creator"]


def test_each_its_own_lets_the_logician_reason_and_the_others_answer() -> None:
    asks = asks_by_role(target="own")
    targets = {role_id: ask.target for role_id, ask in asks.items()}
    assert targets.pop("logician") == "reasoning_task"
    assert set(targets.values()) == {"answer"}


@pytest.mark.parametrize("target", ["reasoning", "both"])
def test_other_targets_hold_for_all_roles(target: str) -> None:
    assert {ask.target for ask in asks_by_role(target=target).values()} == {target}


def test_what_cannot_be_meant_is_said() -> None:
    # `reasoning_task` would put the logician in everybody's place: four equal texts
    with pytest.raises(UsageError, match="target is 'reasoning_task'"):
        asks_by_role(target="reasoning_task")
    with pytest.raises(UsageError, match="layout is 'alpaca'"):
        asks_by_role(layout="alpaca")
    with pytest.raises(UsageError, match="No model"):
        FourRoles(" ", "Write about rain.").asks()
    with pytest.raises(QeuError, match="question is empty"):
        FourRoles(MODEL, " ").asks()[0].prompt()
