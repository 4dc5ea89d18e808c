"""The chosen runs as HTML: what became of each, their curves, and what they wrote at a step."""

from collections.abc import Mapping, Sequence

from qeu.core.run_metrics import smooth
from qeu.core.text import one_line
from qeu.ui.markup import escape
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.train_curves import Chart, Curve, Points, chart_html
from qeu.ui.train_reader import RATES, RunCurves, RunView
from qeu.ui.train_runs_view import TROUBLE_WORDS, state_chip

RATE_WORDS = {
    "contract": "train.rate.contract",
    "leak": "train.rate.leak",
    "closed": "train.rate.closed",
    "loop": "train.rate.loop",
}
assert set(RATE_WORDS) == set(RATES)
# Colours of one run's measures: places in the palette that keep apart.
_RATE_COLOURS = {"contract": 2, "leak": 1, "closed": 0, "loop": 3}
_LONGEST_TEXT, _LONGEST_QUESTION = 4_000, 160


def head_html(runs: Sequence[RunView], language: str) -> str:
    """Which runs are looked at; of one that went wrong what happened and what to do next."""
    if not runs:
        return f'<p class="q-hint q-nothing">{escape(text("train.live.none", language))}</p>'
    names = "".join(
        f'<span class="q-live-run"><b>{escape(run.name)}</b> {state_chip(run, language)}</span>'
        for run in runs
    )
    return f'<div class="q-live-head">{names}</div>' + "".join(
        _trouble(run, language) for run in runs
    )


def _trouble(run: RunView, language: str) -> str:
    status = run.status
    if not (status.trouble or status.message or status.advice):
        return ""
    kind = TROUBLE_WORDS.get(status.trouble)
    title = f"<b>{escape(text(kind, language))}</b>" if kind else ""
    lines = "".join(
        f"<p>{escape(tell(line, language))}</p>" for line in (status.message, status.advice) if line
    )
    css = "q-problems" if status.state == "failed" else "q-problems q-mild"
    return f'<div class="{css}" role="alert">{title}{lines}</div>'


def curves_html(
    runs: Sequence[RunView],
    curves: Mapping[str, RunCurves],
    smoothing: float,
    log: bool,
    language: str,
) -> str:
    """Their pictures: a colour a measure for one of them, a colour a run for several."""
    known = [(run, curves.get(run.name, RunCurves())) for run in runs]
    charts = list(_charts(known, smoothing, log, language))
    shown = "".join(chart_html(chart, language) for chart in charts)
    if shown:
        return f'<div class="q-charts">{shown}</div>'
    if not runs:
        return ""
    key = "train.live.soon" if any(run.status.is_open for run in runs) else "train.live.nothing"
    return f'<p class="q-hint">{escape(text(key, language))}</p>'


Known = Sequence[tuple[RunView, RunCurves]]


def _charts(known: Known, smoothing: float, log: bool, language: str) -> Sequence[Chart]:
    def say(key: str) -> str:
        return text(key, language)

    loss = [
        *_lines(known, "train", "loss", say("train.curve.train"), 0, smoothing, raw=True),
        *_lines(known, "validation", "loss", say("train.curve.validation"), 1, dash=1),
    ]
    parts = [
        *_lines(known, "validation", "reasoning_loss", say("part.reasoning"), 4),
        *_lines(known, "validation", "answer_loss", say("part.answer"), 5, dash=1),
    ]
    rates = [
        line
        for at, name in enumerate(RATES)
        for line in _lines(
            known, "samples", name, say(RATE_WORDS[name]), _RATE_COLOURS[name], dash=at
        )
    ]
    return [
        Chart(say("train.chart.loss"), loss, log=log, wide=True),
        Chart(say("train.chart.parts"), parts, log=log),
        Chart(say("train.chart.rates"), rates, lambda value: f"{value:.0%}", share=True),
        Chart(say("train.chart.rate"), _lines(known, "train", "learning_rate", "", 0)),
        Chart(
            say("train.chart.gradient"),
            _lines(known, "train", "grad_norm", "", 0, smoothing, raw=True),
            log=log,
        ),
        Chart(
            say("train.chart.speed"),
            _lines(known, "train", "tokens_per_s", "", 0, smoothing, raw=True),
            lambda value: f"{value:,.0f}",
        ),
        Chart(
            say("train.chart.memory"),
            [_in_gigabytes(one) for one in _lines(known, "train", "memory", "", 0)],
            lambda value: f"{value:.5g}",
        ),
    ]


