"""The four roles and the sentences that ask for reasoning."""

import pytest

from qeu.core.errors import QeuError
from qeu.core.roles import ROLE_IDS, ROLES, find_role, reasoning_task


def test_there_are_the_four_roles_of_the_notes():
    assert set(ROLE_IDS) == {"assistant", "translator", "creator", "logician"}
    assert tuple(ROLES) == ROLE_IDS
    assert all(find_role(role_id).id == role_id for role_id in ROLE_IDS)


def test_the_wordings_differ_and_keep_to_their_meaning():
    assert len({role.text for role in ROLES.values()}) == len(ROLE_IDS)
    for role_id in ("assistant", "translator", "creator"):
        assert "reasoning is given" in ROLES[role_id].text
    for role_id in ("assistant", "creator"):
        assert "English" in ROLES[role_id].text
    assert "never give the answer away" in ROLES["logician"].text


def test_an_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(QeuError, match=r"'poet'.*assistant, translator, creator, logician"):
        find_role("poet")


def test_only_creative_records_ask_for_the_sentence_forms():
    creative = reasoning_task("creative")
    assert '"Creator should"' in creative
    assert '"You should"' in creative
    others = {reasoning_task(category) for category in ("open_qa", "math", "code")}
    assert len(others) == 1
    assert "should" not in others.pop()


@pytest.mark.parametrize("category", ["creative", "open_qa"])
def test_the_tasks_name_the_limits_of_the_contract(category):
    assert "at most 5 lines and 120 words" in reasoning_task(category)
