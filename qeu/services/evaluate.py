"""Did it help? Ask records in several ways, measure every text, hold the ways against each other.

Texts and losses are stored under the hash of all they depend on as soon as they are there, so that
a stopped evaluation goes on where it was, and a second one with a further way makes only that.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.core.errors import QeuError
from qeu.core.eval_measures import Values, measure_leaks, measure_text
from qeu.core.eval_spec import EvalSpec
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.services.evaluate_ask import Asked, Writer, make_asked
from qeu.services.evaluate_losses import AskedLoss, LossTaker, make_asked_loss
from qeu.services.evaluate_result import EvalText, Evaluation, WayFacts
from qeu.services.evaluate_setup import Material, ReadyWay, gather, ready_ways
from qeu.services.evaluate_summary import summarize
from qeu.services.evaluate_useful import ABOUT, Reasoned, UsefulPlan, plan_usefulness
from qeu.store.records import StoredRecord
from qeu.store.usefulness import Loss
from qeu.store.workspace import Workspace

STEPS = ("texts", "answers", "losses")


@dataclass(frozen=True)
class Progress:
    """How far it is: `step` is one of STEPS, `done` of `total` of that step."""

    step: str
    done: int
    total: int


@dataclass
class _Draft:
    """One text on its way: what is asked, in one or two steps, and what came of it."""

    way: ReadyWay
    record: int
    seed: int
    first: Asked | None = None
    second: Asked | None = None
    reasoning: str = ""
    written: Generation | None = None
    answered: Generation | None = None
    error: str = ""
    losses: dict[str, AskedLoss] = field(default_factory=dict)
    useful: UsefulPlan | None = None

    def fail(self, error: str) -> None:
        """It takes part in nothing; the first reason stays."""
        self.error = self.error or error

    @property
    def last(self) -> Generation | None:
        """The generation that the answer comes from."""
        return self.answered if self.way.asking.answers_later else self.written


def evaluate(
    engines: Engines,
    workspace: Workspace,
    spec: EvalSpec,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    stop: threading.Event | None = None,
    on_load: OnProgress | None = None,
) -> Evaluation | None:
    """Run the evaluation to its end; None where `stop` came first: what was made is kept.

    Raises QeuError where the data set, a model or an adapter is not there, where nothing matches,
    and where an engine cannot go on at all.
    """
    stop = stop or threading.Event()
    spec = spec.checked()
    material = gather(workspace, spec)
    ways = ready_ways(engines, spec, stop, on_load)
    drafts = [
        _Draft(way, at, seed)
        for seed in range(1, spec.seeds + 1)
        for at in range(len(material.records))
        for way in ways
    ]
    writer = Writer(engines, workspace, spec.exact, stop, on_load)
    _write_first(drafts, material, spec, writer, progress)
    _write_second(drafts, material, spec, writer, progress)
    if stop.is_set():
        return None
    losses: Mapping[str, Loss] = {}
    if spec.losses:
        taker = LossTaker(engines, workspace, spec.exact, stop, on_load)
        losses = _take_losses(drafts, material, spec, taker, progress)
        if stop.is_set():
            return None
    records = [stored.record for stored in material.records]
    texts = [_finish(draft, records[draft.record], losses) for draft in drafts]
    return summarize(
        spec, records, material.matching, [_facts(way, records) for way in ways], texts
    )


def _write_first(
    drafts: Sequence[_Draft],
    material: Material,
    spec: EvalSpec,
    writer: Writer,
    progress: Callable[[Progress], None],
) -> None:
    for draft in drafts:
        stored, asking = material.records[draft.record], draft.way.asking
        try:
            draft.reasoning = material.given(asking.way, stored)
            shown = material.shown(asking.way, stored)
            prompt = asking.first(stored.record, draft.reasoning, shown)
        except QeuError as error:
            draft.fail(str(error))
            continue
        sampling = spec.sampling_of(draft.seed)
        draft.first = make_asked(draft.way, prompt, sampling, spec.exact)
    asked = {draft.first.key: draft.first for draft in drafts if draft.first}
    texts = writer.write(asked.values(), _told("texts", len(asked), progress))
    for draft in drafts:
        draft.written = _kept(draft, draft.first, texts)
        if draft.written and draft.way.asking.writes_reasoning:
            draft.reasoning = draft.written.reasoning


def _write_second(
    drafts: Sequence[_Draft],
    material: Material,
    spec: EvalSpec,
    writer: Writer,
    progress: Callable[[Progress], None],
) -> None:
    """The answers of those that wrote a reasoning only."""
    waiting = [draft for draft in drafts if draft.written and draft.way.asking.answers_later]
    for draft in waiting:
        stored, asking = material.records[draft.record], draft.way.asking
        shown = material.shown(asking.way, stored)
        prompt = asking.second(stored.record, draft.reasoning, shown)
        sampling = spec.sampling_of(draft.seed)
        draft.second = make_asked(draft.way, prompt, sampling, spec.exact)
    if not waiting:
        return
    asked = {draft.second.key: draft.second for draft in waiting if draft.second}
    texts = writer.write(asked.values(), _told("answers", len(asked), progress))
    for draft in waiting:
        draft.answered = _kept(draft, draft.second, texts)


def _take_losses(
    drafts: Sequence[_Draft],
    material: Material,
    spec: EvalSpec,
    taker: LossTaker,
    progress: Callable[[Progress], None],
) -> Mapping[str, Loss]:
    """Losses of the record's answer behind what stood before it, and of its reasoning."""
    for draft in drafts:
        if draft.way.is_local and not draft.error:
            _ask_losses(draft, material.records[draft.record], material)
    if spec.usefulness:
        _plan_usefulness(drafts, material)
    asked = {one.key: one for draft in drafts for one in draft.losses.values()}
    asked |= {
        one.key: one for draft in drafts if draft.useful for one in draft.useful.asked.values()
    }
    return taker.take(asked.values(), _told("losses", len(asked), progress)) if asked else {}


