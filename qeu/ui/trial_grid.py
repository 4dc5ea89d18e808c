"""The language trial as HTML: the grid of cells, its totals, and the sentence that reads it."""

from collections.abc import Mapping, Sequence

from qeu.backends.catalog import ModelCard
from qeu.core.text import one_line
from qeu.services.runs import Live
from qeu.services.trial import LANGUAGES, Cell, Trial, cell_record, find_item, unfit_languages
from qeu.services.trial_verdicts import (
    Reading,
    Share,
    Verdict,
    judge_all,
    judge_live,
    read_grid,
    tally,
)
from qeu.ui.markup import escape, marked_text
from qeu.ui.sentences import tell
from qeu.ui.strings import text

# Sign and chip colour of each verdict; the word beside them says the same without colour.
LOOKS = {
    "as_asked": ("✓", "pass"),
    "other": ("✗", "fail"),
    "uncertain": ("~", "partial"),
    "loop": ("↻", "partial"),
    "empty": ("∅", "skip"),
    "failed": ("!", "fail"),
    "pending": ("…", "skip"),
    "stopped": ("■", "skip"),
    "idle": ("·", "skip"),
}
FIRST_LINE = 120
# The page brings new HTML in by changing what differs, and closes what a visitor has opened.
KEEP_OPEN_JS = """
const wanted = new Set();
const name = (details) => details.dataset.cell;
element.addEventListener("click", (event) => {
  const summary = event.target.closest("summary");
  if (!summary) return;
  const details = summary.parentElement;
  if (details.open) wanted.delete(name(details)); else wanted.add(name(details));
});
new MutationObserver(() => {
  for (const details of element.querySelectorAll("details")) {
    if (wanted.has(name(details)) && !details.open) details.open = true;
    else if (details.open) wanted.add(name(details));
  }
}).observe(element, {subtree: true, childList: true, attributes: true, attributeFilter: ["open"]});
"""


def plain_grid_html(trial: Trial, language: str) -> str:
    """The grid before anything has run: every cell says what it will ask."""
    item = find_item(trial.item)
    cells = {}
    for cell in trial.cells():
        record = cell_record(item, cell)
        cells[cell] = _cell_html(cell, "idle", record.instruction, record.input, "", "", language)
    return _table_html(cells, language)


def grid_html(lives: Mapping[str, Live], language: str) -> str:
    """The grid of a run, as it stands."""
    cells = {}
    for key, live in lives.items():
        cell, verdict = Cell.from_key(key), judge_live(live)
        cells[cell] = _cell_html(
            cell,
            verdict or ("stopped" if live.finished else "pending"),
            live.ask.record.instruction,
            live.ask.record.input,
            live.text,
            tell(live.error, language),
            language,
        )
    return _table_html(cells, language)


def totals_html(lives: Mapping[str, Live], language: str) -> str:
    """How many texts are in the language asked, by each axis, and what that says."""
    verdicts = judge_all(lives)
    if not verdicts:
        return f'<div class="q-totals"><p class="q-hint">{_say("trial.empty", language)}</p></div>'
    counts, finished = tally(verdicts), all(live.finished for live in lives.values())
    share = counts.overall
    head = _say("trial.total", language, hits=share.hits, total=share.total)
    if not finished:
        said = _say("trial.so_far", language)
    else:
        said = escape(reading_text(read_grid(verdicts), language))
    axes = (
        ("answer", counts.by_answer),
        ("instruction", counts.by_instruction),
        ("content", counts.by_content),
    )
    rows = "".join(_axis_html(axis, shares, language) for axis, shares in axes)
    return (
        f'<div class="q-totals"><p><b class="q-total">{head}</b> <span>{said}</span></p>'
        f'<div class="q-axes">{rows}</div></div>'
    )


def reading_text(reading: Reading, language: str) -> str:
    """The reading as a sentence."""
    values: dict[str, object] = {"hits": reading.hits, "total": reading.total}
    if reading.language:
        values["written"] = text(f"language.{reading.language}", language)
    return text(f"trial.reading.{reading.code}", language, **values)


