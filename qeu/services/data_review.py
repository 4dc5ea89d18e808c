"""Accept, reject or mark records, one by one or all that a filter shows."""

import threading

from qeu.core.errors import QeuError
from qeu.store.changes import Applied, Progress, change_records
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.records import STATUSES
from qeu.store.workspace import Workspace


def set_status(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter,
    status: str,
    actor: str = "user",
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Applied:
    """Give the matching records a status; accepted ones leave the queue of unsure labels.

    Raises `Stopped` when `stop` is set: nothing is kept.
    """
    if status not in STATUSES:
        names = ", ".join(name or '""' for name in STATUSES)
        raise QeuError(f"Unknown status {status!r}. Choose one of: {names}.")
    new = {"status": status} | ({"review": ""} if status == "accepted" else {})
    data = {"decision": status, "source": "", "text": "", "distance": 0, "where": where.to_json()}
    return change_records(
        workspace, dataset, lambda stored: new, where,
        what="The review", data=data, kind="review", actor=actor, progress=progress, stop=stop,
    )  # fmt: skip
