"""The workspace database: whole transactions, whatever happens; two processes; clear refusals."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import qeu
from qeu.core.errors import QeuError
from qeu.store.workspace import MIGRATIONS, Workspace, dump_json

ROOT = Path(qeu.__file__).parent.parent
EVENTS = json.loads(
    (Path(__file__).parents[1] / "contract" / "events.json").read_text(encoding="utf-8")
)


def child(code: str, *arguments: str) -> subprocess.Popen:
    """A real process of its own, with the package and its arguments at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def counts(path: Path) -> tuple[int, int]:
    """(events, comparisons) as a fresh reader finds them."""
    workspace = Workspace(path)
    try:
        return tuple(
            workspace.read(f"SELECT count(*) FROM {table}")[0][0]
            for table in ("events", "comparisons")
        )  # type: ignore[return-value]
    finally:
        workspace.close()


# Adds pairs of rows until it is killed; says when it is in the middle of the pair that is meant.
KILLED = """
import sys, time
from pathlib import Path
from qeu.store.workspace import Workspace
workspace, whole, moment = Workspace(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
ROW = ("at", "", "question", "folded", "{}", "{}")
SQL = ("INSERT INTO comparisons (at, visitor, question, folded, settings, results)"
       " VALUES (?, ?, ?, ?, ?, ?)")
def now_kill():
    print("now", flush=True)
    time.sleep(60)
for number in range(whole + 1):
    last = number == whole
    with workspace.change() as db:
        if last and moment == "begun":
            now_kill()
        db.execute(SQL, ROW)
        if last and moment == "half":
            now_kill()
        workspace.append_event("user", "compare", "comparison/1", {"text": "x" * 100_000})
        if last and moment == "written":
            now_kill()
    if last and moment == "done":
        now_kill()
"""


@pytest.mark.parametrize("moment", ["begun", "half", "written", "done"])
@pytest.mark.parametrize("whole", [0, 2])
def test_a_kill_in_the_middle_of_a_change_leaves_none_of_it(tmp_path, whole, moment):
    path = tmp_path / "qeu.db"
    process = child(KILLED, str(path), str(whole), moment)
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = whole + (moment == "done")
    assert counts(path) == (kept, kept)
    workspace = Workspace(path)
    with workspace.change():
        event = workspace.append_event("user", "compare", "comparison/9", {})
    assert event.id == kept + 1
    workspace.close()


WRITER = """
import sys
from pathlib import Path
from qeu.store.workspace import Workspace
workspace, actor = Workspace(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
for number in range(40):
    with workspace.change():
        workspace.append_event(actor, "compare", "comparison/1", {"number": number})
        workspace.append_event(actor, "compare", "comparison/1", {"number": number})
"""


def test_a_change_within_another_is_undone_alone_and_kept_with_the_whole(tmp_path):
    workspace = Workspace(tmp_path / "qeu.db")

    def write(word: str) -> None:
        with workspace.change() as db:
            db.execute("INSERT INTO words VALUES (?)", (word,))

    def words() -> list[str]:
        return [row[0] for row in workspace.read("SELECT word FROM words")]

    def break_off() -> None:
        with workspace.change():
            write("lost")
            raise KeyError

    with workspace.change() as db:
        db.execute("CREATE TABLE words (word TEXT)")
        write("first")
        with pytest.raises(KeyError):
            break_off()
        write("second")
    assert words() == ["first", "second"]
    with pytest.raises(KeyError):
        break_off()
    assert words() == ["first", "second"]


def test_two_processes_that_open_and_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "new" / "qeu.db"
    writers = [child(WRITER, str(path), actor) for actor in ("page", "terminal")]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    workspace = Workspace(path)
    events = workspace.events("comparison/1")
    workspace.close()
    assert [event.id for event in events] == list(range(1, 161))
    for actor in ("page", "terminal"):
        numbers = [event.data["number"] for event in events if event.actor == actor]
        assert numbers == [number for number in range(40) for _ in range(2)]
    # the two events of a change stand together: nobody wrote in between
    pairs = zip(events[::2], events[1::2], strict=True)
    assert all((a.actor, a.data) == (b.actor, b.data) for a, b in pairs)


OPENER = """
import sys, time
from pathlib import Path
from qeu.store.workspace import Workspace
print("ready", flush=True)
sys.stdin.readline()
Workspace(Path(sys.argv[1])).close()
"""


def test_many_first_starts_at_once_all_succeed(tmp_path):
    starts = [child(OPENER, str(tmp_path / "qeu.db")) for _ in range(6)]
    for start in starts:
        assert start.stdout.readline() == "ready\n"
    for start in starts:
        start.stdin.write("go\n")
        start.stdin.flush()
    for start in starts:
        start.communicate()
        assert start.returncode == 0
    assert counts(tmp_path / "qeu.db") == (0, 0)


def test_a_first_start_waits_for_another_that_has_the_file(tmp_path):
    path = tmp_path / "qeu.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE notes (text)")
    release = threading.Timer(0.1, other.execute, ["ROLLBACK"])
    release.start()
    Workspace(path).close()
    release.join()
    other.close()
    assert counts(path) == (0, 0)


