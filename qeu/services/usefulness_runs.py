"""Measure the usefulness of jobs' texts in the background, and keep what was found for the page.

Losses are stored by the measurement itself; what is kept here are its rows, by the text that they
are about. They live as long as the program: measuring again reads stored losses and is quick.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qeu.backends.engines import Engines
from qeu.backends.wheel import Progress
from qeu.core.record import Record
from qeu.core.usefulness import DonorPool
from qeu.services.background import BackgroundRun, OneRun
from qeu.services.usefulness import UsefulRow, measure_usefulness
from qeu.services.usefulness_texts import JobTexts, Subject
from qeu.store.jobs import Job, count_items
from qeu.store.workspace import Workspace

# Students × jobs whose rows are kept; the ones measured longest ago go first.
MOST_KEPT = 12


@dataclass(frozen=True)
class _Found:
    """A row, and a hash of the question, the answer and the text that it is about."""

    row: UsefulRow
    about: int


class UsefulnessRun(BackgroundRun):
    """One measurement under way; `done` of `total` texts, `step` the key of words for a load."""

    name = "usefulness"

    def __init__(self, student: str, jobs: tuple[int, ...]) -> None:
        super().__init__()
        self.student, self.jobs = student, jobs
        self.done, self.total, self.step = 0, 0, ""

    def note(self, done: int, total: int) -> None:
        """So many texts are known."""
        self.done, self.total, self.step = done, max(done, total), ""

    def note_load(self, progress: Progress) -> None:
        """The student is being loaded."""
        self.step = f"load.{progress.step}"


class UsefulnessRuns(OneRun[UsefulnessRun]):
    """One measurement at a time for a workspace, and the rows of the latest ones.

    `revision` rises whenever there are other rows.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._kept: dict[tuple[str, int], dict[int, _Found]] = {}
        self.revision = 0

    def start(
        self, engines: Engines, jobs: Sequence[Job], student: str, limit: int = 0
    ) -> UsefulnessRun | None:
        """Measure the finished texts of these jobs for `MODEL` or `MODEL@ADAPTER`.

        It goes on in the background. `limit` counts records of each job, 0 takes all. None where
        another one still runs.
        """
        with self._lock:
            if self.running:
                return None
            run = UsefulnessRun(student, tuple(job.id for job in jobs))
            for job in jobs:
                self._kept.pop((student, job.id), None)
                self._kept[student, job.id] = {}
            for key in list(self._kept)[:-MOST_KEPT]:
                del self._kept[key]
            self.latest, self.revision = run, self.revision + 1
        run.work(lambda: self._measure(run, engines, jobs, limit))
        return run

    def rows(self, student: str, job: int) -> list[UsefulRow]:
        """What is known of a job's texts, in their order; empty where they were not measured."""
        with self._lock:
            return [found.row for found in self._kept.get((student, job), {}).values()]

    def find(self, job: int, number: int, record: Record, text: str) -> list[tuple[str, UsefulRow]]:
        """(student, row) for the text under this number of a job, if it is still what was measured.

        The student measured last comes first. Nothing is computed.
        """
        about = _about(record, text)
        with self._lock:
            found = [
                (student, rows[number])
                for (student, measured), rows in self._kept.items()
                if measured == job and number in rows
            ]
        return [(student, one.row) for student, one in reversed(found) if one.about == about]

    def _measure(
        self, run: UsefulnessRun, engines: Engines, jobs: Sequence[Job], limit: int
    ) -> None:
        run.total = sum(_count(self._workspace, job, limit) for job in jobs)
        for job in jobs:
            end = limit * _width(job)
            texts = _Numbered(JobTexts(self._workspace, job, end), end)
            before, total = run.done, run.total
            parts = measure_usefulness(
                engines, self._workspace, texts, run.student, stop=run.stopping,
                progress=lambda done, _, before=before, total=total: run.note(before + done, total),
                on_load=run.note_load,
            )  # type: ignore[misc]  # fmt: skip
            for rows in parts:
                found = texts.found(rows)
                with self._lock:
                    self._kept.setdefault((run.student, job.id), {}).update(found)
                    self.revision += 1
            if run.stopping.is_set():
                return


class _Numbered:
    """A job's texts under their numbers in place of their sources: so every row says which it is.

    Numbers run record by record; only those below `end` are taken, 0 for all.
    """

    def __init__(self, texts: JobTexts, end: int) -> None:
        self._texts, self._end = texts, end
        self._batch: dict[str, Subject] = {}
        self.total = texts.total

    def subjects(self, together: int) -> Iterator[list[Subject]]:
        """The same texts; those of the part before are forgotten."""
        for batch in self._texts.subjects(together):
            taken = [one for one in batch if not self._end or one.key < self._end]
            if not taken:
                return
            self._batch = {str(one.key): one for one in taken}
            yield [replace(one, source=name) for name, one in self._batch.items()]

    def pool(self, source: str) -> DonorPool:
        """Other texts of the model that wrote this one."""
        return self._texts.pool(self._batch[source].source)

    def find(self, key: int) -> Subject | None:
        """The text under this number of the job."""
        return self._texts.find(key)

    def found(self, rows: Iterable[UsefulRow]) -> dict[int, _Found]:
        """Rows of the part that is measured, by number, under their own sources again."""
        found = {}
        for row in rows:
            one = self._batch[row.source]
            about = _about(one.stored.record, one.text)
            found[one.key] = _Found(replace(row, source=one.source), about)
        return found


def _width(job: Job) -> int:
    """The texts that a job has for each record."""
    return len(job.spec.sources) * job.spec.samples


def _count(workspace: Workspace, job: Job, limit: int) -> int:
    """The texts to measure; fewer where some of the first records have none."""
    done = count_items(workspace, job).done
    return min(done, limit * _width(job)) if limit else done


def _about(record: Record, text: str) -> int:
    return hash((record.question, record.output, record.category, text.strip()))
