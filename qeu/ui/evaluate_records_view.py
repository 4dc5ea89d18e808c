"""The texts of an evaluation record by record: where the ways disagree comes first."""

from collections.abc import Sequence

from qeu.services.evaluate_result import EvalText, Evaluation
from qeu.ui.markup import escape
from qeu.ui.panels import SIGNS
from qeu.ui.strings import text

# As many records are shown, and so much of their texts; the JSON has all.
MOST_RECORDS = 40
_LONGEST_QUESTION, _LONGEST_TEXT = 300, 500

_ByRecord = dict[int, dict[int, list[EvalText]]]


def records_html(evaluation: Evaluation, language: str) -> str:
    """Folded away; "" where only figures were kept."""
    if not evaluation.texts or not evaluation.records:
        return ""
    texts: _ByRecord = {}
    for one in evaluation.texts:
        texts.setdefault(one.record, {}).setdefault(one.way, []).append(one)
    order = sorted(texts, key=lambda record: (not _disagree(texts[record]), record))
    rows = "".join(_row(evaluation, at, texts[at]) for at in order[:MOST_RECORDS])
    names = "".join(f'<th scope="col">{escape(way.facts.name)}</th>' for way in evaluation.ways)
    question = escape(text("evaluate.question", language))
    told = text(
        "evaluate.records.told", language, count=f"{min(len(order), MOST_RECORDS):,}",
        total=f"{len(order):,}", differ=f"{sum(map(_disagree, texts.values())):,}",
    )  # fmt: skip
    title = escape(text("evaluate.records.title", language))
    return (
        f'<details class="q-records"><summary>{title}</summary><p class="q-hint">{escape(told)}</p>'
        f'<div class="q-scroll"><table class="q-table"><thead><tr><th scope="col">{question}</th>'
        f"{names}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _disagree(ways: dict[int, list[EvalText]]) -> bool:
    """Whether the ways are right and wrong about a record."""
    shares = {share for texts in ways.values() if (share := _share(texts)) is not None}
    return len(shares) > 1


def _share(texts: Sequence[EvalText]) -> float | None:
    """Of a record's texts those that are right; None where that cannot be told."""
    values = [value for one in texts if (value := one.values.get("right")) is not None]
    return sum(values) / len(values) if values else None


def _row(evaluation: Evaluation, at: int, ways: dict[int, list[EvalText]]) -> str:
    record = evaluation.records[at]
    reference = (
        f'<p class="q-reference">→ {escape(_cut(record.output, _LONGEST_QUESTION))}</p>'
        if record.output.strip()
        else ""
    )
    cells = "".join(_cell(ways.get(way, [])) for way in range(len(evaluation.ways)))
    return (
        f'<tr><td class="q-question"><small>{escape(record.seq)}</small> '
        f"{escape(_cut(record.question, _LONGEST_QUESTION))}{reference}</td>{cells}</tr>"
    )


def _cell(texts: Sequence[EvalText]) -> str:
    """The first text, and how many of all are right."""
    if not texts:
        return "<td>–</td>"
    first, share = texts[0], _share(texts)
    mark = ""
    if share is not None:
        css = "pass" if share == 1 else "partial" if share else "fail"
        sign = SIGNS[css]
        count = f" {share:.0%}" if len(texts) > 1 else ""
        mark = f'<span class="q-chip q-{css}">{sign}{count}</span>'
    if first.error:
        return f'<td>{mark}<p class="q-text q-error">{escape(_cut(first.error))}</p></td>'
    reasoning = (
        f'<p class="q-thought">{escape(_cut(first.reasoning))}</p>' if first.reasoning else ""
    )
    return f"<td>{mark}{reasoning}<p>{escape(_cut(first.answer) or '–')}</p></td>"


def _cut(shown: str, longest: int = _LONGEST_TEXT) -> str:
    return shown if len(shown) <= longest else f"{shown[:longest]} …"
