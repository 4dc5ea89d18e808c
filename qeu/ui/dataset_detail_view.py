"""One record as HTML: its fields with findings marked, its history, the text it trains with."""

from collections.abc import Mapping, Sequence

from qeu.core.record_checks import Finding
from qeu.core.text_diff import word_diff
from qeu.services.training_text import TrainingText
from qeu.store.records import TEXTS, StoredRecord
from qeu.store.undo import HistoryEntry, Origin, Step
from qeu.ui.dataset_view import finding_name, status_chip, value_name
from qeu.ui.markup import Mark, diff_text, escape, marked_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text, words

# The newest changes of a record; what is older stands in the export of its events.
MOST_ENTRIES = 40
_LONGEST_COMPARED = 8_000


def column_name(field: str, language: str) -> str:
    """A record's field in the page's language."""
    return words(language).get(f"dataset.column.{field}", field)


def head_html(stored: StoredRecord | None, place: str, language: str) -> str:
    """Which record this is, and what was decided about it."""
    if stored is None:
        return f'<p class="q-hint">{escape(text("dataset.no_record", language))}</p>'
    record = stored.record
    labels = [
        value_name("language", record.language, language),
        value_name("category", record.category, language),
        value_name("uniqueness", record.uniqueness, language),
        value_name("field", record.field, language),
        *([value_name("split", stored.split, language)] if stored.split else []),
    ]
    chips = "".join(f'<span class="q-chip">{escape(label)}</span>' for label in labels)
    if stored.review:
        fields = value_name("review", stored.review, language)
        unsure = escape(text("dataset.unsure", language, fields=fields))
        chips += f'<span class="q-chip q-partial">? {unsure}</span>'
    return (
        f'<div class="q-record-head" data-record="{stored.id}" data-status="{stored.status}">'
        f"<h3>{escape(record.seq or stored.id)}</h3>{status_chip(stored.status, language)}"
        f'<span class="q-of">{escape(place)}</span><div class="q-record-chips">{chips}</div></div>'
    )


def record_html(
    stored: StoredRecord | None,
    findings: Sequence[Finding],
    origins: Mapping[str, Origin],
    language: str,
) -> str:
    """The four texts, each with who wrote it; findings above, their spans marked."""
    if stored is None:
        return ""
    chips = "".join(_finding_chip(n, finding, language) for n, finding in enumerate(findings))
    if chips:
        title = escape(text("dataset.findings", language))
        chips = f'<div class="q-findings" role="group" aria-label="{title}">{chips}</div>'
    parts = [_text_html(stored, field, findings, origins, language) for field in TEXTS]
    return chips + "".join(parts) + _extra_html(stored, language)


def _finding_chip(number: int, finding: Finding, language: str) -> str:
    name = finding_name(finding.name, language)
    told = tell(finding.message, language)
    place = column_name(finding.place, language)
    return (
        f'<button type="button" class="q-chip q-fail" data-jump="finding-{number}" '
        f'data-field="{escape(finding.place)}" title="{escape(told)}">'
        f"⚑ {escape(name)} · {escape(place)}</button>"
    )


def _text_html(
    stored: StoredRecord,
    field: str,
    findings: Sequence[Finding],
    origins: Mapping[str, Origin],
    language: str,
) -> str:
    shown = stored.value(field)
    if not shown and field == "input":
        return ""
    marks = [
        Mark(start, end, f"m-found finding-{number}", _told(finding, language))
        for number, finding in enumerate(findings)
        if finding.place == field
        for start, end in finding.spans
    ]
    body = marked_text(shown, marks) or (
        f'<span class="q-hint">{escape(text("dataset.empty_field", language))}</span>'
    )
    return (
        f'<section class="q-part q-field" data-part="{field}"><h4>'
        f"{escape(column_name(field, language))}{_origin_html(origins.get(field), language)}</h4>"
        f'<div dir="auto">{body}</div></section>'
    )


def _told(finding: Finding, language: str) -> str:
    return tell(finding.message, language)


def _origin_html(origin: Origin | None, language: str) -> str:
    if origin is None:
        return ""
    parts = [_kind_name(origin.kind, language), origin.source, origin.licence]
    if origin.hinted:
        parts.append(text("dataset.hinted", language))
    if origin.preferred_to:
        parts.append(text("dataset.preferred", language, name=origin.preferred_to))
    shown = escape(" · ".join(part for part in parts if part))
    when = escape(f"{_when(origin.at)} · {origin.actor}")
    return f'<small title="{when}">{shown}</small>'


def _extra_html(stored: StoredRecord, language: str) -> str:
    if not stored.record.extra:
        return ""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value)[:400])}</td></tr>"
        for name, value in list(stored.record.extra.items())[:30]
    )
    title = escape(text("dataset.extra", language))
    table = f'<table class="q-table"><tbody>{rows}</tbody></table>'
    return (
        f'<details class="q-extra" data-keep="extra"><summary>{title}</summary>'
        f'<div class="q-scroll">{table}</div></details>'
    )


