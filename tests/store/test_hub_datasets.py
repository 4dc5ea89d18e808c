"""A data set of the Hub from a cache folder as the Hub's own client writes one; no network."""

import json
import threading
from pathlib import Path

import pytest

from qeu.core.errors import QeuError
from qeu.services.data_import import import_hub
from qeu.store import hub_datasets
from qeu.store.datasets import count_records, find_dataset
from qeu.store.workspace import Workspace

COMMIT = "c" * 40


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """owner/questions with a train and a test file, under the layout of the Hub's cache."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    repo = cache / "datasets--owner--questions"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    for split, count in (("train", 7), ("test", 2)):
        rows = [
            {"instruction": f"{split} question {n}?", "output": f"answer {n}", "score": n / 2}
            for n in range(count)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (snapshot / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    return cache


@pytest.mark.parametrize("offline", [True, False])
def test_the_cached_copy_is_read_where_the_hub_does_not_answer(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    answer_with(monkeypatch, ConnectionError("no route"))
    workspace = Workspace(tmp_path / "qeu.db")
    report = import_hub(workspace, "owner/questions", "d")
    assert (report.imported, list(report.rejected)) == (7, [])
    assert count_records(workspace, find_dataset(workspace, "d")) == 7
    assert import_hub(workspace, "owner/questions", "d", "test").imported == 2
    with pytest.raises(QeuError, match="neither"):
        import_hub(workspace, "owner/questions", "d", "neither")


def test_what_is_neither_there_nor_cached_is_told(hub_cache: Path) -> None:
    with pytest.raises(QeuError, match="'owner/other' is not in the cache"):
        next(iter(hub_datasets.read_hub("owner/other")))


def test_an_unknown_data_set_is_told_at_once(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answer_with(monkeypatch, HFValidationError("bad id"))
    with pytest.raises(QeuError, match="has no data set 'owner/questions'"):
        next(iter(hub_datasets.read_hub("owner/questions")))


def test_a_hub_that_hangs_is_given_up_for_the_copy_that_is_here(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi, constants

    over = threading.Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_datasets, "PROBE_S", 0.3)
    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **kwargs: over.wait())
    try:
        assert Path(hub_datasets._find("owner/questions")).is_dir()
    finally:
        over.set()


def answer_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the Hub's client fail like this, as it does on a machine without a network."""
    from huggingface_hub import HfApi

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(HfApi, "dataset_info", fail)
