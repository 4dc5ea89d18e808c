"""The browser of records as HTML: facets with counts, the table of a page, its pager."""

from collections.abc import Iterable, Mapping, Sequence

from qeu.core.text import one_line
from qeu.services.data_browse import ROWS, Browse, View
from qeu.store.records import FACETS, StoredRecord
from qeu.ui.markup import escape
from qeu.ui.strings import text, words

# Sign, colour and key of each decision; the word beside it says the same without colour.
LOOKS = {
    "accepted": ("✓", "pass"),
    "needs_work": ("✎", "partial"),
    "rejected": ("✗", "fail"),
    "": ("·", "skip"),
}
# As many values of a facet stand open; further ones fold away.
OPEN_VALUES = 9
_LONGEST_CELL = 160
# Where the names of a facet's values stand; values of other facets are names themselves.
_FAMILIES = {
    "language": "language.",
    "category": "category.",
    "status": "dataset.status.",
    "uniqueness": "dataset.uniqueness.",
    "split": "dataset.split.",
    "field": "dataset.field.",
}
# Columns of the table: what stands in each, with the order that a click on it asks for.
_COLUMNS = (
    ("status", (("status", "status"),)),
    ("seq", (("seq", "seq"),)),
    (
        "texts",
        (
            ("instruction", "question_length"),
            ("reasoning", "reasoning_length"),
            ("output", "output_length"),
        ),
    ),
    ("category", (("category", "category"), ("language", "language"))),
)


def value_name(facet: str, value: str, language: str) -> str:
    """A facet's value in the page's language; a name of somebody's own as it is."""
    if not value:
        return text(f"dataset.none.{facet}", language)
    if facet == "review":
        names = [words(language).get(f"dataset.column.{n}", n) for n in value.split(",")]
        return ", ".join(names)
    return words(language).get(_FAMILIES.get(facet, "") + value, value.replace("_", " "))


def finding_name(name: str, language: str) -> str:
    """A check's finding in a few words."""
    return words(language).get(f"dataset.finding.{name}", name)


def status_chip(status: str, language: str) -> str:
    """A decision as a coloured chip."""
    sign, css = LOOKS.get(status, LOOKS[""])
    name = escape(value_name("status", status, language))
    return f'<span class="q-chip q-{css}">{sign} {name}</span>'


def facets_html(
    view: View,
    values: Mapping[str, Sequence[str]],
    checks: Mapping[str, int],
    language: str,
) -> str:
    """All facets with more than one value, chosen ones pressed; then the findings.

    `values` are those of the whole data set, so that none disappears while another is chosen.
    """
    groups = []
    for facet in FACETS:
        counts, chosen = dict(view.facets[facet]), getattr(view.browse.where, facet)
        known = list(dict.fromkeys([*values.get(facet, ()), *counts, *chosen]))
        if len(known) < 2 and not chosen:
            continue
        chips = [
            _chip("facet", facet, value, value_name(facet, value, language), counts.get(value, 0),
                  value in chosen)
            for value in known
        ]  # fmt: skip
        groups.append(_group(text(f"dataset.column.{facet}", language), chips, bool(chosen), facet))
    check = view.browse.where.check
    if checks or check:
        names = {"any": text("dataset.finding.any", language)}
        names |= {name: finding_name(name, language) for name in checks}
        chips = [
            _chip("check", "check", name, shown, checks.get(name), name == check)
            for name, shown in names.items()
        ]
        groups.append(_group(text("dataset.column.check", language), chips, bool(check), "check"))
    return f'<div class="q-facets">{"".join(groups)}</div>'


def _group(name: str, chips: Sequence[str], chosen: bool, facet: str) -> str:
    more = ""
    if len(chips) > OPEN_VALUES + 1:
        rest = "".join(chips[OPEN_VALUES:])
        more = (
            f'<details class="q-more" data-keep="{escape(facet)}">'
            f"<summary>+{len(chips) - OPEN_VALUES}</summary><div>{rest}</div></details>"
        )
        chips = chips[:OPEN_VALUES]
    css = " q-chosen" if chosen else ""
    label = escape(name)
    return (
        f'<div class="q-facet-group{css}" role="group" aria-label="{label}"><h4>{label}</h4>'
        f"<div>{''.join(chips)}{more}</div></div>"
    )


def _chip(do: str, facet: str, value: str, name: str, count: int | None, pressed: bool) -> str:
    number = "" if count is None else f" <b>{count:,}</b>"
    empty = " q-zero" if count == 0 and not pressed else ""
    return (
        f'<button type="button" class="q-facet{empty}" aria-pressed="{str(pressed).lower()}" '
        f'data-do="{do}" data-name="{escape(facet)}" data-value="{escape(value)}">'
        f"{escape(one_line(name, 32))}{number}</button>"
    )


def table_html(view: View, selected: int, turn: int, language: str) -> str:
    """The page's rows; `turn` changes with every answer, which tells the page's script of it."""
    if not view.page.rows:
        told = escape(text("dataset.nothing", language))
        inner = f'<p class="q-hint q-nothing">{told}</p>'
    else:
        rows = "".join(
            _row(stored, view.flags.get(stored.id, ()), stored.id == selected, language)
            for stored in view.page.rows
        )
        inner = (
            '<div class="q-rows" tabindex="-1"><table class="q-records">'
            f"<thead><tr>{_head(view.browse, language)}</tr></thead>"
            f"<tbody>{rows}</tbody></table></div>"
        )
    return f'<div class="q-browser" data-turn="{turn}">{_pager(view, language)}{inner}</div>'


