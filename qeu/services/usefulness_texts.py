"""The reasonings whose usefulness is measured: those of a data set, or those that a job brought."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from qeu.core.errors import QeuError
from qeu.core.usefulness import Candidate, DonorPool
from qeu.services.job_output import response_of
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.job_items import Result, iterate_results
from qeu.store.jobs import Job, count_items
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records, load_records
from qeu.store.records import StoredRecord
from qeu.store.usefulness import iterate_candidates
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class Subject:
    """One reasoning for a record; `source` is who wrote it, `key` its number among all of them.

    `stale` where the record was changed after the text was made.
    """

    key: int
    source: str
    stored: StoredRecord
    text: str
    stale: bool = False

    @property
    def candidate(self) -> Candidate:
        """As a donor for others."""
        record = self.stored.record
        length = len(self.text.strip())
        return Candidate(self.key, self.stored.id, record.category, record.language, length)


class Texts(Protocol):
    """Reasonings to measure, part by part, and the donors that can stand in for each."""

    total: int

    def subjects(self, together: int) -> Iterator[list[Subject]]:
        """All of them in their order, so many at a time."""
        ...

    def pool(self, source: str) -> DonorPool:
        """Those that may be donors for a text of this source."""
        ...

    def find(self, key: int) -> Subject | None:
        """A donor; None where it is gone meanwhile."""
        ...


class RecordTexts:
    """The reasonings that stand in the records; donors come from the whole data set.

    So a record's donor is the same whatever the filter and the limit (0: none) are.
    """

    def __init__(
        self, workspace: Workspace, dataset: Dataset, where: Filter = ALL, limit: int = 0
    ) -> None:
        self._workspace, self._source = workspace, dataset.name
        ids = matching_ids(workspace, dataset, where)
        self._ids = ids[:limit] if limit else ids
        self.total = len(self._ids)
        self._pool = DonorPool(iterate_candidates(workspace, dataset))

    def subjects(self, together: int) -> Iterator[list[Subject]]:
        """The records' reasonings; an empty one where a record has none."""
        for batch in iterate_records(self._workspace, self._ids, together):
            yield [self._subject(stored) for stored in batch]

    def pool(self, source: str) -> DonorPool:
        """One for all."""
        return self._pool

    def find(self, key: int) -> Subject | None:
        """The reasoning of the record with this id."""
        found = load_records(self._workspace, [key])
        return self._subject(found[0]) if found else None

    def _subject(self, stored: StoredRecord) -> Subject:
        return Subject(stored.id, self._source, stored, stored.record.reasoning)


class JobTexts:
    """The reasonings that a job brought so far; donors are other texts of the same model.

    `limit` counts texts, 0 takes all. Raises QeuError for a job that writes no reasoning.
    """

    def __init__(self, workspace: Workspace, job: Job, limit: int = 0) -> None:
        if not (job.spec.writes_reasoning or job.spec.target == "both"):
            raise QeuError(
                f"Job {job.id} writes {job.spec.target}, and usefulness is that of a reasoning. "
                "Choose a job whose target is a reasoning, or both."
            )
        self._workspace, self._job, self._limit = workspace, job, limit
        done = count_items(workspace, job).done
        self.total = min(done, limit) if limit else done
        self._records: dict[int, int] = {}
        self._pools = self._make_pools()

    def subjects(self, together: int) -> Iterator[list[Subject]]:
        """The job's finished texts; those whose record was removed are left out."""
        results = iterate_results(self._workspace, self._job)
        found = self._all(islice(results, self._limit or None))
        while batch := list(islice(found, together)):
            yield batch

    def pool(self, source: str) -> DonorPool:
        """The texts of this model."""
        return self._pools[source]

    def find(self, key: int) -> Subject | None:
        """The text under this number of the job."""
        results = iterate_results(self._workspace, self._job, record=self._records[key])
        return next((one for one in self._all(results) if one.key == key), None)

    def _make_pools(self) -> dict[str, DonorPool]:
        candidates: dict[str, list[Candidate]] = {source: [] for source in self._job.spec.sources}
        for one in self._all(iterate_results(self._workspace, self._job)):
            if one.text.strip():
                self._records[one.key] = one.stored.id
                candidates[one.source].append(one.candidate)
        return {source: DonorPool(found) for source, found in candidates.items()}

    def _all(self, results: Iterator[Result]) -> Iterator[Subject]:
        for result in results:
            if result.record is not None and result.generation is not None:
                both = self._job.spec.target == "both"
                text = result.generation.reasoning if both else response_of(self._job, result)
                source = self._job.spec.sources[result.item.source]
                yield Subject(result.item.number, source, result.record, text, result.stale)