def _ask_losses(draft: _Draft, stored: StoredRecord, material: Material) -> None:
    record, asking = stored.record, draft.way.asking
    shown = material.shown(asking.way, stored)
    if record.output.strip():
        given = asking.answer(record, draft.reasoning, shown)
        draft.losses["answer_loss"] = make_asked_loss(draft.way, given)
    if asking.writes_reasoning and record.reasoning.strip():
        given = asking.reasoning(record, shown)
        draft.losses["reasoning_loss"] = make_asked_loss(draft.way, given)


def _plan_usefulness(drafts: Sequence[_Draft], material: Material) -> None:
    """Of each record's first text: two more losses a text are enough of this."""
    ways: dict[int, list[_Draft]] = {}
    for draft in drafts:
        asking = draft.way.asking
        if draft.losses and draft.seed == 1 and asking.way.reasoning in ABOUT:
            ways.setdefault(draft.way.at, []).append(draft)
    for some in ways.values():
        reasoned = []
        for draft in some:
            stored = material.records[draft.record]
            shown = material.shown(draft.way.way, stored)
            reasoned.append(Reasoned(draft.way, stored, draft.reasoning, shown))
        for draft, plan in zip(some, plan_usefulness(reasoned), strict=True):
            draft.useful = plan


def _finish(draft: _Draft, record: Record, losses: Mapping[str, Loss]) -> EvalText:
    asking, last = draft.way.asking, draft.last
    values: Values = {}
    answer = finish = ""
    if last is not None and not draft.error:
        answer, finish = last.answer, last.finish_reason
        values = measure_text(
            record, draft.reasoning, answer, last, writes_reasoning=asking.writes_reasoning
        )
        if draft.answered and draft.written:
            values["length"] = float(draft.written.new_tokens + draft.answered.new_tokens)
        for name, one in draft.losses.items():
            values[name] = losses[one.key][0] if one.key in losses else None
        if asking.way.reasoning == "given":
            values |= measure_leaks(record, draft.reasoning)
        if draft.useful:
            values |= draft.useful.values(losses)
    leak = draft.useful.leak if draft.useful and values else None
    return EvalText(
        draft.way.at, draft.record, draft.seed, draft.reasoning, answer, finish, values,
        draft.error, leak,
    )  # fmt: skip


def _kept(draft: _Draft, asked: Asked | None, texts: Mapping[str, Generation]) -> Generation | None:
    """The text, if it came; a failure becomes the draft's."""
    found = texts.get(asked.key) if asked else None
    if found is not None and found.finish_reason == "error":
        draft.fail(found.error or "The engine gave no text and no reason.")
        return None
    return found


def _facts(way: ReadyWay, records: Sequence[Record]) -> WayFacts:
    asking, identity = way.asking, way.identity
    learned = sum(record.identity in way.learned for record in records) if way.learned else 0
    return WayFacts(
        asking.way.name, asking.way.model, way.model, asking.layout, asking.target, asking.role.id,
        asking.way.reasoning, asking.way.examples, identity.revision, identity.dtype,
        identity.adapter_hash or "", way.is_local, learned,
    )  # fmt: skip


def _told(step: str, total: int, progress: Callable[[Progress], None]) -> Callable[[int], None]:
    def tell(done: int) -> None:
        progress(Progress(step, done, total))

    return tell


def count_texts(spec: EvalSpec, records: int) -> int:
    """How many texts an evaluation of so many records writes, before it starts."""
    return records * spec.seeds * len(spec.ways)
