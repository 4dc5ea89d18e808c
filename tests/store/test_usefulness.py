"""Losses kept in the workspace: found by key, the first one stays, after a restart too."""

from qeu.store.usefulness import add_losses, find_losses, iterate_candidates
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill


def test_losses_are_found_again_after_a_restart(tmp_path):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    add_losses(workspace, "m", {"a": (1.25, 3), "b": (0.1, 7)})
    workspace.close()
    workspace = Workspace(path)
    assert find_losses(workspace, ["a", "b", "c"]) == {"a": (1.25, 3), "b": (0.1, 7)}
    assert find_losses(workspace, []) == {}
    many = {f"k{n}": (float(n), n) for n in range(1200)}
    add_losses(workspace, "m", many)
    assert find_losses(workspace, list(many)) == many
    workspace.close()


def test_the_first_of_two_that_were_computed_at_once_stays():
    workspace = Workspace(None)
    add_losses(workspace, "m", {"a": (1.0, 3)})
    add_losses(workspace, "m", {"a": (1.5, 3), "b": (2.0, 4)})
    assert find_losses(workspace, ["a", "b"]) == {"a": (1.0, 3), "b": (2.0, 4)}


def test_only_records_with_a_reasoning_are_donors(tmp_path):
    workspace = Workspace(tmp_path / "qeu.db")
    dataset = fill(workspace, 6)
    fill(workspace, 4, name="other")
    found = list(iterate_candidates(workspace, dataset))
    assert [(one.category, one.language) for one in found] == [
        ("creative", "ja"), ("open_qa", "en"), ("math", "zh"),
    ]  # fmt: skip
    assert all(one.key == one.record for one in found)
    assert {one.length for one in found} == {len("Think about part 1 first.")}