def history_html(entries: Sequence[HistoryEntry], language: str) -> str:
    """All changes of a record, the newest first, word by word; taken back ones struck."""
    items = []
    for entry in reversed(entries[-MOST_ENTRIES:]):
        kind = _kind_name(entry.kind, language)
        named = entry.field and entry.kind != "review"
        field = f" · {column_name(entry.field, language)}" if named else ""
        if entry.kind != "import" and not entry.field:
            field = f" · {text('dataset.removed', language)}"
        undone = text("dataset.undone_entry", language) if entry.state == "undone" else ""
        css = ' class="q-undone"' if undone else ""
        mark = f' <span class="q-chip">{escape(undone)}</span>' if undone else ""
        items.append(
            f"<li{css}><p><b>{escape(kind)}</b>{escape(field)}{mark}"
            f"<small>{escape(_when(entry.at))} · {escape(entry.actor)}</small></p>"
            f"{_change_html(entry, language)}</li>"
        )
    return f'<ol class="q-history">{"".join(items)}</ol>'


def _change_html(entry: HistoryEntry, language: str) -> str:
    if not entry.field:
        return ""
    if entry.field not in TEXTS:
        before, after = (
            value_name(entry.field, value, language) for value in (entry.before, entry.after)
        )
        return f'<div class="q-diff"><del>{escape(before)}</del> → <ins>{escape(after)}</ins></div>'
    return f'<div class="q-diff" dir="auto">{diff_html(entry.before, entry.after)}</div>'


def diff_html(before: str, after: str) -> str:
    """The words in which two texts differ."""
    return diff_text(word_diff(before[:_LONGEST_COMPARED], after[:_LONGEST_COMPARED]))


def conflict_html(stored: StoredRecord, mine: Mapping[str, str], language: str) -> str:
    """What somebody else stored meanwhile beside what stands in the form."""
    rows = "".join(
        f"<h4>{escape(column_name(field, language))}</h4>"
        f'<div class="q-diff" dir="auto">{diff_html(stored.value(field), value)}</div>'
        for field, value in mine.items()
        if stored.value(field) != value
    )
    told = escape(text("dataset.conflict", language))
    legend = escape(text("dataset.conflict.legend", language))
    return (
        f'<div class="q-conflict" role="alert"><p><b>{told}</b></p>'
        f'<p class="q-hint">{legend}</p>{rows}</div>'
    )


def training_html(shown: TrainingText, limit: int, note: str, language: str) -> str:
    """The training text tinted by field; what the loss looks at and what is cut are marked."""
    fields = dict.fromkeys(span.field for span in shown.spans)
    names = {field: words(language).get(f"field.{field}", field) for field in fields}
    legend = "".join(
        f'<span class="q-key"><i class="f-{escape(field)}"></i>{escape(name)}</span>'
        for field, name in names.items()
    )
    marks = [Mark(s.start, s.end, f"f-{s.field}", names.get(s.field, s.field)) for s in shown.spans]
    if shown.learned < len(shown.text):
        marks.append(Mark(shown.learned, len(shown.text), "t-learned"))
    cut = shown.kept < len(shown.text)
    if cut:
        told = text("dataset.training.cut_here", language)
        marks.append(Mark(shown.kept, len(shown.text), "t-cut", told))
    count = _count_text(shown, limit, language)
    notes = "".join(f'<p class="q-note">{escape(n)}</p>' for n in (*shown.notes, note) if n)
    css = " q-over" if shown.tokens is not None and shown.tokens > limit else ""
    return (
        f'<div class="q-legend{css}"><b>{escape(count)}</b>{legend}</div>{notes}'
        f'<pre class="q-prompt q-training" dir="auto" tabindex="0">'
        f"{marked_text(shown.text, marks)}</pre>"
    )


def _count_text(shown: TrainingText, limit: int, language: str) -> str:
    if shown.tokens is None or shown.prompt_tokens is None:
        return text("dataset.training.uncounted", language)
    values = {
        "tokens": f"{shown.tokens:,}",
        "prompt": f"{shown.prompt_tokens:,}",
        "learned": f"{shown.tokens - shown.prompt_tokens:,}",
        "limit": f"{limit:,}",
        "over": f"{max(0, shown.tokens - limit):,}",
    }
    if shown.prompt_tokens >= limit:
        return text("dataset.training.nothing_left", language, **_only(values, "prompt", "limit"))
    if shown.tokens > limit:
        return text("dataset.training.over", language, **_only(values, "tokens", "limit", "over"))
    return text("dataset.training.fits", language, **_only(values, "tokens", "prompt", "learned"))


def _only(values: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: values[name] for name in names}


def step_text(step: Step, language: str) -> str:
    """What a change was, for a button or a message."""
    head = step.what.rsplit(" (", 1)[0]
    count = f"{step.changed:,}"
    if step.kind == "edit":
        fields = head.removeprefix("edit of ").split(", ")
        names = ", ".join(column_name(field, language) for field in fields)
        return text("dataset.step.edit", language, fields=names)
    if step.kind == "import":
        name = head.removeprefix("import of ")
        return text("dataset.step.import", language, name=name, count=count)
    if step.kind == "review":
        decision = "" if head == "no decision" else head
        name = value_name("status", decision, language)
        return text("dataset.step.review", language, name=name, count=count)
    name = words(language).get(f"dataset.do.{head.replace(' ', '_')}", head)
    return text("dataset.step.other", language, name=name, count=count)


def _kind_name(kind: str, language: str) -> str:
    return words(language).get(f"dataset.kind.{kind}", kind)


def _when(at: str) -> str:
    return f"{at[:16].replace('T', ' ')} UTC"
