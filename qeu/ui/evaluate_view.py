"""An evaluation as HTML: the verdicts on top, then every figure that they rest on."""

from collections.abc import Iterable, Sequence

from qeu.core.eval_measures import BY_NAME, MEASURES, Measure
from qeu.core.paired import Comparison
from qeu.services.evaluate_plot import PlotWords, plot_pair
from qeu.services.evaluate_result import VERDICTS, Evaluation, PairSummary, WayFacts
from qeu.services.evaluate_stored import KeptEvaluation
from qeu.services.evaluate_table import NONE, tell_average
from qeu.services.evaluate_table import tell as tell_value
from qeu.services.evaluate_verdict import tell_p, tell_signed
from qeu.store.evaluations import StoredEvaluation
from qeu.ui.evaluate_records_view import records_html
from qeu.ui.evaluate_use_view import use_html
from qeu.ui.markup import escape, escape_template
from qeu.ui.sentences import tell
from qeu.ui.strings import text

VERDICT_WORDS = {
    "helps": "evaluate.verdict.helps",
    "hurts": "evaluate.verdict.hurts",
    "unclear": "evaluate.verdict.unclear",
}
assert set(VERDICT_WORDS) == set(VERDICTS)
_MEASURE_WORDS = {
    "right": "evaluate.measure.right",
    "answer_loss": "evaluate.measure.answer_loss",
    "reasoning_loss": "evaluate.measure.reasoning_loss",
    "useful": "evaluate.measure.useful",
    "gain": "evaluate.measure.gain",
    "reference": "evaluate.measure.reference",
    "contract": "evaluate.measure.contract",
    "contract_creative": "evaluate.measure.contract_creative",
    "leak_reference": "evaluate.measure.leak_reference",
    "leak_commit": "evaluate.measure.leak_commit",
    "language": "evaluate.measure.language",
    "loop": "evaluate.measure.loop",
    "closed": "evaluate.measure.closed",
    "length": "evaluate.measure.length",
    "tokens_per_s": "evaluate.measure.tokens_per_s",
}
assert set(_MEASURE_WORDS) == set(BY_NAME)
_BETTER = {1: "↑", -1: "↓", 0: ""}
# Pairs whose figures stand open; further ones fold away.
_OPEN_PAIRS = 1


def evaluation_html(
    kept: KeptEvaluation, command: str, earlier: Sequence[StoredEvaluation], language: str
) -> str:
    """All of one evaluation; `command` repeats it, `earlier` ones can be gone back to."""
    evaluation = kept.evaluation
    pairs = "".join(
        _pair(evaluation, pair, at < _OPEN_PAIRS, language)
        for at, pair in enumerate(evaluation.pairs)
    )
    notes = "".join(f'<p class="q-note">{escape(tell(one, language))}</p>' for one in kept.notes)
    return (
        f'<div class="q-evaluation">{_facts(kept, language)}{_verdicts(evaluation, language)}'
        f"<h4>{escape(text('evaluate.measures', language))}</h4>"
        f"{_measures(evaluation, language)}{notes}"
        f"{use_html(evaluation, language)}{pairs}{records_html(evaluation, language)}"
        f"{_ways(evaluation, command, language)}{_earlier(earlier, language)}</div>"
    )


def nothing_html(language: str, public: bool) -> str:
    """Before there is any."""
    key = "evaluate.none_public" if public else "evaluate.none"
    return f'<p class="q-hint q-nothing">{escape(text(key, language))}</p>'


def verdict_chip(verdict: str, language: str) -> str:
    """A verdict in a word and a colour."""
    told = escape(text(VERDICT_WORDS[verdict], language))
    return f'<b class="q-verdict-word q-{verdict}">{told}</b>'


def measure_name(measure: Measure, language: str) -> str:
    """What is measured, with its unit."""
    return text(_MEASURE_WORDS[measure.name], language)


def tell_difference(measure: Measure, one: Comparison, language: str) -> str:
    """Right minus left, and its interval."""
    factor, digits = (100, 1) if measure.is_share else (1, measure.digits)
    told = tell_signed(factor * one.difference, digits)
    if measure.is_share:
        told = text("evaluate.points", language, value=told)
    if one.low is None or one.high is None:
        return told
    low, high = (tell_signed(factor * bound, digits) for bound in (one.low, one.high))
    return f"{told} [{low}, {high}]"


def _verdicts(evaluation: Evaluation, language: str) -> str:
    """One sentence on top: the first pair's, the base as it is; those of the others fold away."""
    if not evaluation.pairs:
        return ""
    first, *others = evaluation.pairs
    if not others:
        return _verdict(first, language)
    chips = " ".join(verdict_chip(pair.verdict, language) for pair in others)
    title = escape(text("evaluate.more_verdicts", language, count=f"{len(others):,}"))
    told = "".join(_verdict(pair, language) for pair in others)
    return (
        f'{_verdict(first, language)}<details class="q-more-verdicts"><summary>{title} {chips}'
        f"</summary>{told}</details>"
    )


