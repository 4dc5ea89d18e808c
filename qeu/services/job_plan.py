"""What a job would do, before it is ordered: how much is there already, how long the rest takes."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass

from qeu.backends.catalog import split_ref
from qeu.backends.engines import Engines
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.services.adapters import own_layout
from qeu.services.job_requests import SourceRequests
from qeu.store.datasets import find_dataset
from qeu.store.filters import Filter
from qeu.store.job_items import find_answered
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.workspace import Workspace

# A text that nobody has measured is taken to use this share of the tokens it may have.
USUAL_SHARE = 0.5
_RECENT = 200


@dataclass(frozen=True)
class JobPlan:
    """Counts of texts, and what the rest costs; `seconds` None is unknown before the first run.

    `skipped` lack what the job needs; `reasons` tells why, by sentence.
    """

    records: int
    total: int
    cached: int
    skipped: int
    tokens: int
    seconds: float | None
    reasons: dict[str, int]

    @property
    def todo(self) -> int:
        """Texts that must be made."""
        return self.total - self.cached - self.skipped

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"todo": self.todo}


def plan_job(
    workspace: Workspace,
    engines: Engines,
    spec: JobSpec,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> JobPlan:
    """Look at every text of a job without making any; raises QeuError where it cannot be.

    A model whose weights are not on this machine yet has nothing cached.
    """
    spec = spec.checked()
    dataset = find_dataset(workspace, spec.dataset)
    ids = matching_ids(workspace, dataset, Filter.from_json(spec.where))
    if spec.limit:
        ids = ids[: spec.limit]
    cached = skipped = done = 0
    reasons: dict[str, int] = {}
    tokens, seconds = 0.0, 0.0
    known_speed = True
    total = len(ids) * spec.samples * len(spec.sources)
    for source in spec.sources:
        model, adapter = split_ref(source)
        identity = engines.identify(model, adapter, exact=spec.exact)
        learned = own_layout(engines.adapters, source, local_paths=engines.local_paths)
        asker = (
            SourceRequests(spec, source, identity, learned[0] if learned else "")
            if identity
            else None
        )
        todo = 0
        for batch in iterate_records(workspace, ids):
            if stop is not None and stop.is_set():
                raise QeuError("Looking at the job was stopped.")
            fingerprints = []
            for stored in batch:
                for sample in range(spec.samples if asker else 0):
                    try:
                        asked = asker.ask(stored.record, sample)  # type: ignore[union-attr]
                    except QeuError as error:
                        skipped += 1
                        reasons[str(error)] = reasons.get(str(error), 0) + 1
                    else:
                        fingerprints.append(asker.fingerprint(asked, stored.record))  # type: ignore[union-attr]
            found = len(find_answered(workspace, fingerprints))
            cached += found
            todo += (len(fingerprints) if asker else len(batch) * spec.samples) - found
            done += len(batch) * spec.samples
            progress(done, total)
        each, pace = _measured(workspace, source)
        tokens += todo * (each or USUAL_SHARE * spec.sampling.max_new_tokens)
        if pace is None and todo:
            known_speed = False
        seconds += todo * (pace or 0.0)
    return JobPlan(
        len(ids), total, cached, skipped, round(tokens), seconds if known_speed else None, reasons
    )


def _measured(workspace: Workspace, source: str) -> tuple[float | None, float | None]:
    """(new tokens, seconds) that a text took in this model's latest jobs; None where none was."""
    model = split_ref(source)[0]
    rows = workspace.read(
        "SELECT avg(json_extract(data, '$.new_tokens')) FROM "
        "(SELECT data FROM generations WHERE model = ? ORDER BY at DESC LIMIT ?)",
        (model, _RECENT),
    )
    paces = workspace.read(
        "SELECT seconds, (SELECT count(*) FROM job_items WHERE job = jobs.id AND state = 'done' "
        "AND cached = 0) AS made FROM jobs WHERE seconds > 0 "
        "AND json_extract(spec, '$.sources') = json_array(?) ORDER BY id DESC LIMIT 3",
        (source,),
    )
    made = sum(row["made"] for row in paces)
    pace = sum(row["seconds"] for row in paces) / made if made else None
    return rows[0][0], pace
