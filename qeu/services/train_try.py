"""Try one step of a planned run on its longest batch: does it fit, and how long will it take?"""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from qeu.core.settings import Settings
from qeu.services.train_data import freeze_records
from qeu.services.train_plan import TrainPlan, with_probe
from qeu.services.train_probe_run import ProbeResult, run_probe
from qeu.services.train_start import make_passport
from qeu.store.run_folders import RunFolder
from qeu.store.workspace import Workspace


def try_step(
    workspace: Workspace,
    plan: TrainPlan,
    settings: Settings,
    stop: threading.Event | None = None,
) -> tuple[TrainPlan, ProbeResult]:
    """The plan with the time that follows, and the verdict; nothing of it stays on the disk.

    The plan has no problems, or trying would only tell them again. Raises QeuError where it cannot
    be tried at all, `Stopped` when `stop` is set.
    """
    assert not plan.problems, plan.problems
    with TemporaryDirectory(prefix="qeu-try-") as made:
        folder = RunFolder(Path(made))
        freeze_records(folder, workspace, plan.order, plan.train_ids, plan.watched_ids, stop)
        result = run_probe(folder.path, make_passport(folder, plan, settings), stop, settings)
    if result.seconds_per_step:
        plan = with_probe(plan, result.tokens_per_step / result.seconds_per_step)
    return plan, result