def _lines(
    known: Known,
    kind: str,
    name: str,
    label: str,
    colour: int,
    smoothing: float = 0.0,
    *,
    raw: bool = False,
    dash: int = 0,
) -> list[Curve]:
    """One measure of all runs. Alone it has its own colour, among several runs that of its run."""
    several = len(known) > 1
    made = []
    for at, (run, curves) in enumerate(known):
        points: Points = curves.of(kind, name)
        if not points:
            continue
        own = ": ".join(part for part in (run.name, label) if part) if several else label
        shown = smooth(points, smoothing) if smoothing else points
        behind = points if raw and smoothing and not several else ()
        made.append(Curve(own or run.name, shown, at if several else colour, dash, behind))
    return made


def _in_gigabytes(curve: Curve) -> Curve:
    points = [(step, value / 1e9) for step, value in curve.points]
    return Curve(curve.name, points, curve.colour, curve.dash)


def samples_html(
    run: RunView | None,
    samples: Sequence[Mapping[str, object]],
    step: int | None,
    language: str,
) -> str:
    """What the run wrote for the same questions at one step; `step` None: the last one."""
    if run is None or not samples:
        return ""
    steps = [int(one["step"]) for one in samples]  # type: ignore[call-overload]
    at = steps.index(step) if step in steps else len(steps) - 1
    rows = samples[at].get("samples")
    shown = "".join(
        _sample(row, language)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, Mapping)
    )
    names = ("train.samples.question", "part.reasoning", "part.answer")
    head = "".join(f'<th scope="col">{escape(text(name, language))}</th>' for name in names)
    title = escape(text("train.samples.title", language, name=run.name))
    return (
        f'<section class="q-samples"><div class="q-samples-head"><h4>{title}</h4>'
        f"{_picker(steps, at, language)}</div>"
        f'<div class="q-scroll"><table class="q-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{shown}</tbody></table></div></section>"
    )


def _picker(steps: Sequence[int], at: int, language: str) -> str:
    """One step back, any step, one step on; step 0 is the base itself."""

    def name(step: int) -> str:
        key = "train.samples.step" if step else "train.samples.base"
        return escape(text(key, language, step=f"{step:,}") if step else text(key, language))

    def button(to: int, sign: str, key: str) -> str:
        told = escape(text(key, language))
        where = f'data-value="{steps[to]}"' if 0 <= to < len(steps) else "disabled"
        return (
            f'<button type="button" class="q-deed" data-do="step" {where} title="{told}" '
            f'aria-label="{told}">{sign}</button>'
        )

    options = "".join(
        f'<option value="{step}"{" selected" if place == at else ""}>{name(step)}</option>'
        for place, step in enumerate(steps)
    )
    label = escape(text("train.samples.pick", language))
    return (
        f'<span class="q-steps">{button(at - 1, "◀", "train.samples.back")}'
        f'<select data-do="step" aria-label="{label}">{options}</select>'
        f"{button(at + 1, '▶', 'train.samples.on')}</span>"
    )


def _sample(row: Mapping[str, object], language: str) -> str:
    asked = str(row.get("question") or "")
    question, whole = escape(one_line(asked, _LONGEST_QUESTION)), escape(one_line(asked, 2_000))
    reasoning, answer = (str(row.get(name) or "") for name in ("reasoning", "answer"))
    # on a narrow screen each cell stands under its own name
    cells = "".join(
        f'<td class="q-wrote" dir="auto" data-name="{escape(text(key, language))}">'
        f"{escape(words[:_LONGEST_TEXT]) or '–'}</td>"
        for key, words in (("part.reasoning", reasoning), ("part.answer", answer))
    )
    return (
        f'<tr><td class="q-question" dir="auto" title="{whole}">{question}'
        f'<span class="q-marks">{_chips(row, language)}</span></td>{cells}</tr>'
    )


# (field, what it says where true, its colour there; where false)
_CHIPS = (
    ("contract", "train.chip.contract", "pass", "train.chip.no_contract", "fail"),
    ("leak", "train.chip.leak", "fail", "train.chip.no_leak", "pass"),
    ("closed", "train.chip.closed", "pass", "train.chip.open", "partial"),
    ("loop", "train.chip.loop", "fail", "", ""),
)


def _chips(row: Mapping[str, object], language: str) -> str:
    shown = ""
    for name, yes, yes_css, no, no_css in _CHIPS:
        value = row.get(name)
        key, css = (yes, yes_css) if value is True else (no, no_css) if value is False else ("", "")
        if key:
            shown += f'<span class="q-chip q-{css}">{escape(text(key, language))}</span>'
    return shown


def log_html(runs: Sequence[RunView], language: str) -> str:
    """The end of each run's log."""
    parts = []
    for run in runs:
        tail = run.folder.log_tail()
        title = f"<h4>{escape(run.name)}</h4>" if len(runs) > 1 else ""
        shown = escape(tail) if tail else escape(text("train.log.empty", language))
        parts.append(f'{title}<pre class="q-prompt q-log" tabindex="0">{shown}</pre>')
    return "".join(parts)
