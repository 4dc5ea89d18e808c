"""Let a model fuse the texts of bulk jobs into one, under the same contract; nothing twice.

A fused text is asked for as any text of a job is: its request has a key, its generation is kept
under it, and a text that breaks its contract is asked for again.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qeu.backends.base import Backend, Row
from qeu.backends.catalog import is_hosted, split_ref
from qeu.backends.engines import Engines
from qeu.core.contract import Check
from qeu.core.ensemble import Ensemble, find_origins, mean_agreement, usable
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.job_prompts import retry_feedback
from qeu.core.job_spec import JobSpec
from qeu.core.record import Record
from qeu.services.adapters import own_layout
from qeu.services.job_candidates import Group, Proposal, failed_checks, iterate_proposals
from qeu.services.job_ensemble import METHODS, Ensembled, fingerprint
from qeu.services.job_requests import Asked, SourceRequests
from qeu.store.changes import Progress
from qeu.store.generations import KEPT_ENDS, find_generations, insert_generations
from qeu.store.job_ensembles import StoredEnsemble, known_ensembles, put_ensembles
from qeu.store.job_reviews import group_name, list_waiting
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

FUSE_REASONING = (
    "Below are several ways of thinking about one question, by different writers. Write one that "
    "keeps the best of them: what several of them say comes first, nothing is said twice, and "
    "nothing is added. It tells how to get to a good answer in at most 5 lines and 120 words, and "
    "never gives the answer itself. Write only this text.\n\n"
    "Question:\n{question}\n\n{reasoning}"
)
FUSE_CREATIVE = 'Every sentence begins with "You should"'
FUSE_ANSWER = (
    "Below are several answers to one question, by different writers. Write one answer that keeps "
    "the best of them and says nothing twice. Write only the answer.\n\n"
    "Question:\n{question}\n\n{reasoning}"
)
_TOGETHER = 128


@dataclass
class _Task:
    """One record on its way to its fused text."""

    stored: StoredRecord
    proposals: Sequence[Proposal]
    shown: Record
    made_of: str
    asked: Asked
    tries: int = 1
    generation: Generation | None = None
    broken: list[Check] = field(default_factory=list)


def fuse(
    workspace: Workspace,
    engines: Engines,
    group: Group,
    model: str,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Ensembled:
    """Let `model` (MODEL or MODEL@ADAPTER) fuse the texts of every record that has two or more.

    Raises QeuError where the model cannot be asked (any more). What was fused by then stays, as
    it does when `stop` is set: the counts are those until then.
    """
    return _Fusion(workspace, engines, group, model, stop or threading.Event()).run(progress)


class _Fusion:
    def __init__(
        self,
        workspace: Workspace,
        engines: Engines,
        group: Group,
        model: str,
        stop: threading.Event,
    ) -> None:
        if model in METHODS:
            raise QeuError(f"{model!r} is a way without a model. Name a model to fuse the texts.")
        self.workspace, self.engines, self.group = workspace, engines, group
        self.model, self.stop = model, stop
        self.name = group_name(group.numbers)
        self.counts = dict.fromkeys(
            ("records", "made", "kept", "disputed", "broken", "empty", "failed"), 0
        )
        self.reasons: dict[str, int] = {}
        self.ended = ""  # why the model cannot be asked any more

    def run(self, progress: Progress) -> Ensembled:
        known = known_ensembles(self.workspace, self.name, self.model)
        total = len(list_waiting(self.workspace, self.group.numbers))
        name, adapter = split_ref(self.model)
        engine = self.engines.load(name, stop=self.stop)
        requests = {
            category: SourceRequests(spec, self.model, engine.identify(adapter), self._layout())
            for category, spec in self._specs().items()
        }
        tasks: list[_Task] = []
        for stored, proposals in iterate_proposals(self.workspace, self.group):
            if self.stop.is_set():
                break
            self.counts["records"] += 1
            made_of = fingerprint(stored, proposals)
            if known.get(stored.id) == made_of:
                self.counts["kept"] += 1
            elif task := self._open(stored, proposals, made_of, requests):
                tasks.append(task)
            if len(tasks) >= _TOGETHER:
                self._work(engine, requests, tasks)
                tasks = []
            progress(self.counts["records"], total)
        self._work(engine, requests, tasks)
        return Ensembled(**self.counts, reasons=self.reasons)

    def _layout(self) -> str:
        folder, local = self.engines.adapters, self.engines.local_paths
        learned = own_layout(folder, self.model, local_paths=local)
        return learned[0] if learned else ""

    def _specs(self) -> dict[bool, JobSpec]:
        """How the model is asked, for records that are not creative and for those that are."""
        ordered = self.group.spec
        text = FUSE_REASONING if ordered.writes_reasoning else FUSE_ANSWER
        spec = replace(
            ordered, sources=(self.model,), target="template", template=text, view="",
            view_name="", role="assistant", role_text="", hinted=False, samples=1, exact=False,
            layout="",
        )  # fmt: skip
        head, question = text.split("\n\n", 1)
        creative = replace(spec, template=f"{head} {FUSE_CREATIVE}.\n\n{question}")
        return {False: spec, True: creative if ordered.writes_reasoning else spec}

    def _open(
        self,
        stored: StoredRecord,
        proposals: Sequence[Proposal],
        made_of: str,
        requests: dict[bool, SourceRequests],
    ) -> _Task | None:
        kept, dropped = usable([one.candidate() for one in proposals])
        if len(kept) < 2:
            # nothing to fuse: the one text that is there stands for all
            text = kept[0].text.strip() if kept else ""
            self.counts["empty" if not kept else "made"] += 1
            if kept:
                found = Ensemble(text, find_origins(text, kept), 1.0, dropped)
                self._store([StoredEnsemble(stored.id, self.model, made_of, found, kept[0].broken)])
            return None
        listed = "\n\n".join(f"{one.source}:\n{one.text.strip()}" for one in kept)
        # the answer stays hidden from whoever fuses: only the texts and the question are shown
        shown = replace(stored.record, reasoning=listed, output="")
        asked = requests[stored.record.category == "creative"].ask(shown, 0)
        return _Task(stored, proposals, shown, made_of, asked)

    def _work(
        self, engine: Backend, requests: dict[bool, SourceRequests], tasks: list[_Task]
    ) -> None:
        while tasks:
            if self.stop.is_set():
                return
            known = find_generations(self.workspace, [task.asked.key for task in tasks])
            for task in tasks:
                task.generation = known.get(task.asked.key)
            self._compute(engine, [task for task in tasks if task.generation is None])
            ready, again = [], []
            for task in tasks:
                if task.generation is None:
                    continue
                text = task.generation.answer.strip() or task.generation.text.strip()
                task.broken = failed_checks(self.group.spec, task.stored.record, text)
                if task.broken and task.tries <= self.group.spec.retries:
                    task.tries += 1
                    asker = requests[task.stored.record.category == "creative"]
                    feedback = retry_feedback(task.broken)
                    task.asked = asker.ask(task.shown, 0, feedback, task.tries)
                    again.append(task)
                else:
                    ready.append(self._made(task, text))
            self._store(ready)
            if self.ended:
                raise QeuError(self.ended)
            tasks = again

    def _compute(self, engine: Backend, tasks: list[_Task]) -> None:
        """Ask for what is not kept yet; each text is kept as soon as it is there."""
        if not tasks:
            return
        name, adapter = split_ref(self.model)
        rows = [Row(task.asked.prompt, task.asked.sampling, adapter, self.stop) for task in tasks]

        def on_done(index: int, generation: Generation) -> None:
            if generation.finish_reason in KEPT_ENDS:
                tasks[index].generation = generation
                with self.workspace.change() as db:
                    insert_generations(db, {tasks[index].asked.key: generation})
            elif generation.finish_reason != "cancelled":
                sentence = generation.error or "The engine gave no text and no reason."
                if generation.trouble:
                    self.ended = sentence
                self.counts["failed"] += 1
                self.reasons[sentence] = self.reasons.get(sentence, 0) + 1

        if is_hosted(name):
            engine.generate(rows, on_done=on_done)
            return
        with self.engines.queue.turn(self.stop, lambda ahead: None) as mine:
            if mine:
                engine.generate(rows, on_done=on_done, turn=mine)

    def _made(self, task: _Task, text: str) -> StoredEnsemble:
        kept, dropped = usable([one.candidate() for one in task.proposals])
        agreement = mean_agreement([one.text for one in kept])
        found = Ensemble(text, find_origins(text, kept), agreement, dropped)
        self.counts["made"] += 1
        self.counts["disputed"] += found.disputed
        self.counts["broken"] += bool(task.broken)
        broken = tuple(check.name for check in task.broken)
        return StoredEnsemble(
            task.stored.id, self.model, task.made_of, found, broken, task.asked.key
        )

    def _store(self, made: Sequence[StoredEnsemble]) -> None:
        if made:
            put_ensembles(self.workspace, self.name, made)
