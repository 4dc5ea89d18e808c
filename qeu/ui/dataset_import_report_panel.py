"""The report of an import on the Dataset tab: each file with its numbers, each bad row's reason."""

from dataclasses import dataclass, field

from qeu.services.data_import import ImportReport
from qeu.ui.dataset_mapping_panel import failure_html
from qeu.ui.dataset_report_panel import column_name, hint_html, notes_html, table_html, told_html
from qeu.ui.sentences import tell
from qeu.ui.strings import text

_SHOWN_REJECTED = 30


@dataclass
class Imported:
    """Reports of the files that could be read, (name, reason) of the others."""

    dataset: str
    reports: list[ImportReport] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of one of the reports' numbers."""
        return sum(getattr(report, name) for report in self.reports)


def imported_html(result: Imported, language: str) -> str:
    """The sum, each file with its numbers, the first bad rows with their reasons."""
    rejected = result.total("rejected_count")
    told = text(
        "data.import.done",
        language,
        dataset=result.dataset,
        imported=f"{result.total('imported'):,}",
        unchanged=f"{result.total('unchanged') + result.total('updated'):,}",
        rejected=f"{rejected:,}",
    )
    shown = told_html(told) + "".join(
        failure_html(name, reason, language) for name, reason in result.failures
    )
    if same := result.total("same_seq"):
        shown += notes_html([text("data.import.same_seq", language, count=f"{same:,}")])
    names = ("file", "format", "imported", "unchanged", "updated", "rejected")
    head = [text(f"data.import.head.{name}", language) for name in names]
    rows = [
        (r.file, f"{r.format} {r.encoding}".strip(), r.imported, r.unchanged, r.updated,
         r.rejected_count)
        for r in result.reports
    ]  # fmt: skip
    if rows:
        shown += table_html(head, rows)
    bad = [(report.file, one) for report in result.reports for one in report.rejected]
    if bad:
        names = ("file", "row", "field", "reason")
        head = [text(f"data.import.head.{name}", language) for name in names]
        listed = [
            (file, one.row, column_name(one.field, language), tell(one.reason, language))
            for file, one in bad[:_SHOWN_REJECTED]
        ]
        shown += table_html(head, listed, "q-rejected")
        if rejected > len(listed):
            more = text("data.import.more_rejected", language, count=f"{rejected - len(listed):,}")
            shown += hint_html(more)
    return shown
