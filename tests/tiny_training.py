"""Run folders over tiny random checkpoints, as an order would leave them, and their worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from qeu.backends.folders import ResolvedWeights, find_snapshot
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.core.run_passport import (
    LoraSettings,
    RunPassport,
    TrainingSettings,
    WatchSettings,
    hash_layout,
)
from qeu.core.run_status import RunStatus
from qeu.services.train_data import hash_frozen
from qeu.services.train_turn import WORK
from qeu.store.run_folders import (
    TRAIN,
    VALIDATION,
    FrozenRecord,
    RunFolder,
    create_run,
    now,
    write_passport,
)
from tests.tiny_checkpoints import build_hub_cache

ROOT = Path(__file__).resolve().parent.parent
LLAMA, PHI = "tiny/llama", "microsoft/phi-2"
PHI_TARGETS = ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2")
LORA = LoraSettings(4, 8, 0.05, ("q_proj", "v_proj", "down_proj"), "none", False)
# short texts, every thing that a run does, and done in a second once the libraries are there
TRAINING = TrainingSettings(
    steps=6, learning_rate=5e-3, warmup_steps=1, max_length=192, compute_dtype="float32",
    save_every=2,
)  # fmt: skip
WATCH = WatchSettings(rows=2, samples=2, sample_tokens=6)
# A run that is slower than so many seconds is broken; loaded machines are ten times slower.
PATIENCE_S = 300


@cache
def hub_cache(root: Path, arch: str = "llama") -> tuple[Path, ResolvedWeights]:
    """(HF_HUB_CACHE with a tiny base in it, its weights), built once a folder."""
    repo = PHI if arch == "phi" else LLAMA
    build_hub_cache(root, repo, arch)  # type: ignore[arg-type]
    weights = find_snapshot(repo, None, root)
    assert weights is not None
    return root, weights


def make_records(count: int, start: int = 0) -> list[Record]:
    """Records with a reasoning, of different lengths."""
    return [
        Record(
            instruction=f"What is {n} times {n + 1}?",
            reasoning="First read the question. " * (1 + n % 3),
            output=f"It is {n * (n + 1)}.",
            category="open_qa",
            language="en",
        )
        for n in range(start, start + count)
    ]


def make_run(
    adapters: Path,
    cache: Path,
    name: str = "poems",
    records: Sequence[Record] | None = None,
    watched: Sequence[Record] | None = None,
    arch: str = "llama",
    lora: LoraSettings = LORA,
    training: TrainingSettings = TRAINING,
    watch: WatchSettings = WATCH,
    **changes: object,
) -> RunFolder:
    """A folder with passport, frozen records and a status that waits; `cache` is for HF_HUB_CACHE.

    Nobody has it yet.
    """
    _, weights = hub_cache(cache, arch)
    folder = create_run(adapters, name)
    train = [FrozenRecord(one) for one in (make_records(12) if records is None else records)]
    kept = [FrozenRecord(one) for one in (make_records(3, 50) if watched is None else watched)]
    folder.freeze(TRAIN, train)
    folder.freeze(VALIDATION, kept)
    data_hash, count = hash_frozen(train)
    validation_hash, kept_count = hash_frozen(kept)
    if arch == "phi" and lora is LORA:
        lora = replace(lora, target_modules=PHI_TARGETS)
    passport = RunPassport(
        name=name, created=now(), base=PHI if arch == "phi" else LLAMA,
        base_revision=weights.revision or "", layout="bonsai-v2", target="both",
        role="assistant", role_text=ROLES["assistant"].text, dataset="tiny", records=count,
        data_hash=data_hash, validation_records=kept_count, validation_hash=validation_hash,
        tokenizer_hash="0" * 64, layout_hash=hash_layout("bonsai-v2", "both"), seed=3,
        lora=lora, training=training, watch=watch,
    )  # fmt: skip
    passport = replace(passport, **changes)  # type: ignore[arg-type]
    write_passport(folder, passport)
    folder.write_status(RunStatus(order=now(), steps=training.steps))
    return folder


def environment(cache: Path) -> dict[str, str]:
    """What a worker is started with here."""
    return os.environ | {
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "QEU_DEVICE": "cpu",
        "GOMP_SPINCOUNT": "0",
    }


def command(folder: RunFolder, resume: str = "") -> list[str]:
    """The worker's command line."""
    line = [sys.executable, "-m", "qeu.services.train_worker", str(folder.path)]
    return [*line, "--resume", resume] if resume else line


def run_worker(
    folder: RunFolder, cache: Path, resume: str = "", **more: object
) -> subprocess.CompletedProcess[str]:
    """Let a worker do its work to the end."""
    return subprocess.run(
        command(folder, resume), env=environment(cache), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False, **more,  # type: ignore[call-overload]
    )  # fmt: skip


@contextmanager
def started_worker(
    folder: RunFolder, cache: Path, resume: str = ""
) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker at work; it is killed at the end, if it still runs."""
    with (folder.path / "train.log").open("ab") as log:
        worker = subprocess.Popen(
            command(folder, resume), env=environment(cache), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield worker
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def wait_until(
    is_so: Callable[[], bool],
    worker: "subprocess.Popen[bytes] | None" = None,
    poll_s: float = 0.02,
) -> None:
    """Wait for something that a worker does; fails where it has ended without."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        ended = worker is not None and worker.poll() is not None
        assert is_so() or not ended, f"the worker ended with {worker.returncode}"  # type: ignore[union-attr]
        assert time.monotonic() < end, "it did not come"
        time.sleep(poll_s)


def last_step(folder: RunFolder) -> int:
    """The last step that is known."""
    return folder.metrics().last_step


def losses(folder: RunFolder) -> list[tuple[int, float]]:
    """(step, loss) of every step."""
    return folder.metrics().curve("train", "loss")


def read_config(folder: RunFolder) -> dict[str, object]:
    """The adapter's configuration."""
    return json.loads((folder.path / "adapter_config.json").read_text("utf-8"))


def unfinished(folder: RunFolder) -> list[Path]:
    """What is left of work that was not whole."""
    return sorted((folder.path / WORK).rglob("*"))
