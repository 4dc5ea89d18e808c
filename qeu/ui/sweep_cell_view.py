"""A cell of a sweep as HTML: how it was asked, its figures, its texts, each with the way back."""

from collections.abc import Sequence

from qeu.core.sweep_measures import BY_NAME
from qeu.core.sweep_spec import GRID_FIELDS
from qeu.services.evaluate_table import tell as tell_value
from qeu.services.sweep_result import CellResult, CellText, Sweep
from qeu.ui.markup import escape
from qeu.ui.panels import SIGNS
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.sweep_words import (
    axis_name,
    cell_name,
    estimate_text,
    measure_name,
    value_name,
)

# As many texts are shown of a cell, and as many cells of a field that stands for several.
MOST_TEXTS, MOST_CELLS = 40, 60
_LONGEST_QUESTION, _LONGEST_TEXT = 300, 1_500
# Yes or no of one text, as a chip: (in order, not in order). Its end is told beside it.
_CHIP_WORDS = {
    "right": ("sweep.chip.right", "sweep.chip.wrong"),
    "contract": ("sweep.chip.contract", "sweep.chip.contract_broken"),
    "leak_reference": ("chip.leak_reference.pass", "chip.leak_reference.fail"),
    "leak_commit": ("chip.leak_commit.pass", "chip.leak_commit.fail"),
    "loop": ("chip.loop.pass", "chip.loop.fail"),
    "language": ("sweep.chip.language", "sweep.chip.language_other"),
}


def cell_html(sweep: Sweep, result: CellResult, texts: Sequence[CellText], language: str) -> str:
    """One cell to be read, with the buttons that put its settings into Compare."""
    name = escape(cell_name(sweep.spec, result, language))
    several = len(sweep.records) > 1
    shown = "".join(_text(result.number, one, several, language) for one in texts[:MOST_TEXTS])
    cut = ""
    if len(texts) > MOST_TEXTS:
        told = text("sweep.texts_cut", language, count=MOST_TEXTS, total=f"{len(texts):,}")
        cut = f'<p class="q-note">{escape(told)}</p>'
    use = escape(text("sweep.use", language))
    right = escape(text("sweep.use_right", language))
    first = next((f"{one.sample.prompt}:{one.sample.seed}" for one in texts), "0:1")
    number = escape(text("sweep.cell", language, number=result.number))
    return (
        f'<section class="q-sweep-cell" data-cell="{result.number}" aria-label="{name}">'
        f"<h4><small>{number}</small> {name}</h4>"
        f'<p class="q-sweep-use"><button type="button" class="q-sweep-main" data-do="use" '
        f'data-value="{result.number}:{first}:left">{use}</button>'
        f'<button type="button" data-do="use" data-value="{result.number}:{first}:right">{right}'
        f"</button></p>{_setting(result, language)}{_figures(sweep, result, language)}"
        f"{shown}{cut}</section>"
    )


def cells_html(sweep: Sweep, numbers: Sequence[int], measure: str, language: str) -> str:
    """The cells behind a field that stands for several, to choose one from."""
    wanted = set(numbers[:MOST_CELLS])
    items = "".join(
        f'<li><button type="button" class="q-link" data-do="cell" data-value="{cell.number}">'
        f"{escape(cell_name(sweep.spec, cell, language))}</button> "
        f"{escape(estimate_text(cell.estimates.get(measure), language))}</li>"
        for cell in sweep.cells
        if cell.number in wanted
    )
    told = escape(text("sweep.choose", language, count=f"{len(numbers):,}"))
    return f'<section class="q-sweep-cell"><p class="q-hint">{told}</p><ul>{items}</ul></section>'


def _setting(result: CellResult, language: str) -> str:
    """All that the cell asks with, as it was in force."""
    setting = result.cell.setting
    facts = [
        value_name("model", setting.model, language),
        value_name("role", result.role, language),
        value_name("target", result.target, language),
        result.layout,
    ]
    for name in GRID_FIELDS:
        value = value_name(name, getattr(setting.sampling, name), language)
        facts.append(f"{axis_name(name, language)} {value}")
    return f'<p class="q-facts">{escape(" · ".join(facts))}</p>'


def _figures(sweep: Sweep, result: CellResult, language: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(measure_name(name, language, arrow=True))}</th>'
        f"<td>{escape(estimate_text(result.estimates[name], language))}</td></tr>"
        for name in sweep.measures
        if name in result.estimates
    )
    title = escape(text("sweep.figures", language))
    failed = "".join(
        f'<p class="q-text q-error">{count:,} × {escape(tell(why, language))}</p>'
        for why, count in result.failed.items()
    )
    return (
        f'<details><summary>{title}</summary><div class="q-scroll"><table class="q-table">'
        f"<tbody>{rows}</tbody></table></div></details>{failed}"
    )


def _text(number: int, one: CellText, several: bool, language: str) -> str:
    """One text: of which prompt and seed, what was measured on it, its words."""
    sample, made = one.sample, one.generation
    head = [text("sweep.seed", language, seed=sample.seed)]
    if made:
        head.append(text(f"finish.{made.finish_reason}", language))
        head.append(text("side.tokens", language, count=made.new_tokens))
    question = ""
    if several:
        seq = f"<small>{escape(one.record.seq or sample.prompt + 1)}</small> "
        question = f'<p class="q-question">{seq}{escape(_cut(one.record.question))}</p>'
    if sample.error or made is None:
        why = tell(sample.error, language) if sample.error else text("sweep.gone", language)
        body = f'<p class="q-text q-error">{escape(why)}</p>'
    else:
        thought = (
            f'<p class="q-thought" dir="auto">{escape(_cut(made.reasoning, _LONGEST_TEXT))}</p>'
            if made.reasoning
            else ""
        )
        words = escape(_cut(made.answer, _LONGEST_TEXT)) if made.answer else ""
        if not (words or thought):
            words = f'<span class="q-hint">{escape(text("side.nothing", language))}</span>'
        body = f'{thought}<p dir="auto">{words}</p>' if words else thought
    again = escape(text("sweep.use_text", language))
    return (
        f'<article class="q-sweep-text">{question}<p class="q-facts">{escape(" · ".join(head))} '
        f"{_chips(one, language)}"
        f'<button type="button" class="q-link" data-do="use" '
        f'data-value="{number}:{sample.prompt}:{sample.seed}:left">{again}</button></p>'
        f"{body}</article>"
    )


def _chips(one: CellText, language: str) -> str:
    chips = []
    for name, (good, bad) in _CHIP_WORDS.items():
        value = one.sample.values.get(name)
        if value is None:
            continue
        css = "pass" if bool(value) == (BY_NAME[name].better > 0) else "fail"
        told = escape(text(good if css == "pass" else bad, language))
        chips.append(f'<span class="q-chip q-{css}">{SIGNS[css]} {told}</span>')
    reference = one.sample.values.get("reference")
    if reference is not None:
        shown = tell_value(BY_NAME["reference"], reference)
        told = f"{measure_name('reference', language)} {shown}"
        chips.append(f'<span class="q-chip">{escape(told)}</span>')
    return "".join(chips)


def _cut(shown: str, longest: int = _LONGEST_QUESTION) -> str:
    return shown if len(shown) <= longest else f"{shown[:longest]} …"
