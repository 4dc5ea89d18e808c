"""The texts that jobs brought for a record, beside each other: who wrote each, and what it breaks.

Several jobs are looked at together where they write the same of the same data set: two views, two
teachers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import find_model, split_ref
from qeu.core.contract import Check
from qeu.core.ensemble import Candidate
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.core.record import Record
from qeu.services.job_output import response_of
from qeu.services.job_requests import SourceRequests
from qeu.store.datasets import Dataset, list_datasets
from qeu.store.job_items import Result, iterate_results
from qeu.store.job_reviews import list_waiting
from qeu.store.jobs import Job, get_job
from qeu.store.queries import load_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace, dump_json

# A column of the record that is none of its own fields.
EXTRA = "extra."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Slot:
    """A place for a text in every record of a group of jobs; its letter is the same in all."""

    letter: str
    job: Job
    source: int
    sample: int

    @property
    def ref(self) -> str:
        """The model, as it was ordered."""
        return self.job.spec.sources[self.source]


@dataclass(frozen=True)
class Proposal:
    """One text for a record. `texts` are by the field of the record that they are meant for."""

    slot: Slot
    result: Result
    texts: Mapping[str, str]

    @property
    def text(self) -> str:
        """What is compared and put together: of a reasoning with its answer, the reasoning."""
        return next(iter(self.texts.values()))

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the checks that it fails."""
        return self.result.item.broken

    @property
    def key(self) -> str:
        """The hash of the request that it came from."""
        return self.result.item.key

    @property
    def is_usable(self) -> bool:
        """Whether there is a text at all, and it holds its contract."""
        return not self.broken and bool(self.text.strip())

    def candidate(self) -> Candidate:
        """As the ensemble takes it."""
        return Candidate(self.slot.letter, self.text, self.broken)


