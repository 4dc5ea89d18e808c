"""What the next-token drawer shows of one choice, as HTML: a bar for each candidate and step."""

from collections.abc import Sequence

from qeu.core.lens import Candidate, LensPicture, LensStep
from qeu.ui.lens_view import Opened, bits_text
from qeu.ui.markup import escape
from qeu.ui.sentences import tell
from qeu.ui.strings import text

_STEPS = {
    "repetition_penalty": "sampling.repetition_penalty",
    "temperature": "sampling.temperature",
    "top_k": "sampling.top_k",
    "top_p": "sampling.top_p",
    "min_p": "sampling.min_p",
    "greedy": "sampling.greedy",
}

# What a candidate can be besides likely.
_SIGNS = {
    "chosen": ("▶", "lens.chosen"),
    "written": ("●", "lens.written"),
    "used": ("↺", "lens.used"),
}


def choice_html(opened: Opened, turn: int, language: str) -> str:
    """Which choice it is, by which settings, and what each step made of the candidates."""
    look = opened.look
    picture = look.picture
    notes = "".join(
        f'<p class="q-note">{escape(tell(note, language))}</p>'
        for note in (opened.note, *look.notes)
        if note
    )
    return (
        f'<section class="q-lens-choice" data-turn="{turn}" data-at="{look.position}">'
        f'<p class="q-lens-at" role="status">{escape(_place(opened, language))}</p>'
        f"{_settings(opened, language)}{notes}"
        f'<div class="q-scroll" tabindex="0"><table class="q-table q-bars">'
        f"{_head(picture, language)}{_body(picture, language)}</table></div>"
        f'<p class="q-hint">{_legend(language)}</p></section>'
    )


def _legend(language: str) -> str:
    return " · ".join(f"{sign} {escape(text(key, language))}" for sign, key in _SIGNS.values())


def _place(opened: Opened, language: str) -> str:
    look = opened.look
    at, count = look.position, len(opened.tokens)
    if at >= count:
        return text("lens.behind" if count else "lens.first", language)
    token = opened.tokens[at]
    where = text("lens.at", language, at=f"{at:,}", count=f"{count:,}", token=token.token.shown)
    first = "" if at else f"{text('lens.first', language)} · "
    return f"{first}{where} · {bits_text(token.bits, language)}"


def _settings(opened: Opened, language: str) -> str:
    """By whose settings the picture is drawn, and what is left of the choice."""
    picture = opened.look.picture
    moved = opened.sampling is not None
    told = [
        text("lens.settings.now" if moved else "lens.settings.text", language),
        text(
            "lens.remain",
            language,
            count=f"{picture.remaining:,}",
            all=f"{picture.vocabulary:,}",
        ),
        text(
            "lens.entropy",
            language,
            before=f"{picture.entropy_before:.2f}",
            after=f"{picture.entropy_after:.2f}",
        ),
    ]
    if picture.uniform is not None:
        told.append(text("lens.number", language, number=f"{picture.uniform:.4f}"))
    back = ""
    if moved:
        label = escape(text("lens.settings.back", language))
        back = f' <button type="button" data-do="own">{label}</button>'
    return f'<div class="q-lens-row q-hint">{escape(" · ".join(told))}{back}</div>'


def _head(picture: LensPicture, language: str) -> str:
    """A column for the model's own probability, and one for each step; what the step did."""
    names = [text(_STEPS[step.name], language) for step in picture.steps]
    off = text("lens.off", language)
    settings = [
        f"{step.setting:g}" + ("" if step.active else f" ({off})") for step in picture.steps
    ]
    if picture.steps[-1].name == "greedy":
        settings[-1] = "✓"
    rows = {
        "lens.row.setting": ["", *settings],
        "lens.row.kept": [f"{picture.vocabulary:,}", *(f"{s.kept:,}" for s in picture.steps)],
        "lens.row.mass": ["", *(share_text(s.mass) for s in picture.steps)],
        "lens.row.entropy": [
            f"{picture.entropy_before:.2f}",
            *(f"{s.entropy:.2f}" for s in picture.steps),
        ],
    }
    titles = "".join(
        f'<th scope="col"{_dim(step)}>{escape(name)}</th>'
        for name, step in zip(names, picture.steps, strict=True)
    )
    token, before = (escape(text(f, language)) for f in ("lens.col.token", "lens.col.before"))
    facts = "".join(_fact(key, values, picture.steps, language) for key, values in rows.items())
    return (
        f'<thead><tr><th scope="col">{token}</th><th scope="col">{before}</th>{titles}'
        f"<th></th></tr>{facts}</thead>"
    )


def _fact(key: str, values: Sequence[str], steps: Sequence[LensStep], language: str) -> str:
    first, *rest = values
    cells = "".join(
        f"<td{_dim(step)}>{escape(value)}</td>" for value, step in zip(rest, steps, strict=True)
    )
    name = escape(text(key, language))
    return (
        f'<tr class="q-fact"><th scope="row">{name}</th><td>{escape(first)}</td>{cells}'
        "<td></td></tr>"
    )


def _body(picture: LensPicture, language: str) -> str:
    rows = "".join(_row(one, picture, language) for one in picture.candidates)
    if others := picture.vocabulary - len(picture.candidates):
        name = escape(text("lens.others", language, count=f"{others:,}"))
        cells = "".join(_bar(value) for value in picture.rest)
        rows += f'<tr class="q-rest"><th scope="row">{name}</th>{cells}<td></td></tr>'
    return f"<tbody>{rows}</tbody>"


def _row(one: Candidate, picture: LensPicture, language: str) -> str:
    holds = {
        "chosen": one.token == picture.chosen,
        "written": one.token == picture.written,
        "used": one.used,
    }
    shown = "".join(
        f'<abbr title="{escape(text(key, language))}">{sign}</abbr>'
        for name, (sign, key) in _SIGNS.items()
        if holds[name]
    )
    cells = [_bar(one.before)]
    gone = False
    for step, after in zip(picture.steps, one.after, strict=True):
        if gone:
            cells.append("<td></td>")
        elif one.removed_by == step.name:
            gone = True
            name = text("lens.removed", language, step=text(_STEPS[step.name], language))
            cells.append(f'<td class="q-removed">✗ {escape(name)}</td>')
        else:
            cells.append(_bar(after))
    css = [
        "q-gone" if one.removed_by else "",
        "q-chosen" if one.token == picture.chosen else "",
    ]
    put = escape(text("lens.put", language))
    return (
        f'<tr class="{" ".join(filter(None, css))}" data-token="{one.token}">'
        f'<th scope="row"><code>{escape(one.shown) or "∅"}</code> {shown}</th>{"".join(cells)}'
        f'<td><button type="button" data-do="put" data-token="{one.token}" '
        f'title="{put}">{escape(text("lens.put.short", language))}</button></td></tr>'
    )


def share_text(value: float) -> str:
    """A share of 1 as a percentage; "–" for none at all."""
    if value == 0:
        return "–"
    return f"{value:.1%}" if value >= 0.001 else "<0.1%"


def _bar(value: float) -> str:
    return f'<td class="q-bar" style="--p:{value * 100:.2f}">{escape(share_text(value))}</td>'


def _dim(step: LensStep) -> str:
    return "" if step.active else ' class="q-off"'
