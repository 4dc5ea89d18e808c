"""Small pieces of HTML for texts that models and visitors wrote: shown as text, never executed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qeu.core.prompts import FieldSpan

# Besides HTML's own, the signs that the page's template language gives a meaning to.
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
    "`": "&#96;",
    "$": "&#36;",
    "{": "&#123;",
    "}": "&#125;",
}
_TABLE = str.maketrans(_ESCAPES)
_TEMPLATE_TABLE = str.maketrans({sign: _ESCAPES[sign] for sign in "`${}"})
# More than this is not read on a page; the whole text stays in the run and its export.
LONGEST_SHOWN = 40_000


def escape(value: object) -> str:
    """Any value as text that no browser or template will interpret."""
    return str(value).translate(_TABLE)


def escape_template(html: str) -> str:
    """HTML that was made elsewhere, so that the page's template language finds nothing to fill."""
    return html.translate(_TEMPLATE_TABLE)


@dataclass(frozen=True)
class Mark:
    """A stretch of text to point at: code-point offsets [start, end), a CSS class, a tooltip."""

    start: int
    end: int
    css: str
    title: str = ""


def marked_text(text: str, marks: Iterable[Mark]) -> str:
    """The text escaped, marks around their stretches; overlapping marks nest without crossing."""
    shown = text[:LONGEST_SHOWN]
    cuts = {0, len(shown)}
    inside = [m for m in marks if 0 <= m.start < min(m.end, len(shown))]
    for mark in inside:
        cuts.update((mark.start, min(mark.end, len(shown))))
    places = sorted(cuts)
    pieces = []
    for start, end in pairwise(places):
        piece = escape(shown[start:end])
        over = [m for m in inside if m.start <= start and end <= m.end]
        if over:
            css = " ".join(dict.fromkeys(m.css for m in over))
            title = " · ".join(dict.fromkeys(m.title for m in over if m.title))
            piece = f'<mark class="{escape(css)}" title="{escape(title)}">{piece}</mark>'
        pieces.append(piece)
    if len(text) > LONGEST_SHOWN:
        pieces.append(f'<span class="q-cut">… {len(text) - LONGEST_SHOWN:,}</span>')
    return "".join(pieces)


def field_text(text: str, spans: Sequence[FieldSpan], names: dict[str, str]) -> str:
    """A prompt with every field tinted; `names` are the fields' names in the page's language."""
    return marked_text(
        text, [Mark(s.start, s.end, f"f-{s.field}", names.get(s.field, s.field)) for s in spans]
    )


def diff_text(ops: Iterable[tuple[str, str]]) -> str:
    """A word diff: what only the left has struck, what only the right has underlined."""
    tags = {"delete": "del", "insert": "ins"}
    pieces = []
    for op, piece in ops:
        tag = tags.get(op)
        shown = escape(piece)
        pieces.append(f"<{tag}>{shown}</{tag}>" if tag else shown)
    return "".join(pieces)
