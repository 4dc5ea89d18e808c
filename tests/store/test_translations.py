"""Translations kept in the workspace: found by key and revision, replaced, kept over a restart."""

from qeu.store.translations import add_translation, find_translation
from qeu.store.workspace import MIGRATIONS, Workspace


def test_a_translation_is_found_again_after_a_restart(tmp_path):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    stored = add_translation(workspace, "k", "猫です。\n", "m", "r1")
    workspace.close()
    workspace = Workspace(path)
    assert find_translation(workspace, "k", "r1") == stored
    assert stored.at.startswith("20")
    workspace.close()


def test_another_revision_of_the_model_is_another_translation():
    workspace = Workspace(None)
    add_translation(workspace, "k", "old", "m", "r1")
    add_translation(workspace, "k", "new", "m", "r2")
    assert find_translation(workspace, "k", "r1").text == "old"
    assert find_translation(workspace, "k", "r3") is None
    # nobody knows the revision of a model that is not in memory: the newest counts
    assert find_translation(workspace, "k").text == "new"
    assert find_translation(workspace, "other") is None


def test_the_same_request_keeps_the_later_text():
    workspace = Workspace(None)
    add_translation(workspace, "k", "first", "m", "")
    add_translation(workspace, "k", "second", "m", "")
    assert find_translation(workspace, "k", "").text == "second"
    assert len(workspace.read("SELECT * FROM translations")) == 1


def test_a_workspace_of_before_gets_the_table(tmp_path, monkeypatch):
    path = tmp_path / "qeu.db"
    at = next(n for n, script in enumerate(MIGRATIONS) if "TABLE translations" in script)
    with monkeypatch.context() as older:
        older.setattr("qeu.store.workspace.MIGRATIONS", MIGRATIONS[:at])
        Workspace(path).close()
    workspace = Workspace(path)
    add_translation(workspace, "k", "text", "m", "")
    assert find_translation(workspace, "k").text == "text"
    workspace.close()
