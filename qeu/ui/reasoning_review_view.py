"""One record under review as HTML: all texts beside each other, the merged one tinted by origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.contract import Check
from qeu.core.ensemble import Part
from qeu.core.text import one_line
from qeu.services.job_candidates import EXTRA, Group, Proposal, failed_checks
from qeu.services.job_review import Case
from qeu.store.job_ensembles import StoredEnsemble
from qeu.ui.dataset_report_panel import column_name
from qeu.ui.dataset_view import value_name
from qeu.ui.markup import LONGEST_SHOWN, escape, marked_text
from qeu.ui.models_pickers import short_label
from qeu.ui.panels import check_marks, chips_html
from qeu.ui.strings import text

DECISION_WORDS = {
    "accept": "dataset.status.accept",
    "merged": "dataset.status.merged",
    "edited": "dataset.status.edited",
    "reject": "dataset.status.reject",
}
METHOD_WORDS = {"medoid": "job.method.medoid", "sentences": "job.method.sentences"}
# Tints of the writers; further ones share the last.
MOST_TINTS = 6


@dataclass(frozen=True)
class Stand:
    """Where a person stands: the n-th (from 0) of so many records, so many of them decided."""

    at: int
    total: int
    decided: int


def case_html(
    group: Group,
    case: Case,
    merged: StoredEnsemble | None,
    stand: Stand,
    turn: int,
    language: str,
    lines: Mapping[str, str],
) -> str:
    """Everything about one record; buttons name their keys. `lines` are below texts, by letter."""
    columns = "".join(
        _column(group, case, one, at, language, lines.get(one.slot.letter, ""))
        for at, one in enumerate(case.proposals)
    )
    ensemble = _merged(group, case, merged, language) if merged else ""
    return (
        f'<div class="q-review" data-turn="{turn}" data-record="{case.stored.id}">'
        f"{_head(case, stand, language)}{_question(case, language)}"
        f'<div class="q-texts">{columns}{_current(case, language)}{ensemble}</div>'
        f"{_foot(language)}</div>"
    )


def empty_html(message: str, turn: int) -> str:
    """Nothing to look at, and why."""
    told = f'<p class="q-hint q-nothing">{escape(message)}</p>'
    return f'<div class="q-review" data-turn="{turn}">{told}</div>'


def method_name(method: str, language: str) -> str:
    """How a text was merged: in words, or the model that fused it."""
    if method in METHOD_WORDS:
        return text(METHOD_WORDS[method], language)
    return text("job.method.model", language, model=short_label(method))


def field_name(field: str, language: str) -> str:
    """A field of the record, or a column beside its fields."""
    return column_name(field.removeprefix(EXTRA), language)


def origins_html(shown: str, parts: Sequence[Part], language: str) -> str:
    """A merged text, every sentence tinted by who says it and lettered so, too."""
    pieces, at = [], 0
    for part in sorted(parts, key=lambda part: part.start):
        pieces.append(escape(shown[at : part.start]))
        label = " ".join(part.sources) or "+"
        title = (
            text("job.origin.of", language, letters=", ".join(part.sources))
            if part.sources
            else text("job.origin.new", language)
        )
        pieces.append(
            f'<mark class="{_tint(part.sources)}" title="{escape(title)}">'
            f"{escape(shown[part.start : part.end])}<sup>{escape(label)}</sup></mark>"
        )
        at = part.end
    return "".join(pieces) + escape(shown[at:])


def _tint(sources: Sequence[str]) -> str:
    if not sources:
        return "o-new"
    if len(sources) > 1:
        return "o-both"
    return f"o-{min(ord(sources[0][-1]) - ord('A'), MOST_TINTS - 1)}"


def _legend(parts: Sequence[Part], language: str) -> str:
    keys: dict[str, str] = {}
    for part in parts:
        if not part.sources:
            told = text("job.origin.new", language)
        elif len(part.sources) > 1:
            told = text("job.origin.both", language)
        else:
            told = part.sources[0]
        keys[_tint(part.sources)] = told
    found = "".join(
        f'<span class="q-key"><i class="{css}"></i>{escape(told)}</span>'
        for css, told in sorted(keys.items())
    )
    return f'<div class="q-legend">{found}</div>'


def _head(case: Case, stand: Stand, language: str) -> str:
    record = case.stored.record
    place = text(
        "job.place", language, at=f"{stand.at + 1:,}", total=f"{stand.total:,}",
        decided=f"{stand.decided:,}",
    )  # fmt: skip
    chips = [
        f'<span class="q-chip">{escape(value_name("category", record.category, language))}</span>',
        f'<span class="q-chip">{escape(value_name("language", record.language, language))}</span>',
    ]
    if case.review:
        name = text(DECISION_WORDS[case.review.decision], language)
        css = "fail" if case.review.decision == "reject" else "pass"
        chips.append(f'<span class="q-chip q-{css}">{escape(name)}</span>')
    disputed = [made for made in case.ensembles.values() if made.ensemble.disputed]
    if disputed:
        share = f"{disputed[0].ensemble.agreement:.2f}"
        told = escape(text("job.disputed", language, agreement=share))
        chips.append(f'<span class="q-chip q-partial">{told}</span>')
    back = escape(text("job.key.back", language))
    on = escape(text("job.key.on", language))
    return (
        f'<header class="q-review-head"><h3>{escape(record.seq or case.stored.id)}</h3>'
        f'<span class="q-review-chips">{"".join(chips)}</span>'
        f'<span class="q-review-place" role="status">{escape(place)}</span>'
        f'<span class="q-pages"><button type="button" data-do="move" data-value="-1" '
        f'title="{back} (k)" aria-label="{back}">‹</button>'
        f'<button type="button" data-do="move" data-value="1" title="{on} (j)" '
        f'aria-label="{on}">›</button></span></header>'
    )


def _question(case: Case, language: str) -> str:
    record = case.stored.record
    asked = escape(record.question[:LONGEST_SHOWN])
    answer = record.output.strip()
    shown = ""
    if answer:
        title = escape(text("dataset.column.output", language))
        shown = (
            f'<details class="q-answer" data-keep="answer"><summary>{title}: '
            f'<span class="q-of">{escape(one_line(answer, 80))}</span></summary>'
            f'<div dir="auto">{escape(answer[:LONGEST_SHOWN])}</div></details>'
        )
    return f'<div class="q-asked" dir="auto">{asked}</div>{shown}'


def _column(group: Group, case: Case, one: Proposal, at: int, language: str, lines: str) -> str:
    slot, spec = one.slot, one.slot.job.spec
    checks = failed_checks(spec, case.stored.record, one.text)
    facts = [short_label(slot.ref)]
    if spec.samples > 1:
        facts.append(f"#{slot.sample + 1}")
    if len(group.jobs) > 1:
        facts.append(text("job.number", language, number=slot.job.id))
    if spec.view:
        name = spec.view_name or one_line(spec.view, 24)
        facts.append(text("job.view.chip", language, name=name))
    marks = [_note("hinted.chip", language)] if spec.hinted else []
    if one.result.item.attempts > 1:
        told = text("job.attempts", language, count=one.result.item.attempts)
        marks.append(f'<span class="q-chip">{escape(told)}</span>')
    made = one.result.generation
    if made is not None and made.finish_reason != "stop":
        told = text(f"finish.{made.finish_reason}", language)
        marks.append(f'<span class="q-chip q-partial">{escape(told)}</span>')
    if one.result.stale:
        marks.append(_note("stale", language, "partial"))
    chips = "".join(marks) + (chips_html({"reasoning": checks}, language) if checks else
                              _note("holds", language, "pass"))  # fmt: skip
    key = f" <kbd>{at + 1}</kbd>" if at < 9 else ""
    label = escape(text("job.accept", language, letter=slot.letter))
    css = f"o-{min(at, MOST_TINTS - 1)}"
    return (
        f'<section class="q-column" data-letter="{slot.letter}"><h4><i class="{css}"></i>'
        f"<b>{slot.letter}</b> {escape(' · '.join(facts))}</h4>"
        f'<div class="q-marks">{chips}</div>{_texts(one.texts, checks, language)}{lines}'
        f'<button type="button" class="q-accept" data-do="accept" data-value="{slot.letter}">'
        f"{label}{key}</button>{_edit(slot.letter, language)}</section>"
    )


def _edit(letter: str, language: str) -> str:
    title = escape(text("job.edit.letter", language, letter=letter))
    return (
        f'<button type="button" class="q-deed" data-do="edit" data-value="{letter}" '
        f'title="{title}" aria-label="{title}">✎</button>'
    )


def _texts(texts: Mapping[str, str], checks: Sequence[Check], language: str) -> str:
    """One text, or two under their names; offending stretches of the first are marked."""
    shown = []
    for at, (field, written) in enumerate(texts.items()):
        marks = check_marks(checks, language) if not at else []
        title = f"<h5>{escape(field_name(field, language))}</h5>" if len(texts) > 1 else ""
        body = marked_text(written, marks) or f'<span class="q-of">{_nothing(language)}</span>'
        shown.append(f'{title}<div class="q-written" dir="auto">{body}</div>')
    return "".join(shown)


def _current(case: Case, language: str) -> str:
    parts = []
    for field, written in case.current.items():
        name = escape(text("job.current", language, field=field_name(field, language)))
        body = escape(written[:LONGEST_SHOWN]) or f'<span class="q-of">{_nothing(language)}</span>'
        parts.append(f'<h4>{name}</h4><div class="q-written" dir="auto">{body}</div>')
    return f'<section class="q-column q-current">{"".join(parts)}</section>'


def _merged(group: Group, case: Case, made: StoredEnsemble, language: str) -> str:
    found = made.ensemble
    name = escape(method_name(made.method, language))
    agreement = text("job.agreement", language, share=f"{found.agreement:.2f}")
    checks = failed_checks(group.spec, case.stored.record, found.text) if found.text else []
    chips = chips_html({"reasoning": checks}, language) if checks else ""
    dropped = ""
    if found.dropped:
        letters = ", ".join(sorted(found.dropped))
        dropped = f'<p class="q-hint">{escape(text("job.dropped", language, letters=letters))}</p>'
    body = origins_html(found.text, found.parts, language) or _nothing(language)
    label = escape(text("job.accept.merged", language))
    button = (
        f'<button type="button" class="q-accept" data-do="merged">{label} <kbd>m</kbd></button>'
        if found.text
        else ""
    )
    return (
        f'<section class="q-column q-merged"><h4>{name}</h4>'
        f'<div class="q-marks"><span class="q-chip">{escape(agreement)}</span>{chips}</div>'
        f'<div class="q-written" dir="auto">{body}</div>{_legend(found.parts, language)}{dropped}'
        f"{button}</section>"
    )


def _foot(language: str) -> str:
    buttons = "".join(
        f'<button type="button" class="q-deed" data-do="{do}">'
        f"{escape(text(key, language))} <kbd>{letter}</kbd></button>"
        for do, key, letter in (
            ("edit", "job.key.edit", "e"),
            ("reject", "job.key.reject", "r"),
            ("undo", "job.key.undo", "u"),
        )
    )
    hint = escape(text("job.keys", language))
    return f'<footer class="q-review-foot">{buttons}<span class="q-hint">{hint}</span></footer>'


def _note(name: str, language: str, css: str = "skip") -> str:
    key, title = _NOTES[name]
    told = escape(text(title, language)) if title else ""
    return f'<span class="q-chip q-{css}" title="{told}">{escape(text(key, language))}</span>'


_NOTES = {
    "hinted.chip": ("job.hinted.chip", "job.hinted.help"),
    "stale": ("job.stale", "job.stale.help"),
    "holds": ("job.holds", ""),
}


def _nothing(language: str) -> str:
    return escape(text("side.nothing", language))
