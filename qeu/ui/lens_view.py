"""What the next-token drawer shows of a text, as HTML: token by token, coloured by surprise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from qeu.core.lens import PairedToken, PartMean, ReadToken, Surprise, TwoSides
from qeu.core.sampling import Sampling
from qeu.services.asks import Live
from qeu.services.lens import Look
from qeu.services.lens_reader import LensSide
from qeu.ui.markup import escape
from qeu.ui.sentences import tell
from qeu.ui.strings import text

# What the colour of a token can tell, and where its shades begin.
COLOURS = {"own": "lens.colour.own", "other": "lens.colour.other", "kl": "lens.colour.kl"}
_SHADES = {"own": (1, 2, 4, 8), "other": (1, 2, 4, 8), "kl": (0.1, 0.3, 1, 3)}
_SIDES = {"left": "lens.side.left", "right": "lens.side.right"}
_PARTS = {"reasoning": "part.reasoning", "answer": "part.answer"}
# The strip is as high as a difference of so many bits.
_STRIP_BITS = 4.0
_STRIP_HEIGHT = 20


@dataclass(frozen=True)
class Opened:
    """A side under the lens: what it was asked and wrote, how it was read, and the choice chosen.

    `sampling` None draws by the settings that the text was written with. `two` has this side first.
    `why` says why another model than the one that wrote it reads the text; "" where it is the same.
    """

    side: str
    live: Live
    lens_side: LensSide
    look: Look
    surprise: Surprise | None
    can_compare: bool = False
    two: TwoSides | None = None
    colour: str = "own"
    sampling: Sampling | None = None
    note: str = ""
    why: str = ""

    @property
    def tokens(self) -> Sequence[ReadToken | PairedToken]:
        """The text, token by token."""
        if self.two is not None:
            return self.two.left
        return self.surprise.tokens if self.surprise else ()

    @property
    def means(self) -> Sequence[PartMean]:
        """Its parts."""
        if self.two is not None:
            return self.two.left_means
        return self.surprise.means if self.surprise else ()


def link_html(language: str) -> str:
    """The small button under a finished text that opens the drawer.

    Its label is drawn by the style sheet: who marks the text to copy it does not take it along.
    """
    label = escape(text("lens.open", language))
    return (
        '<div class="q-lens-link"><button type="button" data-lens-open '
        f'data-label="{label}" aria-label="{label}"></button></div>'
    )


def busy_html(side: str, line: str, turn: int) -> str:
    """The drawer while a model reads or writes."""
    inner = f'<p role="status"><span class="q-dot q-busy"></span>{escape(line)}</p>'
    return _drawer(side, inner, turn, " data-busy")


def failed_html(side: str, sentence: str, turn: int, language: str) -> str:
    """The drawer where there is nothing to look at, and why."""
    told = f'<p class="q-note" role="alert">{escape(tell(sentence, language))}</p>'
    return _drawer(side, f'<div class="q-lens-head">{_close(language)}</div>{told}', turn)


def text_map_html(opened: Opened, turn: int, language: str) -> str:
    """The text with every token to click, its parts apart, and how the sides differ."""
    title = text(
        "lens.title",
        language,
        model=opened.lens_side.ask.model,
        side=text(_SIDES[opened.side], language),
    )
    keys = escape(text("lens.keys", language))
    why = f'<p class="q-note">{escape(tell(opened.why, language))}</p>' if opened.why else ""
    inner = (
        f'<div class="q-lens-head"><b>{escape(title)}</b>{_close(language)}</div>{why}'
        f"{_places(opened, language)}{_colours(opened, language)}{_sides_html(opened, language)}"
        f'<div class="q-lens-text" role="listbox" tabindex="0" aria-label="{keys}" '
        f'aria-activedescendant="lens-{opened.look.position}">{_tokens(opened, language)}</div>'
        f'<p class="q-hint">{keys}</p>'
    )
    return _drawer(opened.side, inner, turn, f' data-last="{len(opened.tokens)}"')


def bits_text(value: float | None, language: str) -> str:
    """A number of bits in words; "–" where it is not known."""
    return "–" if value is None else text("lens.bits", language, value=f"{value:.2f}")


def _drawer(side: str, inner: str, turn: int, more: str = "") -> str:
    return (
        f'<section class="q-lens" data-side="{escape(side)}" data-turn="{turn}"{more}>'
        f"{inner}</section>"
    )


def _close(language: str) -> str:
    label = escape(text("lens.close", language))
    return f'<button type="button" data-do="close" class="q-lens-close">{label} ✕</button>'


def _places(opened: Opened, language: str) -> str:
    """Buttons that move along the text."""
    last = len(opened.tokens)
    names = {
        'data-at="0"': ("⇤", "lens.start"),
        'data-move="-1"': ("◀", "lens.previous"),
        'data-move="1"': ("▶", "lens.next"),
        f'data-at="{last}"': ("⇥", "lens.end"),
    }
    shown = "".join(
        f'<button type="button" {where} title="{escape(text(key, language))}">{sign} '
        f"<span>{escape(text(key, language))}</span></button>"
        for where, (sign, key) in names.items()
    )
    return f'<div class="q-lens-row q-lens-places">{shown}</div>' if last else ""


def _colours(opened: Opened, language: str) -> str:
    """What the colours tell, to be chosen, and their shades."""
    if not opened.tokens:
        return ""
    names = COLOURS if opened.can_compare else {"own": COLOURS["own"]}
    buttons = "".join(
        f'<button type="button" data-do="colour" data-value="{name}" '
        f'aria-pressed="{"true" if name == opened.colour else "false"}">'
        f"{escape(text(key, language))}</button>"
        for name, key in names.items()
    )
    edges = _SHADES[opened.colour]
    labels = [f"<{edges[0]}", *(f"≥{edge}" for edge in edges)]
    shades = "".join(f'<i class="h{at}">{escape(label)}</i>' for at, label in enumerate(labels))
    unit = escape(text("lens.unit", language))
    title = escape(text("lens.colour", language))
    return (
        f'<div class="q-lens-row" role="group" aria-label="{title}"><b>{title}</b>{buttons}'
        f'<span class="q-shades">{shades} {unit}</span></div>'
    )


def _sides_html(opened: Opened, language: str) -> str:
    """Where the two texts part, and the difference at every token as a thin strip."""
    two = opened.two
    if two is None:
        return ""
    if two.why:
        return f'<p class="q-note">{escape(tell(two.why, language))}</p>'
    at = two.first_divergence
    if at is None:
        told = text("lens.same", language)
    else:
        ours, theirs = (_written(tokens, at, language) for tokens in (two.left, two.right))
        told = text("lens.parted", language, at=f"{at:,}", ours=ours, theirs=theirs)
    label = escape(text("lens.strip", language))
    count = len(two.left)
    bars = "".join(
        f"M{place} {_STRIP_HEIGHT}v-{_height(token.divergence):.1f}h.8V{_STRIP_HEIGHT}z"
        for place, token in enumerate(two.left)
    )
    mark = "" if at is None or at >= count else f'<path class="q-parted" d="M{at} 0h.8v3h-.8z"/>'
    return (
        f'<p class="q-hint" role="status">{escape(told)}</p>'
        f'<svg class="q-lens-strip" role="img" aria-label="{label}" data-count="{count}" '
        f'viewBox="0 0 {count} {_STRIP_HEIGHT}" preserveAspectRatio="none">'
        f'<title>{label}</title><path d="{bars}"/>{mark}</svg>'
    )


def _written(tokens: Sequence[PairedToken], at: int, language: str) -> str:
    return tokens[at].token.shown if at < len(tokens) else text("lens.ended", language)


def _height(value: float | None) -> float:
    return min(value or 0.0, _STRIP_BITS) / _STRIP_BITS * _STRIP_HEIGHT


def _tokens(opened: Opened, language: str) -> str:
    """The parts one after the other; behind them a place for what would come next."""
    means = {mean.part: mean for mean in opened.means}
    pieces, at = [], 0
    for part, inside in groupby(opened.tokens, key=lambda one: one.part):
        shown = []
        for token in inside:
            shown.append(_token(token, at, opened))
            at += 1
        title = ""
        # a marker within a part does not make it two
        if mean := means.pop(part, None):
            name = escape(text(_PARTS[part], language))
            title = f"<h4>{name} <span>{escape(_mean(mean, opened.colour, language))}</span></h4>"
        pieces.append(f'<div class="q-lens-part" role="group">{title}{"".join(shown)}</div>')
    key = "lens.end" if at else "lens.start"
    chosen = _chosen(at, opened)
    pieces.append(
        f'<span role="option" id="lens-{at}" data-at="{at}" class="q-next"{chosen}>'
        f"{escape(text(key, language))} ▸</span>"
    )
    return "".join(pieces)


def _token(token: ReadToken | PairedToken, at: int, opened: Opened) -> str:
    value = _value(token, opened.colour)
    level = 0 if value is None else sum(value >= edge for edge in _SHADES[opened.colour])
    css = f"h{level}" + ("" if token.token.kind == "text" else " q-sign")
    if opened.two and opened.two.first_divergence == at:
        css += " q-parted"
    title = "–" if value is None else f"{at} · {value:.2f}"
    shown = escape(token.token.shown).replace("␣", "<i>␣</i>")
    # a line may end before a word, and goes on below where the text itself does
    gap = "<wbr>" if token.token.shown.startswith("␣") else ""
    line_end = "<br>" if token.token.shown.endswith("⏎") else ""
    return (
        f'{gap}<span role="option" id="lens-{at}" data-at="{at}" class="{css}" title="{title}"'
        f"{_chosen(at, opened)}>{shown or '∅'}</span>{line_end}"
    )


def _chosen(at: int, opened: Opened) -> str:
    return f' aria-selected="{"true" if at == opened.look.position else "false"}"'


def _value(token: ReadToken | PairedToken, colour: str) -> float | None:
    if isinstance(token, PairedToken) and colour != "own":
        return token.other_bits if colour == "other" else token.divergence
    return token.bits


def _mean(mean: PartMean, colour: str, language: str) -> str:
    value = {"own": mean.bits, "other": mean.other_bits, "kl": mean.divergence}[colour]
    return text("lens.mean", language, value=bits_text(value, language))
