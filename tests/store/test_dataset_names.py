"""Data sets renamed, removed and restored: nothing of them is ever lost."""

import sqlite3

import pytest

from qeu.core.errors import QeuError
from qeu.store.changes import edit_record, remove_records
from qeu.store.datasets import (
    count_records,
    find_dataset,
    list_datasets,
    list_removed,
    remove_dataset,
    rename_dataset,
    restore_dataset,
)
from qeu.store.filters import Filter
from qeu.store.queries import count_matching, read_page
from qeu.store.undo import next_undo, read_history, redo, undo
from qeu.store.workspace import MIGRATIONS, Workspace
from tests.store.dataset_rows import fill


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "qeu.db")
    yield made
    made.close()


def names(found):
    return [dataset.name for dataset in found]


def test_a_removed_data_set_is_hidden_and_comes_back_with_its_history(workspace):
    dataset = fill(workspace, 9)
    row = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, row.id, row.version, "output", "Edited.")
    before = read_page(workspace, dataset)
    removed = remove_dataset(workspace, dataset)
    assert removed.removed
    assert list_datasets(workspace) == []
    assert names(list_removed(workspace)) == ["demo"]
    with pytest.raises(QeuError, match="was removed; restore it"):
        find_dataset(workspace, "Demo")
    back = restore_dataset(workspace, " DEMO ")
    assert (back.name, back.removed) == ("demo", "")
    assert read_page(workspace, find_dataset(workspace, "demo")) == before
    assert len(read_history(workspace, back, row.id)) == 2
    assert undo(workspace, back).what == "edit of output"
    assert list_removed(workspace) == []
    told = [event.data for event in workspace.events("dataset/demo")]
    assert told[1] == {"rules": [{"do": "remove data set"}], "changed": 9}
    assert told[2]["rules"] == [{"do": "restore data set"}]


def test_the_name_of_a_removed_data_set_is_free(workspace):
    remove_dataset(workspace, fill(workspace, 3))
    again = fill(workspace, 5, output="other")
    assert (count_records(workspace, again), len(list_removed(workspace))) == (5, 1)
    with pytest.raises(QeuError, match="Rename that one, then restore"):
        restore_dataset(workspace, "demo")
    other = rename_dataset(workspace, again, "second")
    assert count_records(workspace, restore_dataset(workspace, "demo")) == 3
    assert names(list_datasets(workspace)) == ["demo", "second"]
    assert count_matching(workspace, other, Filter(search="other")) == 5
    remove_dataset(workspace, find_dataset(workspace, "demo"))
    remove_dataset(workspace, rename_dataset(workspace, other, "demo"))
    assert count_records(workspace, restore_dataset(workspace, "demo")) == 5  # the last one
    with pytest.raises(QeuError, match=r"'x' was removed\. Removed are: demo"):
        restore_dataset(workspace, "x")
    with pytest.raises(QeuError, match="'' was removed"):
        restore_dataset(workspace, "")


def test_a_rename_keeps_undo_and_refuses_what_cannot_be(workspace):
    first, second = fill(workspace, 3), fill(workspace, 2, "two")
    remove_records(workspace, first, Filter(language=("ja",)))
    renamed = rename_dataset(workspace, first, "One")
    assert (renamed.id, renamed.name, renamed.revision) == (first.id, "One", first.revision + 2)
    assert undo(workspace, renamed).changed == 1
    redo(workspace, renamed)
    assert count_records(workspace, renamed) == 2
    assert names(list_datasets(workspace)) == ["One", "two"]
    for bad, sentence in (("TWO", "already"), ("", "1 to 100"), ("a\nb", "1 to 100")):
        with pytest.raises(QeuError, match=sentence):
            rename_dataset(workspace, renamed, bad)
    assert rename_dataset(workspace, second, "Two").name == "Two"
    event = workspace.events("dataset/demo")[2]
    assert event.data["rules"] == [{"do": "rename data set", "to": "One"}]


def test_nothing_is_changed_that_nobody_can_see(workspace):
    dataset = fill(workspace, 3)
    row = read_page(workspace, dataset).rows[0]
    remove_dataset(workspace, dataset)
    calls = (
        lambda: edit_record(workspace, dataset, row.id, row.version, "output", "x"),
        lambda: remove_records(workspace, dataset, Filter()),
        lambda: undo(workspace, dataset),
        lambda: remove_dataset(workspace, dataset),
        lambda: rename_dataset(workspace, dataset, "other"),
    )
    for call in calls:
        with pytest.raises(QeuError, match="removed meanwhile"):
            call()
    back = restore_dataset(workspace, "demo")
    assert read_page(workspace, back).rows[0] == row
    assert next_undo(workspace, back).kind == "import"
    assert len(workspace.events("dataset/demo")) == 3


def test_data_sets_of_before_are_taken_over(tmp_path):
    path = tmp_path / "qeu.db"
    db = sqlite3.connect(path)
    for script in MIGRATIONS[:2]:
        db.executescript(script)
    db.execute("PRAGMA user_version = 2")
    db.execute("INSERT INTO datasets VALUES (7, 'old', '2026-01-01', 3, 5)")
    db.commit()
    db.close()
    workspace = Workspace(path)
    dataset = find_dataset(workspace, "OLD")
    assert (dataset.id, dataset.revision, dataset.removed) == (7, 5, "")
    assert fill(workspace, 1).id == 8
    workspace.close()
