"""Measure how useful reasonings are to a student: its loss on the answer, with this or another one.

Forward passes only. Every loss is kept under the hash of the student and the texts, so that a run
that was stopped goes on where it was, and another job or filter computes no loss a second time.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice

from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import find_layout, find_model, split_ref
from qeu.backends.engines import Engines
from qeu.backends.losses import LossMeter, LossRow
from qeu.backends.shelf import OnProgress
from qeu.core.errors import QeuError
from qeu.core.prompts import render
from qeu.core.record import Record
from qeu.core.request import hash_json
from qeu.core.roles import Role, find_role
from qeu.core.usefulness import Cut, Usefulness, combine, cut_leaks, cut_statements
from qeu.services.adapters import own_layout
from qeu.services.usefulness_texts import Subject, Texts
from qeu.store.usefulness import Loss, add_losses, find_losses
from qeu.store.workspace import Workspace

# Raise it when the same texts would be measured otherwise.
LOSS_VERSION = 1
SEED = 7
# Reasonings looked at together: enough to find others of like length.
TOGETHER = 64
# Donors looked at for one reasoning: where so many have nothing left, it is no use to go on.
MOST_DONORS = 24
NO_CUT = Cut("")


@dataclass(frozen=True)
class UsefulRow:
    """One reasoning's usefulness; `why` says what keeps the first column empty, "" if nothing.

    `leak` is the leak score of the text before sentences were cut, `partial` where it could be
    compared only in part. `donor` is the seq of the record whose reasoning stood in.
    `has_text` is False where there is no reasoning at all.
    """

    record: int
    seq: str
    category: str
    language: str
    source: str
    donor: str
    leak: float
    partial: bool
    stale: bool
    has_text: bool
    result: Usefulness
    why: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values, the columns beside the rest."""
        values = asdict(self)
        return values | values.pop("result")


@dataclass(frozen=True)
class Student:
    """Who is measured: `MODEL` or `MODEL@ADAPTER`, and how it is asked."""

    ref: str
    layout: str
    role: Role
    identity: EngineIdentity

    def ask(self, record: Record, reasoning: str) -> LossRow:
        """The prompt with this reasoning, "" for none, and the record's answer behind it."""
        rendered = render(replace(record, reasoning=reasoning), self.layout, self.role, "answer")
        return LossRow(rendered.prompt, rendered.completion_text)

    def key(self, row: LossRow) -> str:
        """The hash of all that the loss of a row depends on."""
        return hash_json(
            {
                "version": LOSS_VERSION,
                "model": self.identity.model,
                "revision": self.identity.revision,
                "adapter_hash": self.identity.adapter_hash,
                "dtype": self.identity.dtype,
                "text": row.prompt.text,
                "messages": [[m.role, m.content] for m in row.prompt.messages],
                "completion": row.completion,
            }
        )


@dataclass
class _Plan:
    """One reasoning on its way: what is asked, by name "own", "shuffled" and "without"."""

    subject: Subject
    own: Cut
    donor: str = ""
    shuffled: Cut = NO_CUT
    asked: dict[str, LossRow] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    why: str = ""

    def row(self, losses: dict[str, Loss], refused: dict[str, str]) -> UsefulRow | None:
        """The finished row; None while a loss is missing."""
        if any(key not in losses and key not in refused for key in self.keys.values()):
            return None
        record = self.subject.stored.record
        found = {name: losses.get(key) for name, key in self.keys.items()}
        values = {name: loss[0] for name, loss in found.items() if loss}
        why = self.why or next((refused[k] for k in self.keys.values() if k in refused), "")
        return UsefulRow(
            self.subject.stored.id, record.seq, record.category, record.language,
            self.subject.source, self.donor, self.own.leak, self.own.partial, self.subject.stale,
            bool(self.subject.text.strip()),
            combine(
                values.get("own"), values.get("shuffled"), values.get("without"),
                cut_own=self.own.sentences, cut_shuffled=self.shuffled.sentences,
                tokens=max((loss[1] for loss in found.values() if loss), default=0),
            ),
            why,
        )  # fmt: skip


def measure_usefulness(
    engines: Engines,
    workspace: Workspace,
    texts: Texts,
    student: str,
    *,
    role: str = "assistant",
    seed: int = SEED,
    exact: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
    on_load: OnProgress | None = None,
) -> Iterator[list[UsefulRow]]:
    """The usefulness of each text for `MODEL` or `MODEL@ADAPTER`, part by part, in their order.

    The student is loaded only where a loss is not known yet, with `exact` in float32: bfloat16
    rounds a loss by about 0.01. `stop` ends it; what was computed is kept. Raises QeuError for a
    student that runs on a server or cannot be loaded.
    """
    stop = stop or threading.Event()
    measure = _Measure(engines, workspace, student, role, exact, on_load, stop)
    done = 0
    for batch in texts.subjects(TOGETHER):
        if stop.is_set():
            return
        plans = [measure.plan(subject, texts, seed) for subject in batch]

        def tell(finished: int, before: int = done) -> None:
            progress(before + finished, texts.total)

        rows = measure.measure(plans, tell)
        done += len(rows)
        if rows:
            yield rows