def _head(browse: Browse, language: str) -> str:
    cells = []
    for column, sorts in _COLUMNS:
        here = [sort for _, sort in sorts if sort == browse.sort]
        state = ("descending" if browse.descending else "ascending") if here else "none"
        buttons = "".join(_sort_button(browse, *pair, language) for pair in sorts)
        cells.append(f'<th class="c-{column}" scope="col" aria-sort="{state}">{buttons}</th>')
    return "".join(cells)


def _sort_button(browse: Browse, column: str, sort: str, language: str) -> str:
    name = text(f"dataset.column.{column}", language)
    key = "dataset.sort.length" if sort.endswith("_length") else "dataset.sort"
    title = escape(text(key, language, column=name))
    arrow = ("▼" if browse.descending else "▲") if browse.sort == sort else ""
    shown = "✓" if column == "status" else escape(name)
    return (
        f'<button type="button" data-do="sort" data-value="{sort}" title="{title}" '
        f'aria-label="{title}">{shown}<i>{arrow}</i></button>'
    )


def _row(stored: StoredRecord, flags: Sequence[str], selected: bool, language: str) -> str:
    record = stored.record
    sign, css = LOOKS.get(stored.status, LOOKS[""])
    status = escape(value_name("status", stored.status, language))
    given = one_line(record.input, 80)
    more = f" <small>{escape(given)}</small>" if given else ""
    category = escape(value_name("category", record.category, language))
    spoken = escape(value_name("language", record.language, language))
    return (
        f'<tr data-do="open" data-value="{stored.id}" aria-selected="{str(selected).lower()}" '
        f'tabindex="{0 if selected else -1}">'
        f'<td class="c-status"><span class="q-sign q-{css}" title="{status}">{sign}</span></td>'
        f'<td class="c-seq"><div>{escape(record.seq)}</div>'
        f"<div>{_flags(stored, flags, language)}</div></td>"
        f'<td class="c-texts" dir="auto"><div>{_cell(record.instruction)}{more}</div>'
        f'<div class="q-two"><span class="t-reasoning">{_cell(record.reasoning)}</span>'
        f'<span class="t-output">{_cell(record.output)}</span></div></td>'
        f'<td class="c-category"><div>{category}</div><div>{spoken}</div></td></tr>'
    )


def _cell(shown: str) -> str:
    return escape(one_line(shown, _LONGEST_CELL)) or '<span class="q-of">–</span>'


def _flags(stored: StoredRecord, flags: Sequence[str], language: str) -> str:
    marks = []
    if flags:
        title = " · ".join(finding_name(name, language) for name in flags)
        marks.append(f'<span class="q-flag q-fail" title="{escape(title)}">⚑{len(flags)}</span>')
    if stored.review:
        title = text(
            "dataset.unsure", language, fields=value_name("review", stored.review, language)
        )
        marks.append(f'<span class="q-flag q-partial" title="{escape(title)}">?</span>')
    if stored.split:
        title = value_name("split", stored.split, language)
        letter = {"train": "T", "validation": "V", "test": "X"}.get(stored.split, "S")
        marks.append(f'<span class="q-flag q-skip" title="{escape(title)}">{letter}</span>')
    return "".join(marks)


def _pager(view: View, language: str) -> str:
    browse, page = view.browse, view.page
    last = max(0, (page.total - 1) // ROWS * ROWS)
    about = "" if page.total_exact else "≈ "
    total = f"{about}{page.total:,}"
    if page.total:
        told = text(
            "dataset.range",
            language,
            first=f"{browse.offset + 1:,}",
            last=f"{browse.offset + len(page.rows):,}",
            total=total,
        )
    else:
        told = text("dataset.range.none", language)
    back, on = browse.offset > 0, browse.offset + ROWS < page.total
    buttons = [
        _page_button("«", "first", 0, back, language),
        _page_button("‹", "previous", browse.offset - ROWS, back, language),
        _page_button("›", "next", browse.offset + ROWS, on, language),
        _page_button("»", "last", last, on, language),
    ]
    natural = browse.sort == "order" and not browse.descending
    order = "" if natural else _link("sort", "order", text("dataset.order", language))
    clear = _link("clear", "", text("dataset.clear", language)) if browse.where.to_json() else ""
    return (
        f'<div class="q-pager"><span role="status">{escape(told)}</span>{clear}{order}'
        f'<span class="q-pages">{"".join(buttons)}</span></div>'
    )


def _page_button(sign: str, name: str, offset: int, alive: bool, language: str) -> str:
    label = escape(text(f"dataset.page.{name}", language))
    dead = "" if alive else " disabled"
    return (
        f'<button type="button" data-do="page" data-name="{name}" data-value="{max(0, offset)}" '
        f'aria-label="{label}" title="{label}"{dead}>{sign}</button>'
    )


def _link(do: str, value: str, name: str) -> str:
    return (
        f'<button type="button" class="q-link" data-do="{do}" data-value="{value}">'
        f"{escape(name)}</button>"
    )


def empty_html(shipped: bool, language: str) -> str:
    """What an empty workspace teaches."""
    steps = "".join(
        f"<li>{escape(text(f'dataset.empty.{name}', language))}</li>" for name in _steps(shipped)
    )
    title = escape(text("dataset.empty.title", language))
    return f'<div class="q-teach"><h3>{title}</h3><ol>{steps}</ol></div>'


def _steps(shipped: bool) -> Iterable[str]:
    return ("shipped", "import", "compare") if shipped else ("import", "compare", "command")