def test_threads_of_one_process_take_turns():
    workspace = Workspace(None)

    def write(actor: str) -> None:
        for _ in range(20):
            with workspace.change():
                workspace.append_event(actor, "compare", "comparison/1", {})
                workspace.append_event(actor, "compare", "comparison/1", {})

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = workspace.events("comparison/1")
    assert len(events) == 160
    assert all(a.actor == b.actor for a, b in zip(events[::2], events[1::2], strict=True))


def test_an_exception_takes_the_whole_change_back():
    workspace = Workspace(None)

    def fail() -> None:
        with workspace.change():
            workspace.append_event("user", "compare", "comparison/1", {})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert workspace.events("comparison/1") == []
    with workspace.change():
        workspace.append_event("user", "compare", "comparison/1", {})
    assert len(workspace.events("comparison/1")) == 1


@pytest.mark.parametrize("literal", EVENTS, ids=lambda literal: literal["kind"])
def test_events_of_every_kind_come_back_as_they_were(literal):
    workspace = Workspace(None)
    with workspace.change():
        stored = workspace.append_event(
            literal["actor"], literal["kind"], literal["subject"], literal["data"]
        )
    (event,) = workspace.events(literal["subject"])
    assert event == stored
    assert event.to_json() == {**literal, "id": 1, "at": event.at}


@pytest.mark.parametrize(
    "text", ["half \ud83d pair", "nul \x00 esc \x1b", "日本語", "'; DROP TABLE"]
)
def test_any_text_comes_back_exactly(text):
    workspace = Workspace(None)
    data = {"field": "reasoning", "before": text, "after": "x"}
    with workspace.change():
        workspace.append_event("user", "edit", "record/1", data)
    assert workspace.events("record/1")[0].data == data
    assert dump_json({"a": text}).encode("utf-8")
    assert json.loads(dump_json({"a": text}, indent=2)) == {"a": text}


def test_an_event_that_tells_too_little_is_not_stored():
    workspace = Workspace(None)
    with pytest.raises(ValueError, match="'before'"), workspace.change():
        workspace.append_event("user", "edit", "record/1", {"field": "reasoning"})
    assert workspace.events("record/1") == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET actor = 'somebody'",
        "DELETE FROM events",
        "DELETE FROM events WHERE actor = 'user'",
    ],
)
def test_what_is_in_the_log_stays_in_the_log(sql):
    workspace = Workspace(None)
    with workspace.change():
        workspace.append_event("user", "compare", "comparison/1", {})
        workspace.append_event("visitor/x", "compare", "comparison/2", {})
    with pytest.raises(QeuError, match="append-only"), workspace.change() as db:
        db.execute(sql)
    assert len(workspace.events("comparison/1")) == 1
    assert len(workspace.events("comparison/2")) == 1


def test_numbers_of_events_are_never_given_twice():
    workspace = Workspace(None)
    with workspace.change() as db:
        first = workspace.append_event("visitor/x", "compare", "comparison/1", {})
        db.execute("DELETE FROM events WHERE actor = 'visitor/x'")
        second = workspace.append_event("user", "compare", "comparison/2", {})
    assert second.id == first.id + 1


def test_a_newer_format_is_refused_in_words_and_left_alone(tmp_path):
    path = tmp_path / "qeu.db"
    newer = len(MIGRATIONS) + 1
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE notes (text)")
    db.execute(f"PRAGMA user_version = {newer}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(QeuError, match=rf"newer version.*format {newer}.*QEU_HOME"):
        Workspace(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_workspace_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "qeu.db"
    path.write_bytes(b"a diary, not a database" * 100)
    with pytest.raises(QeuError, match=r"cannot be opened.*QEU_HOME"):
        Workspace(path)
    assert path.read_bytes().startswith(b"a diary")


def test_a_folder_that_cannot_be_written_is_said_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(QeuError, match=r"cannot be opened.*QEU_HOME"):
        Workspace(tmp_path / "file" / "qeu.db")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said_too(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(QeuError, match="cannot be opened"):
        Workspace(tmp_path / "qeu.db")


def test_a_full_disk_is_explained_and_loses_nothing_older(tmp_path):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    with workspace.change():
        workspace.append_event("user", "compare", "comparison/1", {})
    workspace.read("PRAGMA max_page_count = 1")
    with pytest.raises(QeuError, match=r"full.*everything before it was.*Free some space"):  # noqa: SIM117
        with workspace.change():
            workspace.append_event("user", "compare", "comparison/2", {"text": "x" * 1_000_000})
    assert workspace.events("comparison/2") == []
    workspace.read("PRAGMA max_page_count = 1000000")
    with workspace.change():
        workspace.append_event("user", "compare", "comparison/3", {})
    workspace.close()
    assert counts(path)[0] == 2


def test_a_damaged_file_is_a_sentence_not_a_traceback(tmp_path):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    with pytest.raises(QeuError, match="cannot be read"):
        workspace.read("SELECT * FROM nothing")
    workspace.close()


def test_migrations_run_once_and_bring_an_empty_file_up_to_date(tmp_path):
    path = tmp_path / "qeu.db"
    for _ in range(2):
        workspace = Workspace(path)
        assert workspace.read("PRAGMA user_version")[0][0] == len(MIGRATIONS)
        workspace.close()
    assert workspace.path == path


def test_a_workspace_without_a_path_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(None)
    with workspace.change():
        workspace.append_event("user", "compare", "comparison/1", {})
    workspace.close()
    assert list(tmp_path.iterdir()) == []
