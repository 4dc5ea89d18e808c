"""A process killed in the middle of a change: all of it is there or nothing; two at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import qeu
from qeu.store.changes import change_records
from qeu.store.datasets import find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.queries import count_matching
from qeu.store.undo import next_undo
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill

ROOT = Path(qeu.__file__).parent.parent
ROWS = 300
# Kills itself with SIGKILL at the statement whose number is given, in the middle of the change.
KILLED = """
import os, signal, sys
from pathlib import Path
from qeu.store import workspace as w
at, seen = int(sys.argv[3]), 0
plain = w.Workspace.__init__
def counting(self, path):
    plain(self, path)
    def count(statement):
        global seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
    self._db.set_trace_callback(count)
w.Workspace.__init__ = counting
from qeu.store.changes import change_records, edit_record, remove_records
from qeu.store.filters import Filter
from qeu.store.undo import undo
from qeu.store.changes import change_records
from qeu.store.datasets import find_dataset
from qeu.store.queries import read_page
from tests.store.dataset_rows import fill
workspace = w.Workspace(Path(sys.argv[1]))
what = sys.argv[2]
dataset = find_dataset(workspace, "demo")
start = seen
if what == "import":
    fill(workspace, 350)
elif what == "rule":
    change_records(workspace, dataset, lambda r: {"reasoning": "zebra"}, what="r",
                   data={"rules": []})
elif what == "edit":
    row = read_page(workspace, dataset).rows[0]
    edit_record(workspace, dataset, row.id, row.version, "output", "zebra")
elif what == "undo":
    undo(workspace, dataset)
print(start, seen, flush=True)
"""


def run(path: Path, what: str, at: int) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(path), what, str(at)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def picture(path: Path) -> tuple:
    """All tables of the workspace, so that half a change anywhere shows."""
    workspace = Workspace(path)
    try:
        assert workspace.read("PRAGMA integrity_check")[0][0] == "ok"
        dataset = find_dataset(workspace, "demo")
        counts = (count_matching(workspace, dataset, Filter(search=t)) for t in ("zebra", "answer"))
        tables = ("records", "search_texts", "changes", "steps", "events", "datasets")
        sizes = (workspace.read(f"SELECT count(*) FROM {table}")[0][0] for table in tables)
        step = next_undo(workspace, dataset)
        return (*counts, *sizes, step.what if step else "")
    finally:
        workspace.close()


@pytest.mark.parametrize("what", ["import", "rule", "edit", "undo"])
def test_killed_anywhere_a_change_is_whole_or_absent(tmp_path, what):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    dataset = fill(workspace, ROWS)
    change_records(workspace, dataset, lambda r: {"input": "more"}, what="", data={"rules": []})
    workspace.close()
    before = picture(path)
    copy = tmp_path / "whole.db"
    copy.write_bytes(path.read_bytes())
    whole = run(copy, what, 0)
    start, end = map(int, whole.stdout.split())
    after = picture(copy)
    assert after != before
    seen = []
    for share in range(1, 8):
        done = run(path, what, start + max(share, (end - start) * share // 7))
        assert done.returncode == -signal.SIGKILL, done.stderr
        seen.append(picture(path))
        if seen[-1] != before:
            break
    assert seen.count(before) >= 5
    assert set(seen) <= {before, after}


def test_two_processes_change_one_data_set_at_once(tmp_path):
    path = tmp_path / "qeu.db"
    workspace = Workspace(path)
    dataset = fill(workspace, 30)
    code = (
        "import sys; from pathlib import Path; from qeu.store.workspace import Workspace\n"
        "from qeu.store.changes import change_records\n"
        "from qeu.store.datasets import find_dataset\n"
        "w = Workspace(Path(sys.argv[1])); d = find_dataset(w, 'demo')\n"
        "for n in range(8):\n"
        "    change_records(w, d, lambda r: {'output': r.record.output + sys.argv[2]},"
        " what='r', data={'rules': []})\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), sign], cwd=ROOT)
        for sign in ("+", "-")
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    outputs = [row[0] for row in workspace.read("SELECT output FROM records")]
    assert all((text.count("+"), text.count("-")) == (8, 8) for text in outputs)
    assert len({text[-16:] for text in outputs}) == 1
    assert count_matching(workspace, dataset, Filter(search="+")) == 30
    assert [d.name for d in list_datasets(workspace)] == ["demo"]
    workspace.close()
