"""The probe: a few real steps on the longest batch, a verdict in numbers, and nothing left."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.settings import Settings
from qeu.services.train_probe_run import judge_probe, run_probe
from qeu.store.datasets import Stopped
from tests.services.test_train_failure import PASSPORT
from tests.tiny_training import LORA, TRAINING, make_records, make_run

MEASURED = {
    "seconds_per_step": 1.5, "tokens_per_step": 512, "peak_bytes": 2_000_000_000,
    "free_bytes": 8_000_000_000, "device": "cpu",
}  # fmt: skip


@pytest.mark.slow
def test_the_longest_batch_is_tried_and_nothing_is_left(tmp_path: Path, monkeypatch):
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("QEU_DEVICE", "cpu")
    lora = replace(LORA, quantization="nf4")
    training = replace(TRAINING, compute_dtype="bfloat16", packing=False, accumulation=2)
    folder = make_run(
        tmp_path / "adapters", cache, records=make_records(9), lora=lora, training=training
    )
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    found = run_probe(folder.path, folder.passport())
    assert (found.fits, found.trouble, found.device) == (True, "", "cpu")
    assert found.seconds_per_step > 0
    # a machine learning library alone is more than 100 MB
    assert 100e6 < found.peak_bytes < found.free_bytes
    longest = sorted(len(one.instruction + one.reasoning + one.output) for one in make_records(9))
    assert found.tokens_per_step > 2 * longest[-2] / 8
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    wrong = replace(folder.passport(), lora=replace(lora, target_modules=("nowhere",)))
    failed = run_probe(folder.path, wrong)
    assert (failed.fits, failed.trouble) == (False, "base")
    assert "no layers called nowhere" in failed.verdict


def test_a_probe_that_is_stopped_is_gone(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        run_probe(tmp_path, PASSPORT, stop, Settings())


def test_the_verdict_tells_time_and_memory():
    found = judge_probe(MEASURED, 0, PASSPORT)
    assert found.fits
    assert found.verdict == (
        "A step of 512 tokens takes 1.5 s, 60 of them 2 min at most. "
        "Memory: 2.0 GB of 8.0 GB that are free."
    )
    tight = judge_probe(MEASURED | {"free_bytes": 2_100_000_000}, 0, PASSPORT)
    assert not tight.fits
    assert "2.0 GB are needed and 2.1 GB are free" in tight.verdict


def test_a_probe_that_is_killed_for_its_memory_says_so():
    killed = judge_probe(None, -9, PASSPORT)
    assert (killed.fits, killed.trouble) == (False, "memory")
    assert "signal 9" in killed.verdict
    silent = judge_probe(None, 1, PASSPORT, b"No such thing")
    assert (silent.fits, silent.trouble) == (False, "library")
    assert "No such thing" in silent.verdict
    told = judge_probe({"trouble": "memory", "message": "Full.", "advice": "Less."}, 1, PASSPORT)
    assert (told.verdict, told.trouble) == ("Full. Less.", "memory")
