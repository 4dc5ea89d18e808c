"""How useful the reasonings of an evaluation are to whoever answers behind them, leaks cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qeu.core.eval_measures import Values
from qeu.core.eval_prompts import Asking
from qeu.core.record import Record
from qeu.core.usefulness import DonorPool, combine, cut_leaks
from qeu.services.evaluate_losses import AskedLoss, make_asked_loss
from qeu.services.evaluate_setup import ReadyWay
from qeu.services.usefulness import SEED, find_donor
from qeu.services.usefulness_texts import Subject
from qeu.store.records import StoredRecord
from qeu.store.usefulness import Loss

# Reasonings that are about the record: another record's is what these are held against.
ABOUT = ("own", "given")


@dataclass(frozen=True)
class Reasoned:
    """A reasoning that stood before a record's answer; `shown` are the worked examples."""

    way: ReadyWay
    stored: StoredRecord
    text: str
    shown: Sequence[Record] = ()


@dataclass
class UsefulPlan:
    """What is asked of one reasoning: losses behind it, behind another record's, behind none."""

    leak: float
    asked: dict[str, AskedLoss] = field(default_factory=dict)

    def values(self, losses: Mapping[str, Loss]) -> Values:
        """Both measures, None where a loss could not be had."""
        found = {name: losses[one.key][0] for name, one in self.asked.items() if one.key in losses}
        result = combine(found.get("own"), found.get("shuffled"), found.get("without"))
        return {"useful": result.useful, "gain": result.gain_without}


class _WayTexts:
    """The reasonings of one way: each may stand in for another record's."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.total = len(subjects)
        self._subjects = {subject.key: subject for subject in subjects}
        self._pool = DonorPool(subject.candidate for subject in subjects)

    def pool(self, source: str) -> DonorPool:
        """All of them."""
        return self._pool

    def find(self, key: int) -> Subject | None:
        """A donor."""
        return self._subjects.get(key)


def plan_usefulness(texts: Sequence[Reasoned]) -> list[UsefulPlan | None]:
    """A plan for each text of one way; None where there is no reasoning, or no answer to foretell.

    A reasoning that only gives the answer away has a leak score and nothing to ask.
    """
    subjects = [
        Subject(at, one.way.way.name, one.stored, one.text)
        for at, one in enumerate(texts)
        if one.text.strip() and one.stored.record.output.strip()
    ]
    pool = _WayTexts(subjects)
    plans: list[UsefulPlan | None] = [None] * len(texts)
    for subject in subjects:
        plans[subject.key] = _plan(texts[subject.key], subject, pool)
    return plans


def _plan(one: Reasoned, subject: Subject, pool: _WayTexts) -> UsefulPlan:
    record = one.stored.record
    own = cut_leaks(one.text, record)
    plan = UsefulPlan(own.leak)
    if not own.text:
        return plan
    behind = {"own": own.text, "without": ""}
    if found := find_donor(subject, own, pool, SEED):
        behind["shuffled"] = found[1].text
    for name, reasoning in behind.items():
        plan.asked[name] = _ask(one, reasoning)
    return plan


def _ask(one: Reasoned, reasoning: str) -> AskedLoss:
    """The loss of the record's answer; without a reasoning it is asked as if none were wanted."""
    asking: Asking = one.way.asking
    if not reasoning:
        asking = replace(
            asking, way=replace(asking.way, reasoning="none", target=""), target="answer"
        )
    return make_asked_loss(one.way, asking.answer(one.stored.record, reasoning, one.shown))
