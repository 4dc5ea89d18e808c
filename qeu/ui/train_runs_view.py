"""The list of training runs as HTML: how far each is, what it came to, what can be done with it."""

from collections.abc import Mapping, Sequence

from qeu.core.run_status import RESUMABLE, STATES, TROUBLES
from qeu.ui.markup import escape
from qeu.ui.models_pickers import short_label
from qeu.ui.reasoning_jobs_view import time_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.train_reader import RunCurves, RunView

# As many runs stand open; earlier ones fold away.
OPEN_RUNS = 6
STATE_WORDS = {
    "queued": "job.state.queued",
    "starting": "train.state.starting",
    "running": "train.state.running",
    "saving": "train.state.saving",
    "finished": "train.state.finished",
    "stopped": "train.state.stopped",
    "failed": "train.state.failed",
    "interrupted": "train.state.interrupted",
}
assert set(STATE_WORDS) == set(STATES)
_STATE_CSS = {
    "running": "pass", "saving": "pass", "finished": "pass", "failed": "fail",
    "interrupted": "partial", "stopped": "partial",
}  # fmt: skip
TROUBLE_WORDS = {
    "memory": "train.trouble.memory",
    "data": "train.trouble.data",
    "nan": "train.trouble.nan",
    "disk": "train.trouble.disk",
    "library": "train.trouble.package",
    "base": "train.trouble.base",
}
assert set(TROUBLE_WORDS) == set(TROUBLES)
# What a worker says that it is at.
_PHASE_WORDS = {
    "libraries": "train.phase.libraries",
    "records": "train.phase.records",
    "base": "train.phase.base",
    "validation": "train.phase.validation",
    "samples": "train.phase.samples",
    "checkpoint": "train.phase.checkpoint",
}
_DEED_WORDS = {
    "keep": "train.do.keep",
    "discard": "train.do.discard",
    "resume": "train.do.resume",
    "refill": "train.do.refill",
    "delete": "train.do.delete",
    "evaluate": "evaluate.do",
}
# What cannot be taken back is asked about.
ASKED = {"discard": "train.ask.discard", "delete": "train.ask.delete"}
_REASONING_WORDS = {
    "none": "train.reasoning.none",
    "shuffled": "train.reasoning.shuffled",
}
_TARGET_WORDS = {
    "reasoning": "target.reasoning",
    "reasoning_task": "target.reasoning_task",
    "both": "target.both",
    "answer": "target.answer",
}


def runs_html(
    runs: Sequence[RunView],
    curves: Mapping[str, RunCurves],
    chosen: Sequence[str],
    asked: str,
    more: int,
    language: str,
    *,
    may_change: bool,
) -> str:
    """These runs, the latest first; `more` are folded away. `asked` is DEED NAME in question."""
    if not runs:
        return f'<p class="q-hint q-nothing">{escape(text("train.none", language))}</p>'
    inner = "".join(
        _run(run, curves.get(run.name, RunCurves()), chosen, asked, language, may_change)
        for run in runs
    )
    if more:
        told = escape(text("train.more", language, count=f"{more:,}"))
        inner += f'<button type="button" class="q-link" data-do="more">{told}</button>'
    return f'<div class="q-jobs">{inner}</div>'


def variant_text(run: RunView, language: str) -> str:
    """What the run learns, in few words."""
    passport = run.passport
    if passport is None:
        return ""
    parts = [text(_TARGET_WORDS[passport.target], language)]
    if passport.reasoning in _REASONING_WORDS:
        parts.append(text(_REASONING_WORDS[passport.reasoning], language))
    if passport.reasoning_dropout:
        parts.append(text("train.dropped", language, share=f"{passport.reasoning_dropout:.0%}"))
    return " · ".join(parts)


def state_chip(run: RunView, language: str) -> str:
    """The state as a chip."""
    state = run.status.state
    css = _STATE_CSS.get(state, "skip")
    told = escape(text(STATE_WORDS[state], language))
    return f'<span class="q-chip q-{css}" data-state="{state}">{told}</span>'


