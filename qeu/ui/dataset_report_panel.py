"""What the panels of the Dataset tab show: previews with word diffs, tables, bars. Only HTML."""

from collections.abc import Iterable, Mapping, Sequence

from qeu.core.length_stats import Histogram
from qeu.core.text import one_line
from qeu.core.text_diff import word_diff
from qeu.services.data_preview import Difference, Preview
from qeu.store.records import TEXTS
from qeu.ui.markup import diff_text, escape
from qeu.ui.strings import text, words

# Of a text that stays the same this much is shown around a change.
_AROUND = 70
_LONGEST_CHANGE = 600
_LONGEST_COMPARED = 20_000
# Where the words for a facet's values stand.
_FAMILIES = {
    "language": "language.",
    "category": "category.",
    "uniqueness": "dataset.uniqueness.",
    "split": "dataset.split.",
    "status": "dataset.status.",
    "field": "dataset.field.",
}
_OWN_COLUMNS = ("no", "question", "english", "record")


def column_key(name: str) -> str:
    """The key of a field's name; most are those of the browser of records."""
    return f"data.column.{name}" if name in _OWN_COLUMNS else f"dataset.column.{name}"


def column_name(name: str, language: str) -> str:
    """A record's field in the page's language; a file's own column as it is."""
    return words(language).get(column_key(name), name)


def value_name(name: str, value: str, language: str) -> str:
    """A facet's value in the page's language."""
    if not value:
        return words(language).get(f"dataset.none.{name}", "–")
    if name == "review":
        return ", ".join(column_name(part, language) for part in value.split(","))
    family = _FAMILIES.get(name)
    return words(language).get(family + value, value) if family else value


def preview_html(preview: Preview, language: str, extra: str = "") -> str:
    """Counts by field and some records before and after, changes word by word."""
    if not preview.matched:
        return hint_html(text("data.preview.nobody", language))
    told = text(
        "data.preview.count",
        language,
        changed=f"{preview.changed:,}",
        matched=f"{preview.matched:,}",
    )
    parts = [
        f"{escape(column_name(name, language))} {count:,}"
        for name, count in sorted(preview.fields.items(), key=lambda item: -item[1])
    ]
    chips = "".join(f'<span class="q-chip">{part}</span>' for part in parts)
    head = f'<p class="q-told"><b>{escape(told)}</b> {chips}</p>{extra}'
    if not preview.sample:
        return head + hint_html(text("data.preview.nothing", language))
    sample = escape(text("data.preview.sample", language, count=len(preview.sample)))
    rows = "".join(_difference_html(one, language) for one in preview.sample)
    return (
        f'{head}<p class="q-hint">{sample}</p><div class="q-scroll">'
        f'<table class="q-table q-changes"><tbody>{rows}</tbody></table></div>'
    )


def _difference_html(one: Difference, language: str) -> str:
    if one.field in TEXTS:
        before, after = one.before[:_LONGEST_COMPARED], one.after[:_LONGEST_COMPARED]
        shown = diff_text(_shorten(word_diff(before, after)))
    else:
        old = value_name(one.field, one.before, language)
        new = value_name(one.field, one.after, language)
        shown = f"<del>{escape(one_line(old))}</del> → <ins>{escape(one_line(new))}</ins>"
    name = escape(column_name(one.field, language))
    return (
        f'<tr><th>{escape(one.seq)}</th><td class="q-of">{name}</td>'
        f'<td class="q-change" dir="auto">{shown}</td></tr>'
    )


def _shorten(steps: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """A diff without the long stretches that stay as they are."""
    last = len(steps) - 1
    for place, (kind, piece) in enumerate(steps):
        if kind != "equal":
            yield kind, piece if len(piece) <= _LONGEST_CHANGE else piece[:_LONGEST_CHANGE] + "…"
            continue
        head = piece[:_AROUND] if place else ""
        tail = piece[-_AROUND:] if place < last else ""
        short = len(piece) <= 2 * _AROUND
        yield kind, piece if short else f"{head} … {tail}"


def hint_html(message: str) -> str:
    """A quiet line."""
    return f'<p class="q-hint">{escape(message)}</p>'


def told_html(message: str) -> str:
    """The line that matters."""
    return f'<p class="q-told"><b>{escape(message)}</b></p>'


def notes_html(notes: Iterable[str]) -> str:
    """What a person should know, a line each."""
    return "".join(f'<p class="q-note">{escape(note)}</p>' for note in notes)


def table_html(head: Sequence[str], rows: Iterable[Sequence[object]], css: str = "") -> str:
    """A table of texts; numbers stand right."""
    shown = [tuple(row) for row in rows]
    first = shown[0] if shown else ("",) * len(head)
    top = "".join(
        f'<th scope="col"{" class=q-number" if isinstance(value, int) else ""}>{escape(name)}</th>'
        for name, value in zip(head, first, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown)
    return (
        f'<div class="q-scroll"><table class="q-table {css}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td class="q-number">{value:,}</td>' if value else '<td class="q-number">·</td>'
    return f'<td dir="auto">{escape(value)}</td>'


def bars_html(title: str, counts: Mapping[str, int], note: str = "", most: int = 12) -> str:
    """Labelled bars, the longest as wide as the place; further ones are summed up."""
    top = max(counts.values(), default=0) or 1
    shown = list(counts.items())[:most]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    if rest:
        shown.append(("…", rest))
    rows = "".join(
        f'<li><span title="{escape(name)}">{escape(name)}</span>'
        f'<i style="--v:{min(count / top, 1):.4f}"></i><b>{count:,}</b></li>'
        for name, count in shown
    )
    told = f'<p class="q-hint">{escape(note)}</p>' if note else ""
    return f'<section class="q-bars"><h4>{escape(title)}</h4><ul>{rows}</ul>{told}</section>'


def histogram_html(title: str, histogram: Histogram, language: str) -> str:
    """A histogram as bars, without the empty ones at either end."""
    bars = [(str(label), int(count)) for label, count in histogram.to_json()["bars"]]  # type: ignore
    filled = [place for place, (_, count) in enumerate(bars) if count]
    used = bars[filled[0] : filled[-1] + 1] if filled else []
    note = text(
        "data.stats.middle",
        language,
        median=f"{histogram.median:,}",
        mean=f"{histogram.mean:,.0f}",
        longest=f"{histogram.longest:,}",
    )
    return bars_html(title, dict(used), note)