@dataclass(frozen=True)
class Group:
    """Jobs that are looked at together, with the data set that they are about."""

    jobs: tuple[Job, ...]
    dataset: Dataset
    slots: tuple[Slot, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The jobs' numbers."""
        return tuple(job.id for job in self.jobs)

    @property
    def spec(self) -> JobSpec:
        """What all of them write, and what it is held to."""
        return self.jobs[0].spec

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the record that accepted texts go into."""
        return target_fields(self.spec)


def target_fields(spec: JobSpec) -> tuple[str, ...]:
    """Where a job's texts go when they are accepted; "extra.NAME" is a column of `extra`."""
    if spec.writes_reasoning:
        return ("reasoning",)
    if spec.target == "both":
        return ("reasoning", "output")
    if spec.target == "answer":
        return ("output",)
    if spec.target == "translation":
        return (f"{EXTRA}{spec.text_field}_{spec.to_language}",)
    return (f"{EXTRA}response",)


def open_group(workspace: Workspace, numbers: Sequence[int]) -> Group:
    """The jobs of these numbers; raises QeuError where they cannot be looked at together."""
    if not numbers:
        raise QeuError("No job is chosen. Choose one from the list first.")
    jobs = tuple(get_job(workspace, number) for number in sorted(set(numbers)))
    first = jobs[0]
    for job in jobs[1:]:
        if job.dataset != first.dataset:
            raise QeuError(
                f"Jobs {first.id} and {job.id} are about different data sets. Review them apart."
            )
        if target_fields(job.spec) != target_fields(first.spec):
            raise QeuError(
                f"Jobs {first.id} and {job.id} write different fields of a record. "
                "Review them apart."
            )
    slots = [
        (job, source, sample)
        for job in jobs
        for source in range(len(job.spec.sources))
        for sample in range(job.spec.samples)
    ]
    lettered = tuple(Slot(letter_of(at), *slot) for at, slot in enumerate(slots))
    return Group(jobs, _dataset_of(workspace, first), lettered)


def letter_of(at: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    head, last = divmod(at, len(LETTERS))
    return (letter_of(head - 1) if head else "") + LETTERS[last]


def read_proposals(workspace: Workspace, group: Group, record: int) -> list[Proposal]:
    """The finished texts for one record, in the order of their letters."""
    return [
        make_proposal(slot, result)
        for job in group.jobs
        for result in iterate_results(workspace, job, record=record)
        for slot in (_slot_of(group, job, result),)
    ]


def iterate_proposals(
    workspace: Workspace, group: Group
) -> Iterator[tuple[StoredRecord, list[Proposal]]]:
    """Every record that is there with its texts, record by record; memory stays flat."""
    if len(group.jobs) == 1:
        [job] = group.jobs
        results = iterate_results(workspace, job)
        for _, members in groupby(results, key=lambda result: result.item.record):
            found = [make_proposal(_slot_of(group, job, result), result) for result in members]
            if stored := found[0].result.record:
                yield stored, found
        return
    for waiting in list_waiting(workspace, group.numbers):
        if stored := load_records(workspace, [waiting.record]):
            yield stored[0], read_proposals(workspace, group, waiting.record)


def make_proposal(slot: Slot, result: Result) -> Proposal:
    """A result as a text for its record."""
    fields, made = target_fields(slot.job.spec), result.generation
    if len(fields) == 2 and made is not None:
        texts = {"reasoning": made.reasoning.strip(), "output": made.answer.strip()}
    else:
        texts = {fields[0]: response_of(slot.job, result)}
    return Proposal(slot, result, texts)


def failed_checks(spec: JobSpec, record: Record, text: str) -> list[Check]:
    """The checks that a text of such a job fails, whoever wrote it."""
    nobody = SourceRequests(spec, "text", EngineIdentity("text", "", ""), "chat")
    return nobody.check(record, text, text)


def current_text(stored: StoredRecord, field: str) -> str:
    """What the record holds now where accepted texts go."""
    if field.startswith(EXTRA):
        return str(stored.record.extra.get(field.removeprefix(EXTRA), ""))
    return stored.value(field)


def stored_values(stored: StoredRecord, texts: Mapping[str, str]) -> dict[str, str]:
    """The same texts as values of fields that can be edited."""
    values = {name: text for name, text in texts.items() if not name.startswith(EXTRA)}
    more = {
        name.removeprefix(EXTRA): text for name, text in texts.items() if name.startswith(EXTRA)
    }
    if more:
        values["extra"] = dump_json({**stored.record.extra, **more})
    return values


def about_texts(proposals: Sequence[Proposal], source: str) -> dict[str, object]:
    """Who wrote these texts: model, adapter, licence, hint, view; several are named together."""
    refs = dict.fromkeys(one.slot.ref for one in proposals)
    made = [one.result.generation for one in proposals if one.result.generation]
    views = [one.slot.job.spec.view_name or one.slot.job.spec.view[:80] for one in proposals]
    return {
        "model": " + ".join(refs),
        "adapter": _together(split_ref(ref)[1] or "" for ref in refs),
        "adapter_hash": _together(one.adapter_hash or "" for one in made),
        "revision": _together(one.revision for one in made),
        "licence": _together(licence_of(ref) for ref in refs),
        "hinted": any(one.slot.job.spec.hinted for one in proposals),
        "view": _together(views),
        "target": proposals[0].slot.job.spec.target if proposals else "",
        "job": _together(str(one.slot.job.id) for one in proposals),
        "source": source,
    }


def licence_of(ref: str) -> str:
    """The licence of a model's texts as the table has it; "unknown" where nobody knows."""
    try:
        return find_model(split_ref(ref)[0], local_paths=False).licence
    except QeuError:
        return "unknown"


def _together(names: Iterator[str] | Sequence[str]) -> str:
    return " + ".join(name for name in dict.fromkeys(names) if name)


def _slot_of(group: Group, job: Job, result: Result) -> Slot:
    place = (job.id, result.item.source, result.item.sample)
    return next(s for s in group.slots if (s.job.id, s.source, s.sample) == place)


def _dataset_of(workspace: Workspace, job: Job) -> Dataset:
    for dataset in list_datasets(workspace):
        if dataset.id == job.dataset:
            return dataset
    raise QeuError(
        f"The data set of job {job.id} was removed. Restore it to look at the job's texts."
    )
