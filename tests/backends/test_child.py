"""Child processes: stopped at once, gone with their parent, their failures told in a sentence."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qeu.backends.child import FetchStopped, run_child
from qeu.backends.convert import _explain, run_conversion
from qeu.core.errors import QeuError

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = """
import os, sys, time
from pathlib import Path
from qeu.backends.child import leave_with_parent
leave_with_parent()
Path(sys.argv[1]).write_text(str(os.getpid()))
print("ready", flush=True)
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture(autouse=True)
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_lines_and_exit_code_come_back(tmp_path: Path) -> None:
    lines: list[bytes] = []
    code = run_child(
        "sleeper", [str(tmp_path / "pid"), "0", "7"], tmp_path / "log", on_line=lines.append
    )
    assert (code, lines) == (7, [b"ready\n"])


def test_a_stop_kills_the_child(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(FetchStopped):
        run_child(
            "sleeper",
            [str(tmp_path / "pid"), "60", "0"],
            tmp_path / "log",
            stop=stop,
            on_line=lambda line: stop.set(),
        )
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_child_is_gone_soon_after_its_parent_was_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from qeu.backends.child import run_child\n"
        f"run_child('sleeper', [{str(pid_file)!r}, '60', '0'], Path({str(tmp_path / 'log')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_alive(int(pid_file.read_text())))


@pytest.mark.parametrize(
    ("code", "log", "said"),
    [
        (1, "Traceback\nOSError: [Errno 28] No space left on device", "disk of .* is full"),
        (1, "SafetensorError: I/O error: No space left on device (os error 28)", "is full"),
        (1, "Traceback\nImportError: Please install gguf>=0.10.0", "pip install gguf"),
        (-9, "", "lack of memory"),
        (1, "Traceback\nValueError: odd\n  a note after it", r"ValueError: odd"),
        (1, "", "exit code 1"),
    ],
)
def test_a_failed_conversion_is_one_sentence(
    tmp_path: Path, code: int, log: str, said: str
) -> None:
    message = str(_explain(code, log, tmp_path / "work" / "model"))
    with pytest.raises(QeuError, match=said):
        raise QeuError(message)


@pytest.mark.slow
def test_a_file_that_is_no_gguf_is_refused_by_the_real_converter(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "bad.gguf").write_bytes(b"no GGUF" * 100)
    with pytest.raises(QeuError, match="could not be converted"):
        run_conversion(tmp_path / "bad.gguf", tmp_path / "new", lambda _: None)
