"""What a side shows, as HTML: its state line, its checks, its texts, its prompt, its receipt."""

from collections.abc import Mapping, Sequence
from math import ceil

from qeu.core.contract import Check
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.services.runs import Live
from qeu.ui.markup import Mark, escape, field_text, marked_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text, words

SIGNS = {"pass": "✓", "fail": "✗", "partial": "~", "skip": "·"}


def head_html(live: Live | None, language: str) -> str:
    """State line and check chips; they keep their height, so that nothing below moves."""
    if live is None:
        return _head(text("side.idle", language), "idle", "", language)
    line, state = state_line(live, language)
    shown = live.text or live.generation
    checks = live.checks() if shown and live.phase != "failed" else {}
    return _head(line, state, chips_html(checks, language), language)


def state_line(live: Live, language: str) -> tuple[str, str]:
    """(text, CSS state) that tells slow from stuck: phase, tokens, speed, how it ended."""
    if live.phase == "failed":
        return text("side.failed", language), "error"
    if live.phase == "queued":
        return text("side.queued", language), "busy"
    if live.phase == "loading":
        step = words(language).get(f"load.{live.loading}", live.loading)
        share = f" {live.loaded_share:.0%}" if live.loaded_share else ""
        return text("side.loading", language, step=step) + share, "busy"
    if live.phase == "waiting":
        if live.waits_s:
            return text("side.limited", language, seconds=ceil(live.waits_s)), "busy"
        if live.ahead:
            return text("side.waiting", language, ahead=live.ahead), "busy"
        return text("side.starting", language), "busy"
    if live.phase == "reading":
        tokens = live.prepared.tokens if live.prepared else 0
        if not tokens:  # a server counts them and tells at the end
            return text("side.sent", language), "busy"
        return text("side.reading", language, tokens=tokens), "busy"
    facts = [
        text("side.tokens", language, count=live.new_tokens),
        text("side.speed", language, speed=f"{live.tokens_per_s:.1f}"),
        text("side.first", language, seconds=f"{live.ttft_s:.2f}"),
    ]
    if live.ended and not live.finished:
        return " · ".join([text(f"finish.{live.ended}", language), *facts]), live.ended
    if live.phase == "done" and live.generation:
        reason = live.generation.finish_reason
        return " · ".join([text(f"finish.{reason}", language), *facts]), reason
    return " · ".join(facts), "busy"


def text_html(live: Live | None, language: str) -> str:
    """Reasoning and answer apart, offending stretches marked; an empty side teaches."""
    if live is None:
        return f'<div class="q-text q-empty">{escape(text("side.empty", language))}</div>'
    if live.phase == "failed":
        return (
            f'<div class="q-text q-error" role="alert">{escape(tell(live.error, language))}</div>'
            + (_part("", live.text, (), live, language) if live.text else "")
        )
    reasoning, answer = live.parts()
    checks = live.checks() if live.text else {}
    pieces = []
    if live.ask.target != "answer":
        shown = checks.get("reasoning", ())
        pieces.append(_part("reasoning", reasoning, shown, live, language))
    if live.ask.target == "both" and (answer or live.finished):
        pieces.append(_part("answer", answer, checks.get("answer", ()), live, language))
    if live.ask.target == "answer":
        pieces.append(_part("answer", answer, checks.get("answer", ()), live, language))
    return _thinking(live.generation, language) + "".join(pieces)


def _thinking(generation: Generation | None, language: str) -> str:
    """What a hosted model thought in a channel of its own: folded, and no part of the text."""
    if generation is None or not generation.thinking:
        return ""
    title = text("text.thinking", language, tokens=f"{generation.thinking_tokens:,}")
    return (
        f'<details class="q-thinking"><summary>{escape(title)}</summary>'
        f'<div dir="auto">{escape(generation.thinking)}</div></details>'
    )


def chips_html(checks: Mapping[str, Sequence[Check]], language: str) -> str:
    """All checks as chips, those of the reasoning first."""
    chips = []
    for part, found in checks.items():
        many = len(checks) > 1
        name = f'<span class="q-of">{escape(text("part." + part, language))}</span>' if many else ""
        chips.append(name + "".join(_chip(check, language) for check in found))
    return "".join(chips)


def check_title(check: Check, language: str) -> str:
    """What a check found, in the page's language."""
    return tell(check.message, language)


def check_marks(checks: Sequence[Check], language: str) -> list[Mark]:
    """The offending stretches of a text; each says what is wrong with it."""
    return [
        Mark(span.start, span.end, f"m-{check.name}", tell(span.note, language))
        for check in checks
        if check.verdict in ("fail", "partial")
        for span in check.spans
    ]


