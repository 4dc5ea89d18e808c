"""Put the texts of bulk jobs together, record by record, without a model; keep what comes out."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qeu.core.ensemble import Candidate, Ensemble, choose_medoid, select_sentences
from qeu.core.errors import QeuError
from qeu.core.request import hash_json
from qeu.services.job_candidates import (
    Group,
    Proposal,
    failed_checks,
    iterate_proposals,
    read_proposals,
)
from qeu.store.changes import Progress
from qeu.store.job_ensembles import (
    StoredEnsemble,
    known_ensembles,
    put_ensembles,
    read_ensembles,
)
from qeu.store.job_reviews import group_name, list_waiting
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# Ways without a model; any other method is the model that fuses (`job_fusion.py`).
METHODS = {"medoid": choose_medoid, "sentences": select_sentences}
_TOGETHER = 200


@dataclass(frozen=True)
class Ensembled:
    """What was made, counted in records.

    `kept` stood there already, made of the same texts; `disputed` agree so little that a person
    should look; `broken` fail their contract as ensembles; `empty` had no text to take;
    `failed` are those that a model failed at, with `reasons` by sentence.
    """

    records: int = 0
    made: int = 0
    kept: int = 0
    disputed: int = 0
    broken: int = 0
    empty: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**self.__dict__, "reasons": dict(self.reasons)}


def make_ensembles(
    workspace: Workspace,
    group: Group,
    method: str = "medoid",
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Ensembled:
    """Ensembles of all records of the group; QeuError for an unknown method.

    What is made when `stop` is set stays: the counts are those until then.
    """
    make = _maker(method)
    name = group_name(group.numbers)
    known = known_ensembles(workspace, name, method)
    total = len(list_waiting(workspace, group.numbers))
    counts = dict.fromkeys(("records", "made", "kept", "disputed", "broken", "empty"), 0)
    fresh: list[StoredEnsemble] = []
    for stored, proposals in iterate_proposals(workspace, group):
        if stop is not None and stop.is_set():
            break
        counts["records"] += 1
        made_of = fingerprint(stored, proposals)
        if known.get(stored.id) == made_of:
            found = read_ensembles(workspace, name, stored.id)[method]
            counts["kept"] += 1
        else:
            found = _make(group, stored, method, make(_candidates(proposals)), made_of)
            fresh.append(found)
            counts["made"] += 1
        counts["disputed"] += found.ensemble.disputed
        counts["broken"] += bool(found.broken)
        counts["empty"] += not found.ensemble.text
        if len(fresh) >= _TOGETHER:
            put_ensembles(workspace, name, fresh)
            fresh = []
        progress(counts["records"], total)
    put_ensembles(workspace, name, fresh)
    return Ensembled(**counts)


def ensemble_of(
    workspace: Workspace, group: Group, stored: StoredRecord, method: str
) -> StoredEnsemble:
    """The ensemble of one record, made and kept if it is not there or its texts are others now."""
    name = group_name(group.numbers)
    proposals = read_proposals(workspace, group, stored.id)
    found = read_ensembles(workspace, name, stored.id).get(method)
    made_of = fingerprint(stored, proposals)
    if found is not None and (found.made_of == made_of or method not in METHODS):
        return found
    made = _maker(method)(_candidates(proposals))
    found = _make(group, stored, method, made, made_of)
    put_ensembles(workspace, name, [found])
    return found


def fingerprint(stored: StoredRecord, proposals: Sequence[Proposal]) -> str:
    """The hash of all that an ensemble depends on: the texts, and what they are held to."""
    record = stored.record
    texts = [[one.slot.letter, one.key, *one.broken] for one in proposals]
    held = [record.category, record.question, record.output]
    return hash_json({"texts": texts, "held": held})


def _candidates(proposals: Sequence[Proposal]) -> list[Candidate]:
    return [one.candidate() for one in proposals]


def _maker(method: str) -> Callable[[Sequence[Candidate]], Ensemble]:
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise QeuError(f"Unknown way of putting texts together {method!r}. Choose one of: {known}.")
    return METHODS[method]


def _make(
    group: Group,
    stored: StoredRecord,
    method: str,
    ensemble: Ensemble,
    made_of: str,
) -> StoredEnsemble:
    broken: tuple[str, ...] = ()
    if ensemble.text:
        checks = failed_checks(group.spec, stored.record, ensemble.text)
        broken = tuple(check.name for check in checks)
    return StoredEnsemble(stored.id, method, made_of, ensemble, broken)
