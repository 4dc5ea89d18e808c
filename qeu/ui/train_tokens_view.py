"""Examples token by token as HTML: a tint a field, grey what is only read, a line at the cut."""

from collections.abc import Sequence

from qeu.services.train_examples import ShownExample, ShownPiece
from qeu.ui.markup import escape
from qeu.ui.strings import text

# More than these nobody reads on a page.
MOST_PIECES = 4_000
_WHICH_WORDS = {
    "shortest": "train.example.shortest",
    "median": "train.example.median",
    "longest": "train.example.longest",
    "random": "train.example.random",
}
FIELD_WORDS = {
    "system": "field.system",
    "task": "field.task",
    "instruction": "field.instruction",
    "input": "field.input",
    "reasoning": "field.reasoning",
    "output": "field.output",
    "marker": "field.marker",
    "template": "field.template",
    "end": "train.field.end",
}
# What is seen of signs that take no room.
_SIGNS = str.maketrans({"\n": "⏎\n", "\t": "⇥\t", "\r": "␍"})


def examples_html(examples: Sequence[ShownExample], language: str) -> str:
    """The examples, folded but for the median one; "" of none."""
    if not examples:
        return ""
    fields = dict.fromkeys(piece.field for one in examples for piece in one.pieces)
    keys = "".join(
        f'<span class="q-key"><i class="f-{escape(name)}"></i>'
        f"{escape(field_name(name, language))}</span>"
        for name in fields
    )
    read = escape(text("train.tokens.read", language))
    learned = escape(text("train.tokens.learned", language))
    legend = (
        f'<div class="q-legend"><span><i class="q-token q-learned f-reasoning">abc</i> {learned}'
        f'</span><span><i class="q-token f-reasoning">abc</i> {read}</span>{keys}</div>'
    )
    title = escape(text("train.tokens.title", language))
    shown = "".join(_example(one, language) for one in examples)
    return f'<section class="q-examples"><h4>{title}</h4>{legend}{shown}</section>'


def field_name(name: str, language: str) -> str:
    """A field of an example in the page's language."""
    return text(FIELD_WORDS[name], language) if name in FIELD_WORDS else name


def _example(one: ShownExample, language: str) -> str:
    ref = one.ref
    facts = [text("train.tokens.count", language, count=f"{ref.tokens:,}",
                  learned=f"{one.learned:,}")]  # fmt: skip
    if one.reasoning_from:
        facts.append(text("train.tokens.from", language, seq=one.reasoning_from))
    cut = ""
    if one.is_cut:
        told = text("train.tokens.cut", language, limit=f"{one.limit:,}")
        facts.append(told)
        cut = f'<span class="q-token-cut"><b>{escape(told)}</b></span>'
    kept, lost = one.split()
    which = escape(text(_WHICH_WORDS[ref.which], language))
    seq = escape(ref.seq or f"#{ref.id}")
    is_open = " open" if ref.which == "median" else ""
    lost_html = f'<span class="q-lost">{_pieces(lost, language)}</span>' if lost else ""
    return (
        # one name: a browser keeps one of them open at a time
        f'<details name="q-example" data-example="{escape(ref.which)}"{is_open}>'
        f"<summary><b>{which}</b> {seq} <small>{escape(' · '.join(facts))}</small></summary>"
        f'<div class="q-tokens" dir="auto" tabindex="0">{_pieces(kept, language)}{cut}{lost_html}'
        "</div></details>"
    )


def _pieces(pieces: Sequence[ShownPiece], language: str) -> str:
    shown = "".join(_piece(piece, language) for piece in pieces[:MOST_PIECES])
    rest = len(pieces) - MOST_PIECES
    return shown + (f'<span class="q-cut">… {rest:,}</span>' if rest > 0 else "")


def _piece(piece: ShownPiece, language: str) -> str:
    css = f"q-token f-{piece.field}"
    css += " q-learned" if piece.learned else ""
    css += " q-control" if piece.control else ""
    title = field_name(piece.field, language)
    if piece.tokens > 1:
        css += " q-joined"
        title += " · " + text("train.tokens.joined", language, count=piece.tokens)
    body = escape(piece.text.translate(_SIGNS))
    return f'<i class="{escape(css)}" title="{escape(title)}">{body}</i>'