class _Measure:
    """One student, measured at part after part."""

    def __init__(
        self,
        engines: Engines,
        workspace: Workspace,
        ref: str,
        role: str,
        exact: bool,
        on_load: OnProgress | None,
        stop: threading.Event,
    ) -> None:
        self._engines, self._workspace, self._exact = engines, workspace, exact
        self._on_load, self._stop = on_load, stop
        model, self._adapter = split_ref(ref)
        card = find_model(model, local_paths=engines.local_paths)
        if card.kind != "local":
            raise QeuError(
                f"{card.id} runs on a server, which does not tell the loss of a given text. "
                "Choose a student that is loaded here, such as smollm2-135m."
            )
        self._model_id = card.id
        learned = own_layout(engines.adapters, ref, local_paths=engines.local_paths)
        layout = (learned and learned[0]) or find_layout(card.id)
        identity = engines.identify(card.id, self._adapter, exact=exact)
        if identity is None:  # the weights are not here yet
            identity = self._load().identify(self._adapter)
        self.student = Student(ref, layout, find_role(role), identity)

    def plan(self, subject: Subject, texts: Texts, seed: int) -> _Plan:
        """Cut what leaks, choose the donor, and render what is to be asked."""
        record = subject.stored.record
        own = cut_leaks(subject.text, record)
        plan = _Plan(subject, own)
        if not record.output.strip():
            plan.why = "The record has no answer that a loss could be measured on."
        elif not subject.text.strip():
            plan.why = "There is no reasoning."
        elif not own.text:
            plan.why = "Every sentence gives an answer away: nothing is left to measure."
        if plan.why:
            return plan
        try:
            plan.asked = {
                "own": self.student.ask(record, own.text),
                "without": self.student.ask(record, ""),
            }
        except QeuError as error:
            plan.why = str(error)
            return plan
        self._add_donor(plan, texts, seed)
        plan.keys = {name: self.student.key(row) for name, row in plan.asked.items()}
        return plan

    def _add_donor(self, plan: _Plan, texts: Texts, seed: int) -> None:
        record = plan.subject.stored.record
        found = find_donor(plan.subject, plan.own, texts, seed)
        if found is None:
            plan.why = (
                f"No other record of category {record.category} and language {record.language} "
                "has a reasoning to compare with."
            )
            return
        donor, plan.shuffled = found
        plan.donor = donor.stored.record.seq
        plan.asked["shuffled"] = self.student.ask(record, plan.shuffled.text)

    def measure(self, plans: Sequence[_Plan], tell: Callable[[int], None]) -> list[UsefulRow]:
        """The rows of all plans, or of those that were complete when it was stopped."""
        wanted = {plan.keys[name]: row for plan in plans for name, row in plan.asked.items()}
        losses = find_losses(self._workspace, list(wanted))
        refused: dict[str, str] = {}

        def rows() -> list[UsefulRow]:
            return [row for plan in plans if (row := plan.row(losses, refused))]

        tell(len(rows()))
        missing = [key for key in wanted if key not in losses]
        for found in self._compute(missing, wanted, refused) if missing else ():
            losses |= found
            tell(len(rows()))
        return rows()

    def _compute(
        self, keys: Sequence[str], wanted: dict[str, LossRow], refused: dict[str, str]
    ) -> Iterator[dict[str, Loss]]:
        model = self._load()
        plan = model.plan_losses([wanted[key] for key in keys])
        refused.update({keys[at]: why for at, why in plan.refused.items()})
        for batch in plan.batches:
            # a turn for each batch: others wait for a second or two, not for all of it
            with self._engines.queue.turn(self._stop, lambda ahead: None) as mine:
                if not mine or self._stop.is_set():
                    return
                hash_ = self.student.identity.adapter_hash
                losses = model.losses(batch, self._adapter, self._stop, hash_)
            if not losses:
                return
            found = {
                keys[line.row]: (one.loss, one.tokens)
                for line, one in zip(batch, losses, strict=True)
            }
            add_losses(self._workspace, self.student.ref, found)
            yield found

    def _load(self) -> LossMeter:
        # a local model's backend tells losses, too
        return self._engines.load(  # type: ignore[return-value]
            self._model_id, exact=self._exact, progress=self._on_load, stop=self._stop
        )


def find_donor(subject: Subject, own: Cut, texts: Texts, seed: int) -> tuple[Subject, Cut] | None:
    """Whose reasoning stands in for a subject's, and what is left of it once its leaks are cut.

    `own` is what was left of the subject's. None where nobody else of its category and language has
    one that says something else.
    """
    record = subject.stored.record
    for key in islice(texts.pool(subject.source).donors(subject.candidate, seed), MOST_DONORS):
        donor = texts.find(key)
        if donor is None or donor.stored.record.question == record.question:
            continue
        first = cut_leaks(donor.text, donor.stored.record)
        second = cut_statements(first.text, record)
        # a copy of the text itself is no other reasoning
        if second.text and second.text != own.text:
            return donor, replace(second, sentences=first.sentences + second.sentences)
    return None
