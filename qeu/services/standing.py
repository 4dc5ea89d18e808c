"""Where a person stands in the loop, in numbers, and which step makes sense next."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qeu.backends.adapter_files import CONFIG, WEIGHTS
from qeu.core.errors import QeuError
from qeu.core.run_status import OPEN_STATES
from qeu.store.counts import WorkspaceCounts, change_mark, count_workspace
from qeu.store.run_folders import STATUS, RunFolder, list_runs
from qeu.store.workspace import Workspace

# Of the time between two counts, counting takes at most this share, however often one asks.
MOST_SHARE = 1 / 20
# The steps of the loop with the tab where each is made, in the order in which they are looked at.
STEP_TABS = {
    "import": "dataset",
    "review": "reasoning",
    "watch_run": "train",
    "watch_job": "reasoning",
    "generate": "reasoning",
    "train": "train",
    "evaluate": "evaluate",
    "vote": "compare",
    "improve": "dataset",
}


@dataclass(frozen=True)
class Step:
    """The next sensible step: its name, the page's tab for it, and how many wait for it."""

    name: str
    tab: str
    count: int = 0


@dataclass(frozen=True)
class Standing:
    """What there is.

    `runs` are training runs made here, `open_runs` those that go on; what the adapters folder
    holds is None where it is not the reader's own (a public page).
    """

    counts: WorkspaceCounts = field(default_factory=WorkspaceCounts)
    runs: int | None = None
    open_runs: int | None = None
    adapters: int | None = None

    def next_step(self, tabs: Collection[str] = frozenset(STEP_TABS.values())) -> Step:
        """The first step that there is something to do for, and that one of `tabs` can make."""
        counts = self.counts
        waiting = {
            "import": not counts.records,
            "review": counts.waiting,
            "watch_run": self.open_runs or 0,
            "watch_job": counts.open_jobs,
            "generate": counts.without_reasoning if not self.runs else 0,
            "train": self.runs == 0,
            "evaluate": bool(self.runs) and not counts.votes and not counts.verdict,
            "vote": not counts.votes,
        }
        for name, count in waiting.items():
            if count and STEP_TABS[name] in tabs:
                return Step(name, STEP_TABS[name], int(count))
        return Step("improve", STEP_TABS["improve"])

    def to_json(self) -> dict[str, object]:
        """Plain values, with the next step."""
        known = {"runs": self.runs, "open_runs": self.open_runs, "adapters": self.adapters}
        return asdict(self.counts) | known | {"next": asdict(self.next_step())}


class StandingReader:
    """Reads the standing as often as anybody asks: what has not changed is not counted again.

    `adapters` None leaves its folder out. Safe from any thread.
    """

    def __init__(
        self,
        workspace: Workspace,
        adapters: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._adapters, self._clock = workspace, adapters, clock
        self._lock = threading.Lock()
        self._mark: tuple[int, int] | None = None
        self._counts = WorkspaceCounts()
        self._counted_at = self._cost_s = 0.0
        self._closed: dict[Path, int] = {}

    def read(self) -> Standing:
        """The standing of now; raises QeuError where the workspace cannot be read.

        In a large workspace that changes all the time, the counts may be a few seconds old.
        """
        with self._lock:
            self._count()
            if self._adapters is None:
                return Standing(self._counts)
            # an adapter that came with its passport alone was trained elsewhere
            runs = [run for run in list_runs(self._adapters) if (run.path / STATUS).is_file()]
            going = sum(self._is_open(run) for run in runs)
            return Standing(self._counts, len(runs), going, _count_adapters(self._adapters))

    def _count(self) -> None:
        start = self._clock()
        mark = change_mark(self._workspace)
        if mark == self._mark or start - self._counted_at < self._cost_s / MOST_SHARE:
            return
        self._counts, self._mark = count_workspace(self._workspace), mark
        self._counted_at = self._clock()
        self._cost_s = self._counted_at - start

    def _is_open(self, run: RunFolder) -> bool:
        """Whether a run goes on; one that was over is read again only where it was written to."""
        try:
            written = (run.path / STATUS).stat().st_mtime_ns
            if self._closed.get(run.path) == written:
                return False
            if run.status().state in OPEN_STATES:
                return True
            self._closed[run.path] = written
        except (OSError, QeuError):
            # a run without a readable status goes nowhere; the Train tab says what is wrong
            return False
        return False


def read_standing(workspace: Workspace, adapters: Path) -> Standing:
    """The standing of now, once."""
    return StandingReader(workspace, adapters).read()


def _count_adapters(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sum((path / CONFIG).is_file() and (path / WEIGHTS).is_file() for path in paths)