def _run(
    run: RunView,
    curves: RunCurves,
    chosen: Sequence[str],
    asked: str,
    language: str,
    may_change: bool,
) -> str:
    name, status = escape(run.name), run.status
    is_chosen = run.name in chosen
    facts = [short_label(run.base)] if run.base else []
    if run.passport:
        facts += [run.passport.dataset, variant_text(run, language)]
    title = escape(text("train.choose", language, name=run.name))
    head = (
        f'<button type="button" class="q-pick q-run" aria-pressed="{str(is_chosen).lower()}" '
        f'data-do="choose" data-value="{name}" title="{title}"><i></i><b>{name}</b>'
        f"<small>{escape(' · '.join(facts))}</small></button>"
    )
    chips = state_chip(run, language)
    if status.has_adapter and status.kept_step:
        kept = text("train.kept", language, step=f"{status.kept_step:,}")
        chips += f'<span class="q-chip">{escape(kept)}</span>'
    note = run.problem or status.message
    told = f'<p class="q-job-note">{escape(tell(note, language))}</p>' if note else ""
    deeds = _deeds(run, asked, language) if may_change else ""
    return (
        f'<article class="q-job" data-run="{name}" data-state="{status.state}">'
        f'<div class="q-job-head">{head}{_beside(run, is_chosen, chosen, language)}'
        f'<span class="q-job-chips">{chips}</span></div>{_bar(run)}<div class="q-job-foot">'
        f'<span class="q-job-facts">{escape(facts_text(run, curves, language))}</span>{deeds}'
        f"</div>{told}</article>"
    )


def facts_text(run: RunView, curves: RunCurves, language: str) -> str:
    """How far a run is, how long it still takes, and its last figures."""
    status = run.status
    parts = [text("train.step_of", language, step=f"{status.step:,}", steps=f"{status.steps:,}")]
    if status.is_open and status.phase in _PHASE_WORDS:
        parts.append(text(_PHASE_WORDS[status.phase], language))
    if status.is_open and status.left_s is not None and status.state != "queued":
        parts.append(text("job.left", language, time=time_text(status.left_s, language)))
    elif status.seconds:
        parts.append(time_text(status.seconds, language))
    loss, watched = curves.last("train", "loss"), curves.last("validation", "loss")
    if loss is not None:
        parts.append(text("train.fact.loss", language, loss=f"{loss:.3f}"))
    if watched is not None:
        parts.append(text("train.fact.validation", language, loss=f"{watched:.3f}"))
    return " · ".join(parts)


def _bar(run: RunView) -> str:
    status = run.status
    share = min(status.step / status.steps, 1.0) if status.steps else 0.0
    css = "failed" if status.state == "failed" else "done"
    return (
        f'<div class="q-job-bar" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="{status.steps}" aria-valuenow="{status.step}">'
        f'<i class="q-{css}" style="width:{share:.2%}"></i></div>'
    )


def _beside(run: RunView, is_chosen: bool, chosen: Sequence[str], language: str) -> str:
    if not chosen or (is_chosen and len(chosen) < 2):
        return ""
    key = "train.beside.out" if is_chosen else "train.beside"
    title = escape(text(key, language, name=run.name))
    return (
        f'<button type="button" class="q-deed q-beside" data-do="beside" '
        f'data-value="{escape(run.name)}" title="{title}" aria-label="{title}">'
        f"{'−' if is_chosen else '+'}</button>"
    )


def _deeds(run: RunView, asked: str, language: str) -> str:
    """The buttons of a run; in place of them the question, where one was pressed that asks."""
    name = escape(run.name)
    deed, _, about = asked.partition(" ")
    if about == run.name:
        question = escape(text(ASKED[deed], language, name=run.name))
        yes = escape(text(_DEED_WORDS[deed], language))
        no = escape(text("train.ask.no", language))
        return (
            f'<span class="q-deeds q-asking" role="alertdialog" aria-label="{question}">'
            f"<span>{question}</span>"
            f'<button type="button" class="q-deed q-sure" data-do="{deed}_sure" '
            f'data-value="{name}">{yes}</button>'
            f'<button type="button" class="q-deed" data-do="never_mind" data-value="{name}">'
            f"{no}</button></span>"
        )
    status = run.status
    if status.is_open:
        names = ["keep", "discard"]
    else:
        names = ["resume"] if status.state in RESUMABLE else []
        names += ["evaluate"] if status.state == "finished" else []
        names.append("delete")
    if run.passport:
        names.append("refill")
    buttons = "".join(
        f'<button type="button" class="q-deed" data-do="{one}" data-value="{name}">'
        f"{escape(text(_DEED_WORDS[one], language))}</button>"
        for one in names
    )
    return f'<span class="q-deeds">{buttons}</span>'