def prompt_html(live: Live | None, language: str) -> str:
    """The twin view: the prompt as the model reads it, every field tinted, and a legend."""
    prepared = live.prepared if live else None
    if live is None or prepared is None:
        return f'<p class="q-hint">{escape(text("prompt.empty", language))}</p>'
    tokens = live.generation.prompt_tokens if live.generation else prepared.tokens
    fields = dict.fromkeys(span.field for span in prepared.spans)
    names = {field: words(language).get(f"field.{field}", field) for field in fields}
    legend = "".join(
        f'<span class="q-key"><i class="f-{escape(field)}"></i>{escape(name)}</span>'
        for field, name in names.items()
    )
    notes = _notes_html(prepared.notes, language)
    count = escape(text("prompt.tokens", language, count=tokens))
    body = field_text(prepared.text, prepared.spans, names)
    return (
        f'<div class="q-legend"><b>{count}</b>{legend}</div>{notes}'
        f'<pre class="q-prompt" dir="auto" tabindex="0">{body}</pre>'
    )


def receipt_html(generation: Generation | None, language: str) -> str:
    """What was asked, what was sent, what was dropped and why; where it ran."""
    if generation is None or generation.receipt is None:
        return f'<p class="q-hint">{escape(text("receipt.empty", language))}</p>'
    receipt = generation.receipt
    head = "".join(
        f"<th>{escape(text('receipt.' + name, language))}</th>"
        for name in ("name", "asked", "sent", "why")
    )
    rows = []
    for p in receipt.parameters:
        sent = text("receipt.dropped", language) if p.sent is None else p.sent
        css = ' class="q-dropped"' if p.sent != p.asked else ""
        cells = "".join(
            f"<td>{escape(v)}</td>" for v in (p.name, p.asked, sent, tell(p.why, language))
        )
        rows.append(f"<tr{css}>{cells}</tr>")
    model = _joined(generation.model, generation.revision[:12])
    if generation.adapter:
        model += f" @ {generation.adapter} · {(generation.adapter_hash or '')[:12]}"
    batch = text("receipt.batch", language, count=receipt.batch) if receipt.batch > 1 else ""
    where = _joined(receipt.engine, receipt.dtype, receipt.device, batch)
    versions = " · ".join(f"{name} {version}" for name, version in receipt.versions.items())
    notes = _notes_html(receipt.notes, language)
    return (
        f'<p class="q-hint">{escape(model)}<br>{escape(where)}<br>{escape(versions)}</p>'
        f'<div class="q-scroll"><table class="q-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def notice_html(message: str, kind: str = "info") -> str:
    """One line beside the buttons: a plan, a warning or what went wrong; empty keeps its place."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="q-notice q-{kind}" role="{role}">{escape(message)}</div>'


def failure_html(error: BaseException, language: str) -> str:
    """What ended a piece of work: our own sentence, or that it is a defect and of which kind."""
    if isinstance(error, QeuError):
        return notice_html(tell(str(error), language), "error")
    told = text("data.work.defect", language, kind=type(error).__name__)
    return notice_html(told, "error")


def _joined(*facts: str) -> str:
    """What is known of these, with dots between; a provider does not tell all."""
    return " · ".join(fact for fact in facts if fact)


def _notes_html(notes: Sequence[str], language: str) -> str:
    told = (escape(tell(note, language)) for note in notes)
    return "".join(f'<p class="q-note">{note}</p>' for note in told)


def _head(line: str, state: str, chips: str, language: str) -> str:
    label = escape(text("side.checks", language))
    return (
        f'<div class="q-state q-{escape(state)}" role="status">{escape(line)}</div>'
        f'<div class="q-chips" role="group" aria-label="{label}">{chips}</div>'
    )


def _chip(check: Check, language: str) -> str:
    value = "–" if check.value is None else check.value
    if check.name == "language":
        value = words(language).get(f"language.{value}", value)
    values = {
        "value": value,
        "limit": check.limit,
        "unit": words(language).get(f"unit.{check.unit}", check.unit),
    }
    known = words(language)
    label = known.get(f"chip.{check.name}.{check.verdict}") or known[f"chip.{check.name}"]
    return (
        f'<span class="q-chip q-{check.verdict}" tabindex="0" '
        f'title="{escape(check_title(check, language))}">'
        f"{SIGNS[check.verdict]} {escape(label.format(**values))}</span>"
    )


def _part(part: str, shown: str, checks: Sequence[Check], live: Live, language: str) -> str:
    title = f"<h4>{escape(text('part.' + part, language))}</h4>" if part else ""
    body = marked_text(shown, check_marks(checks, language))
    if not shown and live.finished:
        body = f'<span class="q-hint">{escape(text("side.nothing", language))}</span>'
    caret = "" if live.finished or live.ended else '<span class="q-caret"></span>'
    return f'<section class="q-part q-{part}">{title}<div dir="auto">{body}{caret}</div></section>'
