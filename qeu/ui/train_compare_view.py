"""Several runs side by side as HTML: the settings that differ, and what each came to."""

from collections.abc import Mapping, Sequence

from qeu.services.train_runs import differing_settings
from qeu.ui.markup import escape
from qeu.ui.reasoning_jobs_view import time_text
from qeu.ui.strings import text
from qeu.ui.train_live_view import RATE_WORDS
from qeu.ui.train_reader import RATES, RunCurves, RunView

_LOSSES = (
    ("train", "loss", "train.curve.train"),
    ("validation", "loss", "train.curve.validation"),
    ("validation", "reasoning_loss", "train.compare.reasoning_loss"),
    ("validation", "answer_loss", "train.compare.answer_loss"),
)
# They tell the same as what they are made of.
_NOT_COMPARED = ("role_text", "layout_hash", "tokenizer_hash")
_NOTHING = "–"


def compare_html(runs: Sequence[RunView], curves: Mapping[str, RunCurves], language: str) -> str:
    """A column a run; "" of fewer than two."""
    if len(runs) < 2:
        return ""
    head = "".join(f'<th scope="col">{escape(run.name)}</th>' for run in runs)
    settings = "".join(_row(name, values) for name, values in _settings(runs))
    none = escape(text("train.compare.same", language))
    settings = settings or f'<tr><td colspan="{len(runs) + 1}">{none}</td></tr>'
    figures = "".join(_row(name, values) for name, values in _figures(runs, curves, language))
    span = len(runs) + 1
    titles = [
        f'<tr class="q-part-row"><th colspan="{span}">{escape(text(key, language))}</th></tr>'
        for key in ("train.compare.settings", "train.compare.figures")
    ]
    return (
        f'<section class="q-compare"><h4>{escape(text("train.compare.title", language))}</h4>'
        f'<div class="q-scroll"><table class="q-table q-narrow"><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{titles[0]}{settings}{titles[1]}{figures}</tbody></table></div></section>"
    )


def _settings(runs: Sequence[RunView]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of those that are not the same in all."""
    passports = [run.passport for run in runs if run.passport]
    if len(passports) < len(runs):  # one that cannot be read has nothing to compare
        return []
    return [
        (str(one["setting"]), [_told(one["setting"], value) for value in one["values"]])  # type: ignore[attr-defined]
        for one in differing_settings(passports)
        if one["setting"] not in _NOT_COMPARED
    ]


def _told(setting: object, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or _NOTHING
    shown = _NOTHING if value in (None, "") else str(value)
    return shown[:12] if str(setting).endswith("_hash") else shown


def _figures(
    runs: Sequence[RunView], curves: Mapping[str, RunCurves], language: str
) -> list[tuple[str, list[str]]]:
    known = [curves.get(run.name, RunCurves()) for run in runs]

    def row(key: str, form: str, values: Sequence[float | None]) -> None:
        if any(one is not None for one in values):
            told = [_NOTHING if one is None else form.format(one) for one in values]
            rows.append((text(key, language), told))

    rows = [
        (text("train.compare.steps", language), [f"{run.status.step:,}" for run in runs]),
        (
            text("train.compare.time", language),
            [time_text(run.status.seconds, language) if run.status.seconds else _NOTHING
             for run in runs],
        ),
    ]  # fmt: skip
    for kind, name, key in _LOSSES:
        row(key, "{:.3f}", [one.last(kind, name) for one in known])
    for name in RATES:
        row(RATE_WORDS[name], "{:.0%}", [one.last("samples", name) for one in known])
    row("train.chart.speed", "{:,.0f}", [one.last("train", "tokens_per_s") for one in known])
    row("train.compare.memory", "{:.2f} GB", [_peak(one) for one in known])
    return rows


def _peak(one: RunCurves) -> float | None:
    points = one.of("train", "memory")
    return max(value for _, value in points) / 1e9 if points else None


def _row(name: str, values: Sequence[str]) -> str:
    cells = "".join(f"<td>{escape(value)}</td>" for value in values)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
