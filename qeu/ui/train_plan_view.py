"""The plan of a training run as HTML: what is learned, cut and left out, what it takes."""

from collections.abc import Mapping, Sequence

from qeu.core.training_example import LOSSES
from qeu.services.train_plan import TrainPlan
from qeu.services.train_probe_run import ProbeResult
from qeu.ui.dataset_report_panel import bars_html, histogram_html, notes_html
from qeu.ui.markup import escape
from qeu.ui.reasoning_jobs_view import time_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.train_tokens_view import field_name

_WHY_WORDS = {
    "no_instruction": "train.why.no_instruction",
    "no_reasoning": "train.why.no_reasoning",
    "no_output": "train.why.no_output",
    "no_other": "train.why.no_other",
    "nothing_left": "train.why.nothing_left",
}
LOSS_WORDS = {
    "nothing": "train.lost.nothing",
    "prompt_cut": "train.lost.prompt_cut",
    "reasoning_cut": "train.lost.reasoning_cut",
    "answer_cut": "train.lost.answer_cut",
    "answer_lost": "train.lost.answer_lost",
    "nothing_left": "train.lost.nothing_left",
}
assert set(LOSS_WORDS) == set(LOSSES)


def plan_html(plan: TrainPlan, language: str) -> str:
    """Everything that is known before a run starts; problems first."""
    head = problems_html(plan.problems, language)
    notes = notes_html(tell(note, language) for note in plan.notes)
    if not plan.matched:
        return head + _costs(plan, language) + notes
    told = text("train.plan.examples", language, examples=f"{plan.examples:,}",
                matched=f"{plan.matched:,}")  # fmt: skip
    tokens = sum(plan.field_tokens.values())
    parts = [
        head,
        f'<p class="q-told"><b>{escape(told)}</b></p>',
        _facts(plan, tokens, language),
        _costs(plan, language),
        notes,
        _left_out(plan.left_out, plan.dropped, language),
    ]
    if plan.lengths.longest:
        shares = {field_name(name, language): n for name, n in plan.field_tokens.items()}
        parts.append(
            '<div class="q-columns">'
            + bars_html(text("train.plan.fields", language), shares)
            + histogram_html(text("train.plan.lengths", language), plan.lengths, language)
            + "</div>"
            + _cuts(plan, language)
        )
    return "".join(parts)


