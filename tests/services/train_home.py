"""A workspace, a folder of adapters and an order, for tests that start real processes."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.settings import Settings
from qeu.core.training_variant import Variant
from qeu.services.train_order import TrainOrder
from qeu.services.train_spawn import spawn_worker
from qeu.services.train_start import start_run
from qeu.store.filters import Filter
from qeu.store.imports import add_records, rows_of
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import make_row, tell

spawn_stub = partial(spawn_worker, module="tests.services.stub_worker")
TRAIN = Filter(split=("train",))
PATIENCE_S = 180


class Home:
    """Twelve records to learn from, four to be watched by, over a base in a folder."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.settings = Settings(home=folder, cache=folder / "cache", adapters=folder / "adapters")
        self.adapters = self.settings.adapters
        self.workspace = Workspace(folder / "qeu.db")
        rows = [make_row(n, reasoning=f"Think of {n}.") for n in range(16)]
        add_records(self.workspace, "demo", rows_of(iter(rows)), tell)
        with self.workspace.change() as db:
            db.execute("UPDATE records SET split = 'train'")
            db.execute("UPDATE records SET split = 'validation' WHERE no > 12")
        self.base = str(base)

    def order(
        self, name: str = "poems", steps: int = 3, save_every: int = 2, **changes: object
    ) -> TrainOrder:
        """An order that is fine; `changes` are fields of it."""
        order = TrainOrder(
            name,
            self.base,
            "demo",
            TRAIN,
            Variant(),
            LoraSettings(rank=4, alpha=8),
            TrainingSettings(steps=steps, max_length=1_000, save_every=save_every),
            watch=WatchSettings(rows=4, samples=2, sample_tokens=8),
        )
        return replace(order, **changes)  # type: ignore[arg-type]

    def start(self, name: str = "poems", steps: int = 3, **changes: object) -> RunFolder:
        """Start the stand-in worker on an order."""
        return start_run(
            self.workspace, self.order(name, steps, **changes), self.settings, spawn=spawn_stub
        )


def wait_for(what: Callable[[], bool]) -> None:
    """Return when it holds; the limit is for a machine that stalls."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.02)


def wait_for_state(folder: RunFolder, *states: str) -> None:
    """Return when the run is in one of these states."""
    wait_for(lambda: folder.status().state in states)
