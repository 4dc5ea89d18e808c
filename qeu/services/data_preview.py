"""What a change would do, before it is done: counts and a sample of before and after."""

import threading
from collections import Counter
from dataclasses import dataclass

from qeu.store.changes import Make, Progress
from qeu.store.datasets import Dataset, Stopped
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.workspace import Workspace

SAMPLE = 10


@dataclass(frozen=True)
class Difference:
    """One field of one record before and after."""

    seq: str
    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Preview:
    """`changed` of the `matched` records would change; `fields` counts them by field."""

    matched: int
    changed: int
    fields: dict[str, int]
    sample: tuple[Difference, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "matched": self.matched,
            "changed": self.changed,
            "fields": self.fields,
            "sample": [vars(difference) for difference in self.sample],
        }


def preview_change(
    workspace: Workspace,
    dataset: Dataset,
    make: Make,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Preview:
    """Run `make` over the matching records without storing anything."""
    ids = matching_ids(workspace, dataset, where)
    fields: Counter[str] = Counter()
    sample: list[Difference] = []
    changed = done = 0
    for batch in iterate_records(workspace, ids):
        if stop and stop.is_set():
            raise Stopped("The preview")
        for stored in batch:
            new = make(stored) or {}
            different = {k: v for k, v in new.items() if v != stored.value(k)}
            changed += bool(different)
            fields.update(list(different))
            if different and len(sample) < SAMPLE:
                seq = stored.record.seq
                sample += [Difference(seq, k, stored.value(k), v) for k, v in different.items()]
        done += len(batch)
        progress(done, len(ids))
    return Preview(len(ids), changed, dict(fields), tuple(sample[:SAMPLE]))
