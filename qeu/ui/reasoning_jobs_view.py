"""The list of bulk jobs as HTML: how far each is, why texts failed, what was written last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.text import one_line
from qeu.services.job_candidates import target_fields
from qeu.services.job_plan import JobPlan
from qeu.services.job_tally import Tally
from qeu.store.jobs import Counts, Job
from qeu.ui.dataset_report_panel import notes_html
from qeu.ui.markup import escape
from qeu.ui.models_pickers import short_label
from qeu.ui.sentences import tell
from qeu.ui.strings import text

MOST_REASONS = 8
_LONGEST_SAMPLE = 400
STATE_WORDS = {
    "queued": "job.state.queued",
    "running": "job.state.running",
    "sleeping": "job.state.sleeping",
    "paused": "job.state.paused",
    "stopped": "job.state.stopped",
    "done": "job.state.done",
    "failed": "job.state.failed",
}
_STATE_CSS = {"running": "pass", "done": "pass", "sleeping": "partial", "failed": "fail"}
# What can be asked of a job in each state.
_DEEDS = {
    "queued": ("pause", "stop"),
    "running": ("pause", "stop"),
    "sleeping": ("resume", "pause", "stop"),
    "paused": ("resume", "stop"),
    "stopped": ("resume",),
    "failed": ("resume",),
    "done": (),
}
_DEED_WORDS = {
    "pause": "job.do.pause",
    "resume": "job.do.resume",
    "stop": "job.do.stop",
    "retry": "job.do.retry",
}
_TARGET_WORDS = {
    "reasoning": "target.reasoning",
    "reasoning_task": "target.reasoning_task",
    "both": "target.both",
    "answer": "target.answer",
    "translation": "job.target.translation",
    "template": "job.target.template",
}


@dataclass(frozen=True)
class JobLine:
    """A job as the list shows it; `tally` is there while this process works on it.

    `latest` are (seq, model, text) of what was written last, the newest first.
    """

    job: Job
    counts: Counts
    reasons: Sequence[tuple[str, str, int]] = ()
    tally: Tally | None = None
    latest: Sequence[tuple[str, str, str]] = ()


def jobs_html(
    lines: Sequence[JobLine], chosen: Sequence[Job], more: int, turn: int, language: str
) -> str:
    """These jobs, the latest first; `more` are folded away.

    `turn` changes with every answer, which tells the page's script of it.
    """
    if not lines:
        inner = f'<p class="q-hint q-nothing">{escape(text("job.none", language))}</p>'
    else:
        inner = "".join(_job(line, chosen, language) for line in lines)
        if more:
            told = escape(text("job.more", language, count=f"{more:,}"))
            inner += f'<button type="button" class="q-link" data-do="more">{told}</button>'
    return f'<div class="q-jobs" data-turn="{turn}">{inner}</div>'


def _job(line: JobLine, chosen: Sequence[Job], language: str) -> str:
    job, counts = line.job, line.counts
    spec = job.spec
    models = ", ".join(short_label(ref) for ref in spec.sources)
    target = text(_TARGET_WORDS[spec.target], language)
    is_chosen = job.id in [one.id for one in chosen]
    pressed = str(is_chosen).lower()
    title = escape(text("job.choose", language, number=job.id))
    chips = [
        f'<span class="q-chip q-{_STATE_CSS.get(job.state, "skip")}">'
        f"{escape(text(STATE_WORDS[job.state], language))}</span>"
    ]
    if spec.hinted:
        chips.append(f'<span class="q-chip">{escape(text("job.hinted.chip", language))}</span>')
    if spec.view:
        name = spec.view_name or one_line(spec.view, 24)
        told = text("job.view.chip", language, name=name)
        chips.append(f'<span class="q-chip" title="{escape(one_line(spec.view, 300))}">'
                     f"{escape(told)}</span>")  # fmt: skip
    head = (
        f'<button type="button" class="q-pick" aria-pressed="{pressed}" data-do="choose" '
        f'data-value="{job.id}" title="{title}"><i></i><b>{job.id}</b> {escape(target)}'
        f"<small>{escape(models)} · {escape(spec.dataset)}</small></button>"
    )
    note = tell(job.note, language) if job.note else ""
    told = f'<p class="q-job-note">{escape(note)}</p>' if note else ""
    return (
        f'<article class="q-job" data-job="{job.id}" data-state="{job.state}">'
        f'<div class="q-job-head">{head}{_beside(job, is_chosen, chosen, language)}'
        f'<span class="q-job-chips">{"".join(chips)}</span></div>'
        f'{_bar(counts)}<div class="q-job-foot">'
        f'<span class="q-job-facts">{escape(facts_text(line, language))}</span>'
        f"{_deeds(job, counts, language)}</div>{told}"
        f"{_reasons(line, language)}{_latest(line, language)}</article>"
    )


def _beside(job: Job, is_chosen: bool, chosen: Sequence[Job], language: str) -> str:
    """The button that takes a job in beside the chosen ones, or out again; "" where it cannot."""
    fits = all(
        one.dataset == job.dataset and target_fields(one.spec) == target_fields(job.spec)
        for one in chosen
    )
    if not fits or not chosen or (is_chosen and len(chosen) < 2):
        return ""
    title = escape(text("job.beside.out" if is_chosen else "job.beside", language, number=job.id))
    return (
        f'<button type="button" class="q-deed q-beside" data-do="beside" data-value="{job.id}" '
        f'title="{title}" aria-label="{title}">{"−" if is_chosen else "+"}</button>'
    )


def facts_text(line: JobLine, language: str) -> str:
    """How far a job is, how fast, how long it still takes, and what went wrong, on one line."""
    counts, tally = line.counts, line.tally
    ready = counts.total - counts.todo
    parts = [text("job.ready", language, ready=f"{ready:,}", total=f"{counts.total:,}")]
    if tally is not None:
        if tally.waiting:
            parts.append(tell(tally.waiting, language))
        elif tally.made:
            parts.append(text("side.speed", language, speed=f"{tally.tokens_per_s:.0f}"))
            left = tally.seconds_left(counts.todo)
            if left is not None and counts.todo:
                parts.append(text("job.left", language, time=time_text(left, language)))
    for number, key in (
        (counts.cached, "job.count.cached"),
        (counts.broken, "job.count.broken"),
        (counts.failed, "job.count.failed"),
        (counts.skipped, "job.count.skipped"),
    ):
        if number:
            parts.append(text(key, language, count=f"{number:,}"))
    return " · ".join(parts)


def time_text(seconds: float, language: str) -> str:
    """A time that a person can plan with."""
    whole = max(1, round(seconds))
    if whole < 60:
        return text("job.time.seconds", language, count=whole)
    if whole < 3600:
        return text("job.time.minutes", language, count=round(whole / 60))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return text("job.time.hours", language, hours=hours, minutes=f"{minutes:02d}")


def plan_html(plan: JobPlan, notes: Sequence[str], language: str) -> str:
    """What a job would do: what is there, what is to do and what it takes, what is left out."""
    facts = [
        text("job.plan.cached", language, count=f"{plan.cached:,}"),
        text("job.plan.todo", language, count=f"{plan.todo:,}"),
    ]
    if plan.todo:
        if plan.seconds is None:
            facts.append(text("job.plan.unknown", language))
        else:
            time = time_text(plan.seconds, language)
            facts.append(text("job.plan.time", language, time=time))
        facts.append(text("job.plan.tokens", language, count=f"{plan.tokens:,}"))
    if plan.skipped:
        facts.append(text("job.plan.skipped", language, count=f"{plan.skipped:,}"))
    told = escape(" · ".join(facts))
    records = escape(text("job.plan.records", language, count=f"{plan.records:,}"))
    return (
        f'<p class="q-told"><b>{told}</b> <span class="q-chip">{records}</span></p>'
        f"{_list_reasons(plan.reasons, language)}{notes_html(notes)}"
    )


def _list_reasons(reasons: Mapping[str, int], language: str) -> str:
    rows = sorted(reasons.items(), key=lambda item: -item[1])[:MOST_REASONS]
    told = (f"<li><b>{count:,}</b> {escape(tell(reason, language))}</li>" for reason, count in rows)
    return f'<ul class="q-reasons">{"".join(told)}</ul>' if rows else ""


def _bar(counts: Counts) -> str:
    total = counts.total or 1
    shares = (
        ("done", (counts.done - counts.broken) / total),
        ("broken", counts.broken / total),
        ("failed", (counts.failed + counts.skipped) / total),
    )
    parts = "".join(
        f'<i class="q-{name}" style="width:{share:.2%}"></i>' for name, share in shares if share
    )
    ready = counts.total - counts.todo
    return (
        f'<div class="q-job-bar" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="{counts.total}" aria-valuenow="{ready}">{parts}</div>'
    )


def _deeds(job: Job, counts: Counts, language: str) -> str:
    names = list(_DEEDS[job.state])
    if (counts.failed or counts.skipped) and job.state not in ("queued", "running"):
        names.append("retry")
    buttons = "".join(
        f'<button type="button" class="q-deed" data-do="{name}" data-value="{job.id}">'
        f"{escape(text(_DEED_WORDS[name], language))}</button>"
        for name in names
    )
    return f'<span class="q-deeds">{buttons}</span>'


def _reasons(line: JobLine, language: str) -> str:
    if not line.reasons:
        return ""
    rows = "".join(
        f"<li><b>{count:,}</b> {escape(tell(reason, language))}</li>"
        for _, reason, count in line.reasons[:MOST_REASONS]
    )
    title = escape(text("job.reasons", language))
    return (
        f'<details class="q-reasons" data-keep="reasons-{line.job.id}"><summary>{title}</summary>'
        f"<ul>{rows}</ul></details>"
    )


def _latest(line: JobLine, language: str) -> str:
    if not line.latest:
        return ""
    rows = "".join(
        f"<li><b>{escape(seq)}</b> <small>{escape(short_label(ref))}</small>"
        f'<span dir="auto">{escape(one_line(written, _LONGEST_SAMPLE))}</span></li>'
        for seq, ref, written in line.latest
    )
    title = escape(text("job.latest", language))
    return f'<div class="q-latest"><h4>{title}</h4><ul aria-live="polite">{rows}</ul></div>'
