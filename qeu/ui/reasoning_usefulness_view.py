"""What was measured of the chosen jobs, and of one text under review, as HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qeu.services.job_candidates import Group, Proposal
from qeu.services.job_review import Case
from qeu.services.usefulness import UsefulRow
from qeu.services.usefulness_runs import UsefulnessRuns
from qeu.services.usefulness_summary import UsefulnessSummary
from qeu.store.jobs import Job
from qeu.ui.dataset_report_panel import hint_html, told_html
from qeu.ui.markup import escape
from qeu.ui.models_pickers import short_label
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.usefulness_plot import plot_usefulness, source_table


def report_html(runs: UsefulnessRuns, group: Group, student: str, language: str) -> str:
    """The picture, a row a source, and why some could not be measured; "" before anything was."""
    rows = [
        row
        for job in group.jobs
        for row in _named(runs.rows(student, job.id), job, len(group.jobs) > 1, language)
    ]
    if not rows:
        return ""
    summary = UsefulnessSummary()
    summary.add(rows)
    measured = sum(row.result.useful is not None for row in rows)
    told = text(
        "usefulness.told", language, count=f"{measured:,}", total=f"{len(rows):,}",
        student=short_label(student),
    )  # fmt: skip
    table = source_table(summary.sources(), language)
    hint = "" if measured else hint_html(text("usefulness.alone", language))
    return (
        f"{told_html(told)}{hint}{plot_usefulness(rows, language)}"
        f'<div class="q-scroll">{table}</div>{_reasons(summary, language)}'
    )


def useful_lines(runs: UsefulnessRuns, case: Case, language: str) -> dict[str, str]:
    """Lines for under each text, by its letter, a line a student; nothing is computed."""
    return {
        one.slot.letter: "".join(_line(student, row, language) for student, row in found)
        for one in case.proposals
        if (found := _find(runs, case, one))
    }


def _reasons(summary: UsefulnessSummary, language: str) -> str:
    """Why some texts have no usefulness, the most frequent reason first; folded away."""
    found = sorted(summary.reasons.items(), key=lambda item: -item[1])
    items = "".join(f"<li>{count:,} × {escape(tell(why, language))}</li>" for why, count in found)
    title = escape(text("usefulness.reasons", language))
    folded = f'<details class="q-reasons"><summary>{title}</summary><ul>{items}</ul></details>'
    return folded if items else ""


def _find(runs: UsefulnessRuns, case: Case, one: Proposal) -> list[tuple[str, UsefulRow]]:
    job, number = one.slot.job.id, one.result.item.number
    return runs.find(job, number, case.stored.record, one.text)


def _line(student: str, row: UsefulRow, language: str) -> str:
    name, found = short_label(student), row.result
    if found.useful is None:
        why = tell(row.why, language)
        told = text("usefulness.line.none", language, student=name, why=why)
    else:
        told = text(
            "usefulness.line", language, student=name, useful=_signed(found.useful),
            gain=_signed(found.gain_without),
        )  # fmt: skip
        if found.cut_own:
            cut = text("usefulness.line.cut", language, count=found.cut_own)
            told = f"{told} · {cut}"
    help_ = escape(text("usefulness.table.note", language))
    return f'<p class="q-useful" title="{help_}">{escape(told)}</p>'


def _named(
    rows: Sequence[UsefulRow], job: Job, several: bool, language: str
) -> Sequence[UsefulRow]:
    """The rows with their sources as a person reads them; those of two jobs stay apart."""
    names = _source_names(job, several, language)
    return [replace(row, source=names[row.source]) for row in rows]


def _source_names(job: Job, several: bool, language: str) -> Mapping[str, str]:
    facts = []
    if job.spec.view and job.spec.view_name:
        facts.append(text("job.view.chip", language, name=job.spec.view_name))
    if job.spec.hinted:
        facts.append(text("job.hinted.chip", language))
    if several:
        facts.append(text("job.number", language, number=job.id))
    return {ref: " · ".join((short_label(ref), *facts)) for ref in job.spec.sources}


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
