"""Usefulness of an evaluation's reasonings against their leaks, as HTML: picture, words, rows."""

from qeu.core.eval_measures import BY_NAME
from qeu.services.evaluate_picture import (
    COLUMNS,
    UseWords,
    plot_use,
    tell_use,
    use_rows,
    way_styles,
    ways_behind,
)
from qeu.services.evaluate_result import Evaluation
from qeu.services.usefulness_plot import draw_legend, draw_sign
from qeu.ui.markup import escape, escape_template
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.usefulness_plot import axis_words

_COLUMN_WORDS = {
    "useful": "evaluate.use.useful",
    "gain": "evaluate.use.gain",
    "leak_reference": "evaluate.use.leak_reference",
    "leak_commit": "evaluate.use.leak_commit",
}
assert set(_COLUMN_WORDS) == set(COLUMNS) <= set(BY_NAME)


def use_html(evaluation: Evaluation, language: str) -> str:
    """Folded open; "" where no way answers behind a reasoning."""
    if not ways_behind(evaluation):
        return ""
    told = "".join(
        f'<p class="q-seen">{escape(tell(one, language))}</p>' for one in tell_use(evaluation)
    )
    title = escape(text("evaluate.use.title", language))
    note = escape(text("evaluate.use.note", language))
    return (
        f'<details class="q-use" open><summary>{title}</summary>{_picture(evaluation, language)}'
        f'{told}<div class="q-scroll">{_table(evaluation, language)}</div>'
        f'<p class="q-note">{note}</p></details>'
    )


def _picture(evaluation: Evaluation, language: str) -> str:
    words = UseWords(
        axis_words(language),
        text("evaluate.use.about", language, count="{count}"),
        lambda seq, name, useful, leak: text(
            "evaluate.use.point", language, seq=seq, name=name, useful=useful, leak=leak
        ),
        lambda name, useful, leak: text(
            "evaluate.use.center", language, name=name, useful=useful, leak=leak
        ),
    )
    drawn = plot_use(evaluation, words)
    if not drawn:
        return ""
    legend = draw_legend(way_styles(evaluation))
    return (
        '<figure class="q-usefulness" style="margin:0;max-width:48rem">'
        f"{escape_template(drawn)}<figcaption>{escape_template(legend)}</figcaption></figure>"
    )


def _table(evaluation: Evaluation, language: str) -> str:
    """A row a way, with its sign in the picture."""
    styles = way_styles(evaluation)
    words = ["", *(text(key, language) for key in _COLUMN_WORDS.values())]
    words.append(text("evaluate.n", language))
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in words)
    body = ""
    for name, *cells in use_rows(evaluation):
        sign = f"{draw_sign(styles[name])} " if name in styles else ""
        columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        body += f'<tr><th scope="row">{sign}{escape(name)}</th>{columns}</tr>'
    return f'<table class="q-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
