"""Evaluate in the background, one evaluation at a time, and keep what came of it.

Texts and losses are stored by the evaluation itself: an order that was stopped, or cut short by
the end of the program, goes on where it was when it is started again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from qeu.backends.engines import Engines
from qeu.backends.wheel import Progress as LoadProgress
from qeu.core.eval_spec import EvalSpec
from qeu.services.background import BackgroundRun, OneRun
from qeu.services.evaluate import Progress, evaluate
from qeu.services.evaluate_order import EvalOrder
from qeu.services.evaluate_pool import pool_groups
from qeu.services.evaluate_stored import KeptEvaluation, evaluation_from_json, evaluation_to_json
from qeu.store.evaluations import (
    OPEN,
    finish_evaluation,
    list_evaluations,
    open_evaluation,
    read_result,
)
from qeu.store.workspace import Workspace

# Fewer texts than this tell nothing about how long others take.
_FEWEST_TEXTS = 4


@dataclass
class _Step:
    """One step under way: what was known before it began, and when it began."""

    name: str
    known: int
    began: float
    done: int
    total: int


class EvaluateRun(BackgroundRun):
    """One evaluation under way; `step` is one of evaluate.STEPS or load.NAME, `done` of `total`."""

    name = "evaluation"

    def __init__(self, order: EvalOrder, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.order, self._clock = order, clock
        self.load, self._steps = "", list[_Step]()
        self._began = clock()

    @property
    def step(self) -> str:
        """What it is at, "" before anything is known."""
        return self.load or (self._steps[-1].name if self._steps else "")

    @property
    def done(self) -> int:
        """What is there of this step."""
        return self._steps[-1].done if self._steps and not self.load else 0

    @property
    def total(self) -> int:
        """What this step is to make, with what was there before."""
        return self._steps[-1].total if self._steps and not self.load else 0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest of this step takes at its pace so far; None while that is unknown."""
        if not self._steps or self.load:
            return None
        now, step = self._clock(), self._steps[-1]
        made = step.done - step.known
        return (step.total - step.done) * (now - step.began) / made if made >= 2 else None

    @property
    def seconds_a_text(self) -> float:
        """What it took for a text and a token that it could have had; 0 where that is unknown."""
        made = sum(step.done - step.known for step in self._steps if step.name == "texts")
        if made < _FEWEST_TEXTS:
            return 0.0
        return (self._clock() - self._began) / made / self.order.max_new_tokens

    def note(self, progress: Progress) -> None:
        """So far is the evaluation."""
        self.load = ""
        if not self._steps or self._steps[-1].name != progress.step:
            now, done = self._clock(), progress.done
            self._steps.append(_Step(progress.step, done, now, done, progress.total))
        step = self._steps[-1]
        step.done, step.total = progress.done, progress.total

    def note_load(self, progress: LoadProgress) -> None:
        """A model is being loaded."""
        self.load = f"load.{progress.step}"


class EvaluateRuns(OneRun[EvaluateRun]):
    """One evaluation at a time for a workspace, and those that were finished.

    `revision` rises whenever there is another finished one.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._read: KeptEvaluation | None = None
        self.revision = 0

    def start(self, engines: Engines, order: EvalOrder) -> EvaluateRun | None:
        """Begin what is ordered; it goes on in the background. None where another still runs.

        Raises UsageError for an order that cannot be meant.
        """
        spec = order.spec(engines.adapters)
        with self._lock:
            if self.running:
                return None
            number = open_evaluation(self._workspace, order.base, order.to_json())
            run = self.latest = EvaluateRun(order)
        run.work(lambda: self._evaluate(run, engines, spec, number))
        return run

    def find(self, number: int = 0) -> KeptEvaluation | None:
        """A finished evaluation, the last one for 0; None where there is none.

        Raises QeuError where it was kept by another version.
        """
        finished = [one for one in list_evaluations(self._workspace) if one.state != OPEN]
        one = next((one for one in finished if number in (0, one.id)), None)
        if one is None:
            return None
        with self._lock:
            if self._read is None or self._read.number != one.id:
                data = read_result(self._workspace, one.id)
                if data is None:
                    return None
                found = evaluation_from_json(data)
                self._read = KeptEvaluation(
                    found, len(found.records), found.notes, one.at, number=one.id
                )
            return self._read

    def interrupted(self) -> EvalOrder | None:
        """What was ordered last and neither runs nor has come to its end."""
        if self.running:
            return None
        last = list_evaluations(self._workspace, 1)
        return EvalOrder.from_json(last[0].asked) if last and last[0].state == OPEN else None

    def last_order(self) -> EvalOrder | None:
        """What was ordered last."""
        last = list_evaluations(self._workspace, 1)
        return EvalOrder.from_json(last[0].asked) if last else None

    def estimate(self, order: EvalOrder, texts: int) -> float | None:
        """Seconds that so many texts took with this base before, if none is there yet."""
        for one in list_evaluations(self._workspace):
            if one.base == order.base and one.seconds_a_text:
                return one.seconds_a_text * order.max_new_tokens * texts
        return None

    def _evaluate(self, run: EvaluateRun, engines: Engines, spec: EvalSpec, number: int) -> None:
        found = evaluate(
            engines, self._workspace, spec, progress=run.note, stop=run.stopping,
            on_load=run.note_load,
        )  # fmt: skip
        if found is None:
            return
        found = pool_groups(found) or found
        verdict = found.pairs[0].verdict if found.pairs else "unclear"
        result = evaluation_to_json(found)
        finish_evaluation(self._workspace, number, verdict, run.seconds_a_text, result)
        self.revision += 1
