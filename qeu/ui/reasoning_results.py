"""What the chosen jobs brought: the summary by model, and the results as a file."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.intervals import Rate
from qeu.services.job_output import export_job
from qeu.services.job_summary import SourceSummary, Summary, summarize
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_export_panel import file_name, size_text
from qeu.ui.dataset_report_panel import hint_html, told_html
from qeu.ui.dataset_view import value_name
from qeu.ui.dataset_work_panel import MANY, Work
from qeu.ui.markup import escape
from qeu.ui.models_pickers import short_label
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_merge import ChosenPanel
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

FORMATS = {"xlsx": "Excel", "jsonl": "JSONL", "parquet": "Parquet"}
_HEAD = (
    "job.sum.model",
    "job.sum.done",
    "job.sum.holds",
    "job.sum.leaks",
    "job.sum.language",
    "job.sum.loop",
    "job.sum.length",
    "job.sum.speed",
    "job.sum.paid",
    "job.sum.tries",
    "job.sum.edits",
)


class SummaryPanel(ChosenPanel):
    """A row a model: contract, leaks, language, loops, length, speed, cost, edits."""

    name = "summary"

    def build(self) -> None:
        """The accordion."""
        with gr.Accordion(
            self.say("job.sum.title"), open=False, elem_id="job-summary"
        ) as self.accordion:
            self.build_line()
            self.build_report()
            with gr.Row(elem_classes="q-actions"):
                self.again_btn = gr.Button(
                    self.say("job.sum.again"), size="md", elem_id="job-summary-do", min_width=110,
                    scale=0,
                )  # fmt: skip
                self.build_stop()

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        gr.on(
            [self.accordion.expand, self.again_btn.click],
            self.on_summary, {self.jobs.chosen}, self.outputs() | {self.stop_btn}, **MANY,
        )  # fmt: skip

    def on_summary(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Count everything anew."""
        try:
            workspace, group = self.read_group(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return

        def do(work: Work) -> Summary:
            return summarize(workspace, group, work.stopping)

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, Summary)
            return {self.line: notice_html(""), self.report: summary_html(result, language)}

        yield from self.run(request, do, show)


class JobExportPanel(ChosenPanel):
    """The results as a file, one for each chosen job."""

    name = "export"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.export.title"), open=False, elem_id="job-export"):
            with gr.Row(elem_classes="q-tight"):
                self.form_radio = gr.Radio(
                    [(say("job.export.plain"), "plain"), (say("job.export.full"), "full")],
                    value="plain",
                    label=say("job.export.columns"),
                    elem_id="job-export-form",
                    elem_classes="q-scope",
                    min_width=300,
                    scale=3,
                )
                self.format_radio = gr.Radio(
                    [(name, key) for key, name in FORMATS.items()],
                    value="xlsx",
                    label=say("data.export.format"),
                    elem_id="job-export-format",
                    min_width=220,
                    scale=2,
                )
            with gr.Row(elem_classes="q-actions"):
                self.make_btn = gr.Button(
                    say("data.export.do"), size="md", variant="primary", elem_id="job-export-do",
                    min_width=130, scale=0,
                )  # fmt: skip
                self.build_stop()
            self.build_line()
            self.files = gr.File(
                visible=OFF, file_count="multiple", label=say("data.export.download"),
                interactive=False, elem_id="job-export-files",
            )  # fmt: skip
            self.build_report()

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        self.make_btn.click(
            self.on_export,
            {self.jobs.chosen, self.form_radio, self.format_radio},
            self.outputs() | {self.stop_btn, self.files},
            **MANY,
        )

    def on_export(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Write the files and hand them to the browser."""
        try:
            workspace, group = self.read_group(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        full, ending = data[self.form_radio] == "full", str(data[self.format_radio] or "xlsx")
        # gone once the page has its own copy
        with TemporaryDirectory(prefix="qeu-") as folder:
            stem = file_name(group.dataset.name)
            paths = [Path(folder) / f"{stem}-job-{job.id}.{ending}" for job in group.jobs]

            def do(work: Work) -> tuple[int, int]:
                rows = sum(
                    export_job(workspace, job, path, full=full)
                    for job, path in zip(group.jobs, paths, strict=True)
                )
                return rows, sum(path.stat().st_size for path in paths)

            def show(result: object, language: str) -> Updates:
                rows, size = result  # type: ignore[misc]
                told = text("job.export.done", language, rows=f"{rows:,}", size=size_text(size))
                return {self.line: notice_html(""), self.report: told_html(told)}

            def after(result: object) -> Updates:
                return {self.files: gr.update(value=[str(path) for path in paths], visible=True)}

            yield {self.files: gr.update(value=None, visible=OFF)}
            yield from self.run(request, do, show, after)


def summary_html(summary: Summary, language: str) -> str:
    """A row a model, leaks by category below it, who agrees with whom, what was decided."""
    head = "".join(f'<th scope="col">{escape(text(key, language))}</th>' for key in _HEAD)
    rows = "".join(_row(one, language) for one in summary.sources)
    table = (
        f'<div class="q-scroll"><table class="q-table q-summary"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    told = [
        text("job.sum.agree", language, one=pair.one, other=pair.other, mean=f"{pair.mean:.2f}",
             count=f"{pair.records:,}")
        for pair in summary.agreement
    ]  # fmt: skip
    agreement = hint_html(" · ".join(told)) if told else ""
    return table + agreement + hint_html(text("job.sum.hint", language))


def _row(one: SourceSummary, language: str) -> str:
    facts = [short_label(one.source)]
    if one.view:
        facts.append(text("job.view.chip", language, name=one.view))
    if one.hinted:
        facts.append(text("job.hinted.chip", language))
    cells = [
        f'<th scope="row"><b>{escape(" ".join(one.letters))}</b> {escape(" · ".join(facts))}</th>',
        f'<td class="q-number">{one.done:,}</td>',
        f"<td>{_rate(one.passed)}</td>",
        f"<td>{_leaks(one, language)}</td>",
        f"<td>{_rate(one.language)}</td>",
        f"<td>{_rate(one.loops)}</td>",
        f'<td class="q-number">{one.characters:,.0f}<br><small>{one.new_tokens:,.0f}</small></td>',
        f'<td class="q-number">{one.tokens_per_s:,.1f}</td>',
        f'<td class="q-number">{one.paid_prompt_tokens:,} + {one.paid_new_tokens:,}</td>',
        f'<td class="q-number">{one.attempts:,}</td>',
        f'<td class="q-number">{_distance(one)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _rate(rate: Rate) -> str:
    if rate.share is None:
        return "–"
    return (
        f'<b>{rate.share:.0%}</b><small title="{rate.count:,} / {rate.of:,}">'
        f"{rate.low:.0%}–{rate.high:.0%}</small>"
    )


def _leaks(one: SourceSummary, language: str) -> str:
    found = [(name, rate) for name, rate in one.leaks.items() if rate.count]
    rows = "".join(
        f"<li>{escape(value_name('category', name, language))} {rate.share:.0%} "
        f"<small>({rate.count:,}/{rate.of:,})</small></li>"
        for name, rate in sorted(found, key=lambda item: -(item[1].share or 0))
    )
    return _rate(one.leaked) + (f"<ul>{rows}</ul>" if rows else "")


def _distance(one: SourceSummary) -> str:
    if one.distance is None:
        return "–"
    return f"{one.distance:.0%}<br><small>{one.decided:,}</small>"