def twins_html(plans: Sequence[TrainPlan], language: str) -> str:
    """A row a run of those that are to be compared."""
    rows = "".join(
        f'<tr><th scope="row">{escape(plan.order.name)}</th>'
        f"<td class=q-number>{plan.examples:,}</td><td class=q-number>{plan.learned:,}</td>"
        f"<td class=q-number>{plan.order.training.steps:,}</td>"
        f"<td class=q-number>{escape(_time(plan, language))}</td></tr>"
        for plan in plans
    )
    names = ("train.twins.run", "train.plan.head.examples", "train.plan.head.learned",
             "train.plan.head.steps", "train.plan.head.time")  # fmt: skip
    head = "".join(
        f'<th scope="col"{" class=q-number" if at else ""}>{escape(text(name, language))}</th>'
        for at, name in enumerate(names)
    )
    return (
        f'<div class="q-scroll"><table class="q-table q-narrow"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def probe_html(result: ProbeResult | None, language: str) -> str:
    """What trying one step found; "" where none was tried."""
    if result is None:
        return ""
    key, css = ("train.probe.fits", "q-fits") if result.fits else ("train.probe.not", "")
    return (
        f'<div class="q-problems {css}" role="status"><b>{escape(text(key, language))}</b>'
        f"<p>{escape(tell(result.verdict, language))}</p></div>"
    )


def problems_html(problems: Sequence[str], language: str) -> str:
    """What must be put right before it can start."""
    if not problems:
        return ""
    items = "".join(f"<li>{escape(tell(one, language))}</li>" for one in problems)
    title = escape(text("train.plan.problems", language))
    return f'<div class="q-problems" role="alert"><b>{title}</b><ul>{items}</ul></div>'


def _facts(plan: TrainPlan, tokens: int, language: str) -> str:
    training = plan.order.training
    shown = [
        text("train.plan.tokens", language, tokens=f"{tokens:,}", learned=f"{plan.learned:,}"),
        text("train.plan.steps", language, steps=f"{training.steps:,}",
             epochs=f"{plan.epochs:.3g}"),
        text("train.plan.rows", language, rows=f"{plan.rows:,}",
             batch=f"{training.batch_size * training.accumulation:,}"),
        text("train.plan.validation", language, count=f"{plan.validation:,}"),
    ]  # fmt: skip
    return f'<p class="q-facts">{escape(" · ".join(shown))}</p>'


def _costs(plan: TrainPlan, language: str) -> str:
    """Memory, disk and time as three figures."""
    found = []
    if memory := plan.memory:
        sizes = {"weights": memory.weights, "activations": memory.cache, "rest": memory.overhead}
        told = {name: f"{size / 1e9:.2f}" for name, size in sizes.items()}
        parts = text("train.plan.memory.parts", language, **told)
        found.append(("train.plan.memory", f"{memory.total / 1e9:.1f} GB", parts))
    if plan.disk_bytes is not None:
        free = text("train.plan.free", language, free=f"{plan.free_bytes / 1e9:,.1f}")
        found.append(("train.plan.disk", f"{plan.disk_bytes / 1e6:,.0f} MB", free))
    if plan.examples:
        source = tell(plan.time_source, language)
        found.append(("train.plan.time", _time(plan, language), source))
    items = "".join(
        f"<li><small>{escape(text(key, language))}</small><b>{escape(value)}</b>"
        f"<small>{escape(note)}</small></li>"
        for key, value, note in found
    )
    return f'<ul class="q-costs">{items}</ul>' if items else ""


def _time(plan: TrainPlan, language: str) -> str:
    return "–" if plan.time_s is None else time_text(plan.time_s, language)


def _left_out(left_out: Mapping[str, int], dropped: int, language: str) -> str:
    rows = [
        f"<li><b>{count:,}</b> {escape(text(_WHY_WORDS[why], language))}</li>"
        for why, count in left_out.items()
    ]
    if dropped:
        rows.append(f"<li><b>{dropped:,}</b> {escape(text('train.why.dropped', language))}</li>")
    if not rows:
        return ""
    title = escape(text("train.plan.left_out", language))
    return f'<p class="q-hint">{title}</p><ul class="q-reasons">{"".join(rows)}</ul>'


def _cuts(plan: TrainPlan, language: str) -> str:
    """A row a length, a column a loss; the chosen length is marked."""
    lost = [name for name in LOSSES if any(name in found for found in plan.cuts.values())]
    head = "".join(
        f'<th scope="col" class=q-number>{escape(text(LOSS_WORDS[n], language))}</th>' for n in lost
    )
    chosen, rows = plan.order.training.max_length, ""
    for at, found in plan.cuts.items():
        cells = "".join(f"<td class=q-number>{found.get(n, 0) or '·'}</td>" for n in lost)
        css = ' class="q-chosen"' if at == chosen else ""
        rows += f'<tr{css}><th scope="row">{at:,}</th>{cells}</tr>'
    length = escape(text("train.plan.length", language))
    button = ""
    if plan.keep_length and plan.keep_length != chosen:
        told = escape(text("train.plan.keep", language, length=f"{plan.keep_length:,}"))
        button = (f'<button type="button" class="q-deed" data-do="length" '
                  f'data-value="{plan.keep_length}">{told}</button>')  # fmt: skip
    title = escape(text("train.plan.cuts", language))
    return (
        f'<h4 class="q-heading">{title} {button}</h4><div class="q-scroll">'
        f'<table class="q-table q-narrow"><thead><tr><th scope="col">{length}</th>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
