"""Votes in the workspace: event and row in one step, once a voter, taken back, forgotten."""

import threading

import pytest

from qeu.core.errors import QeuError
from qeu.core.event import Event
from qeu.core.votes import Vote
from qeu.store.history import add_comparison, forget_visitor
from qeu.store.votes import add_vote, find_vote, list_votes, undo_vote
from qeu.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    opened = Workspace(tmp_path / "qeu.db")
    yield opened
    opened.close()


def run(workspace, visitor=""):
    return add_comparison(workspace, "Add.", {}, {}, visitor).id


def made(number, better="left", **values):
    return Vote(number, "a", "b@poems", better, **values)


def test_a_vote_comes_back_whole_and_its_event_tells_all_that_it_must(workspace):
    asked = made(run(workspace), "right", left_ok=False, swapped=True, note="短い", seconds=2.5)
    vote, is_new = add_vote(workspace, asked)
    assert is_new
    assert list_votes(workspace) == [vote] == [find_vote(workspace, vote.run, "")]
    [_, event] = workspace.events(f"comparison/{vote.run}")
    assert (event.kind, event.id, event.problems()) == ("vote", vote.id, [])
    assert event.data["acceptable"] == {"left": False, "right": None}
    assert event.data["left"] == "a"
    assert event.data["swapped"] is True
    assert Event.from_json(event.to_json()) == event


def test_a_second_vote_of_one_voter_changes_nothing(workspace):
    number = run(workspace)
    first, _ = add_vote(workspace, made(number, "left"))
    assert add_vote(workspace, made(number, "right")) == (first, False)
    assert len(workspace.events(f"comparison/{number}")) == 2


def test_two_browsers_count_once_each_however_often_they_click(tmp_path):
    path = tmp_path / "qeu.db"
    first = Workspace(path)
    number = run(first)
    ready = threading.Barrier(8)

    def click(at):
        mine = Workspace(path)
        ready.wait(30)
        add_vote(mine, made(number, voter=f"browser-{at % 2}"))
        mine.close()

    threads = [threading.Thread(target=click, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(vote.voter for vote in list_votes(first)) == ["browser-0", "browser-1"]
    first.close()


def test_the_last_vote_is_taken_back_and_the_log_keeps_both(workspace):
    numbers = [run(workspace), run(workspace)]
    for number in numbers:
        add_vote(workspace, made(number))
    last = undo_vote(workspace)
    assert last.run == numbers[1]
    kinds = [(event.kind, event.data.get("undoes")) for event in workspace.events("comparison/2")]
    assert kinds == [("compare", None), ("vote", None), ("undo", last.id)]
    assert [vote.run for vote in list_votes(workspace)] == numbers[:1]
    again, is_new = add_vote(workspace, made(numbers[1], "equal"))
    assert is_new
    assert again.id != last.id


def test_undo_is_the_voters_own(workspace):
    add_vote(workspace, made(run(workspace), voter="one"))
    with pytest.raises(QeuError, match="no vote of yours"):
        undo_vote(workspace, "two")
    assert undo_vote(workspace, "one").voter == "one"
    with pytest.raises(QeuError, match="no vote of yours"):
        undo_vote(workspace, "one")


@pytest.mark.parametrize("number", [0, -1, 7, 2**70])
def test_a_run_that_is_not_there_is_named(workspace, number):
    with pytest.raises(QeuError, match=f"no run number {number}"):
        add_vote(workspace, made(number))
    assert find_vote(workspace, number, "") is None


def test_what_is_no_vote_is_not_stored(workspace):
    with pytest.raises(ValueError, match="'up'"):
        add_vote(workspace, made(run(workspace), "up"))
    assert list_votes(workspace) == []


def test_visitors_see_and_lose_only_their_own(workspace):
    mine, theirs = run(workspace, "one"), run(workspace, "two")
    add_vote(workspace, made(mine, voter="x"), "one")
    add_vote(workspace, made(theirs, voter="x"), "two")
    with pytest.raises(QeuError, match="no run number"):
        add_vote(workspace, made(theirs, voter="y"), "one")
    assert [vote.run for vote in list_votes(workspace, "one")] == [mine]
    forget_visitor(workspace, "one")
    assert list_votes(workspace, "one") == []
    assert workspace.events(f"comparison/{mine}") == []
    assert [vote.run for vote in list_votes(workspace, "two")] == [theirs]


def test_votes_outlive_the_program(tmp_path):
    first = Workspace(tmp_path / "qeu.db")
    vote, _ = add_vote(first, made(run(first), seconds=3.0))
    first.close()
    second = Workspace(tmp_path / "qeu.db")
    assert list_votes(second) == [vote]
    second.close()