def banner_text(card: ModelCard, trial: Trial, language: str) -> tuple[str, str]:
    """(what to expect of this model in this trial, kind of notice), before it runs."""
    label = tell(card.label, language)
    if not card.tested:
        return text("trial.untested", language, model=label), "info"
    unread, unwritten = unfit_languages(card, trial)
    values = {
        "model": label,
        "unread": _either(unread, language),
        "unwritten": _either(unwritten, language),
        "writes": _either(card.writes, language),
    }
    if not unread and not unwritten:
        return text("trial.fit", language, **values), "info"
    code = "reads" if not unwritten else "writes" if not unread else "both"
    if unread == unwritten:
        code = "neither"
    return text(f"trial.unfit.{code}", language, **values), "warning"


def verdict_text(verdict: Verdict, language: str) -> str:
    """A verdict in two words: as asked, or which language it is instead."""
    if verdict.kind == "other":
        return text(f"language.{verdict.language}", language)
    return text(f"trial.verdict.{verdict.kind}", language)


def _either(codes: Sequence[str], language: str) -> str:
    return text("trial.or", language).join(text(f"language.{code}", language) for code in codes)


def _say(key: str, language: str, **values: object) -> str:
    return escape(text(key, language, **values))


def _axis_html(axis: str, shares: Mapping[str, Share], language: str) -> str:
    bars = "".join(
        f"<li><span>{_say(f'language.{code}', language)}</span>"
        f'<i aria-hidden="true" style="--v:{share.hits / max(share.total, 1):.3f}"></i>'
        f"<b>{share.hits}/{share.total}</b></li>"
        for code, share in shares.items()
    )
    name = _say(f"trial.by.{axis}", language)
    return f'<section><h4>{name}</h4><ul aria-label="{name}">{bars}</ul></section>'


def _table_html(cells: Mapping[Cell, str], language: str) -> str:
    answers = [code for code in LANGUAGES if any(cell.answer == code for cell in cells)]
    asked = _say("trial.asked_for", language)
    columns = "".join(
        f'<th scope="col">{asked} <b>{_say(f"language.{code}", language)}</b></th>'
        for code in answers
    )
    rows = []
    for pair in dict.fromkeys((cell.instruction, cell.content) for cell in cells):
        found = "".join(f"<td>{cells[Cell(*pair, answer)]}</td>" for answer in answers)
        rows.append(f"<tr>{_row_head(*pair, language)}{found}</tr>")
    corner = f'<td class="q-corner">{_say("trial.corner", language)}</td>'
    return (
        f'<table class="q-grid" style="--n:{max(len(answers), 1)}">'
        f"<thead><tr>{corner}{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row_head(instruction: str, content: str, language: str) -> str:
    parts = "".join(
        f"<span>{_say(f'trial.axis.{axis}', language)} "
        f"<b>{_say(f'language.{code}', language)}</b></span>"
        for axis, code in (("instruction", instruction), ("content", content))
    )
    return f'<th scope="row">{parts}</th>'


def _cell_html(
    cell: Cell,
    state: Verdict | str,
    asked: str,
    given: str,
    written: str,
    error: str,
    language: str,
) -> str:
    kind = state if isinstance(state, str) else state.kind
    sign, css = LOOKS[kind]
    word = text(f"trial.verdict.{kind}", language)
    if isinstance(state, Verdict):
        word = verdict_text(state, language)
    places = {
        "instruction": text(f"language.{cell.instruction}", language),
        "content": text(f"language.{cell.content}", language),
        "answer": text(f"language.{cell.answer}", language),
    }
    label = text("trial.cell", language, verdict=word, **places)
    line = escape(one_line(written or error, FIRST_LINE)) or "&nbsp;"
    whole = marked_text(written, ()) or escape(error) or _say("side.nothing", language)
    body = "" if kind == "idle" else f'<p class="q-cell-text" dir="auto">{whole}</p>'
    title = escape(label)
    return (
        f'<details data-cell="{escape(cell.key)}" class="q-cell q-is-{css}">'
        f'<summary aria-label="{title}"><span class="q-chip q-{css}" title="{title}">'
        f"{sign} {escape(word)}</span>"
        f'<span class="q-line" dir="auto">{line}</span></summary>{body}'
        f'<p class="q-hint" dir="auto">{_say("trial.was_asked", language)} {escape(asked)}<br>'
        f"{escape(given)}</p></details>"
    )