def _verdict(pair: PairSummary, language: str) -> str:
    return (
        f'<div class="q-verdict q-{pair.verdict}" role="status">'
        f"{verdict_chip(pair.verdict, language)}"
        f"<p>{escape(tell(pair.sentence, language))}</p></div>"
    )


def _facts(kept: KeptEvaluation, language: str) -> str:
    spec = kept.evaluation.spec
    facts = [
        escape(spec.dataset),
        escape(text("evaluate.records", language, count=f"{kept.records:,}")),
        escape(text("evaluate.texts_each", language, count=f"{spec.seeds:,}")),
    ]
    if kept.adapter:
        came = text("evaluate.came", language, name=kept.adapter)
        facts.insert(0, f"<b>{escape(came)}</b>")
    if kept.at:
        facts.append(f"{escape(kept.at[:16].replace('T', ' '))} UTC")
    return f'<p class="q-facts">{" · ".join(facts)}</p>'


def _measures(evaluation: Evaluation, language: str) -> str:
    """A row a measure, a column a way."""
    rows = []
    for measure in MEASURES:
        found = [way.averages.get(measure.name) for way in evaluation.ways]
        if any(found):
            arrow = _BETTER[measure.better]
            name = f"{measure_name(measure, language)} {arrow}".strip()
            rows.append([name, *(tell_average(measure, one) for one in found)])
    head = ["", *(way.facts.name for way in evaluation.ways)]
    note = f'<p class="q-note">{escape(text("evaluate.measures.note", language))}</p>'
    return _table(head, rows) + note


def _pair(evaluation: Evaluation, pair: PairSummary, is_open: bool, language: str) -> str:
    left, right = (evaluation.ways[at].facts.name for at in (pair.left, pair.right))
    title = escape(text("evaluate.against", language, left=left, right=right))
    head = [
        "", left, right, text("evaluate.difference", language), "p",
        text("evaluate.n", language), text("evaluate.smallest", language),
    ]  # fmt: skip
    return (
        f'<details class="q-pair"{" open" if is_open else ""}><summary>{title} '
        f"{verdict_chip(pair.verdict, language)}</summary>"
        f"{_picture(evaluation, pair, language)}{_table(head, _pair_rows(pair, language))}"
        "</details>"
    )


def _picture(evaluation: Evaluation, pair: PairSummary, language: str) -> str:
    words = PlotWords(
        lambda measure: measure_name(measure, language),
        lambda measure, one: tell_difference(measure, one, language),
        text("evaluate.worse", language),
        text("evaluate.better", language),
        text("evaluate.plot.about", language, left="{left}", right="{right}"),
        style="",
    )
    drawn = plot_pair(evaluation, pair, words)
    return f'<div class="q-scroll q-effects">{escape_template(drawn)}</div>' if drawn else ""


def _pair_rows(pair: PairSummary, language: str) -> Iterable[Sequence[str]]:
    for name, one in pair.comparisons.items():
        measure = BY_NAME[name]
        yield (
            measure_name(measure, language),
            tell_value(measure, one.left),
            tell_value(measure, one.right),
            tell_difference(measure, one, language),
            tell_p(one.p).removeprefix("p ").removeprefix("= "),
            f"{one.n:,}",
            NONE if one.smallest is None else _size(measure, one.smallest, language),
        )


def _size(measure: Measure, value: float, language: str) -> str:
    if measure.is_share:
        return text("evaluate.points", language, value=f"{100 * value:.1f}")
    return f"{value:,.{measure.digits}f}"


def _ways(evaluation: Evaluation, command: str, language: str) -> str:
    """How each way was asked, and the command that does it all again; folded away."""
    rows = [_way(way.facts) for way in evaluation.ways]
    head = [
        "", text("evaluate.way.model", language), text("side.layout", language),
        text("side.target", language), text("side.role", language),
        text("evaluate.way.revision", language),
    ]  # fmt: skip
    told = f'<pre class="q-command">{escape(command)}</pre>' if command else ""
    title = escape(text("evaluate.ways", language))
    return f"<details><summary>{title}</summary>{_table(head, rows)}{told}</details>"


def _way(facts: WayFacts) -> Sequence[str]:
    parts = (facts.revision[:12], facts.dtype, facts.adapter_hash[:12])
    revision = " · ".join(part for part in parts if part)
    return (facts.name, facts.ref, facts.layout, facts.target, facts.role, revision)


def _earlier(earlier: Sequence[StoredEvaluation], language: str) -> str:
    """Those before, the latest first."""
    if not earlier:
        return ""
    items = "".join(
        f'<li><button type="button" class="q-link" data-do="show" data-value="{one.id}">'
        f"{escape(one.at[:16].replace('T', ' '))} · {escape(one.base)}</button> "
        f"{verdict_chip(one.verdict, language)}</li>"
        for one in earlier
    )
    title = escape(text("evaluate.earlier", language))
    return f'<details class="q-earlier"><summary>{title}</summary><ul>{items}</ul></details>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        f"{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return (
        f'<div class="q-scroll"><table class="q-table"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
