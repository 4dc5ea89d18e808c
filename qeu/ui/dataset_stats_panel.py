"""Numbers of a data set as plots: facets, lengths in characters and tokens, language × category."""

from collections.abc import Iterator, Sequence

import gradio as gr

from qeu.backends.catalog import find_model, split_ref
from qeu.core.errors import QeuError
from qeu.services.data_stats import DatasetStats, TokenCounter, dataset_stats
from qeu.store.queries import count_queues
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context
from qeu.ui.dataset_export_panel import licences_html
from qeu.ui.dataset_report_panel import (
    bars_html,
    column_name,
    histogram_html,
    told_html,
    value_name,
)
from qeu.ui.dataset_work_panel import MANY, DataPanel, Work
from qeu.ui.markup import escape
from qeu.ui.models_drawer import model_choices
from qeu.ui.panels import notice_html
from qeu.ui.strings import text

_FACETS = ("language", "category", "uniqueness", "field", "status", "split", "review")


class StatsPanel(DataPanel):
    """Counted when the panel is opened, and whenever asked."""

    name = "stats"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(
            say("data.stats.title"), open=False, elem_id="data-stats"
        ) as self.accordion:
            with gr.Row(elem_classes="q-tight q-hub"):
                self.model_dd = gr.Dropdown(
                    [(say("data.stats.no_model"), ""), *model_choices(self.context)],
                    value="",
                    label=say("data.stats.model"),
                    info=say("data.stats.model.help"),
                    allow_custom_value=not self.context.settings.public,
                    elem_id="data-stats-model",
                    min_width=320,
                    scale=0,
                )
            with gr.Row(elem_classes="q-actions"):
                self.count_btn = gr.Button(
                    say("data.stats.do"), size="md", elem_id="data-stats-do", min_width=110, scale=0
                )
                self.build_stop()
            self.build_line()
            self.build_report()

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        shown = self.outputs() | {self.stop_btn}
        gr.on(
            [self.count_btn.click, self.accordion.expand, self.model_dd.input],
            self.on_count, self.shared() | {self.model_dd}, shown,
            **MANY,
        )  # fmt: skip

    def on_count(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Count what the scope means."""
        try:
            workspace, dataset, where = self.scope.read(data, request)
            model = str(data[self.model_dd] or "").strip()
            if model:
                self.context.check_model(model)
        except QeuError as error:
            yield self.refuse(error, request)
            return

        def do(work: Work) -> DatasetStats:
            counter = load_counter(self.context, model, work) if model else None
            return dataset_stats(
                workspace, dataset, where, counter, progress=work.tell, stop=work.stopping
            )

        yield from self.run(request, do, self._shown)

    def _shown(self, result: object, language: str) -> Updates:
        assert isinstance(result, DatasetStats)
        return {self.line: notice_html(""), self.report: stats_html(result, language)}


def load_counter(context: Context, model: str, work: Work) -> TokenCounter:
    """The tokenizer of a model, loaded if need be."""
    name = split_ref(model)[0]
    loaded = context.shelf.load(name, stop=work.stopping)
    return TokenCounter(loaded, find_model(name).layout)


def stats_html(stats: DatasetStats, language: str) -> str:
    """All plots; a facet with one value only is left out."""
    told = told_html(text("data.stats.records", language, count=f"{stats.records:,}"))
    if not stats.records:
        return told
    facets = "".join(
        bars_html(
            column_name(name, language),
            _named(name, stats.facets[name], language),
        )
        for name in _FACETS
        if len(stats.facets.get(name, {})) > 1
    )
    lengths = ""
    for title, histograms in (
        ("data.stats.characters", stats.characters),
        ("data.stats.tokens", stats.tokens),
    ):
        if histograms:
            title = text(title, language, model=_counted_by(stats))
            plots = "".join(
                histogram_html(column_name(name, language), histogram, language)
                for name, histogram in histograms.items()
            )
            lengths += f'<h4 class="q-heading">{escape(title)}</h4>'
            lengths += f'<div class="q-columns">{plots}</div>'
    if stats.longer:
        lengths += longer_html(stats, language)
    heading = escape(text("data.stats.table", language))
    table = f'<h4 class="q-heading">{heading}</h4>{_heat_html(stats.table, language)}'
    return (
        f'{told}<div class="q-columns">{facets}</div>{lengths}{table}'
        f"{licences_html(stats.licences, language)}"
    )


def longer_html(stats: DatasetStats, language: str) -> str:
    """How many records, and what share of all, a limit in tokens would cut."""
    counts = {
        f"> {limit:,} · {number / (stats.records or 1):.1%}": number
        for limit, number in stats.longer.items()
    }
    title = text("data.stats.longer", language, model=_counted_by(stats))
    note = text("data.stats.longer.help", language)
    return f'<div class="q-columns">{bars_html(title, counts, note)}</div>'


def _counted_by(stats: DatasetStats) -> str:
    """Whose tokens, and in which layout the whole record was rendered."""
    return " · ".join(filter(None, stats.counted_by))


def _named(name: str, counts: dict[str, int], language: str) -> dict[str, int]:
    named: dict[str, int] = {}
    for value, count in count_queues(counts.items()) if name == "review" else counts.items():
        label = value_name(name, value, language)
        named[label] = named.get(label, 0) + count
    return dict(sorted(named.items(), key=lambda item: -item[1]))


def _heat_html(table: dict[str, dict[str, int]], language: str) -> str:
    """Language × category, darker where there are more."""
    totals: dict[str, int] = {}
    for counts in table.values():
        for category, count in counts.items():
            totals[category] = totals.get(category, 0) + count
    categories: Sequence[str] = sorted(totals, key=lambda name: (-totals[name], name))[:20]
    top = max((count for counts in table.values() for count in counts.values()), default=1) or 1
    head = "".join(
        f'<th scope="col">{escape(value_name("category", name, language))}</th>'
        for name in categories
    )
    rows = ""
    for code, counts in table.items():
        cells = "".join(
            f'<td class="q-number q-heat" style="--v:{counts.get(name, 0) / top:.3f}">'
            f"{counts.get(name, 0) or '·'}</td>"
            for name in categories
        )
        rows += f'<tr><th scope="row">{escape(value_name("language", code, language))}</th>{cells}'
        rows += "</tr>"
    return (
        '<div class="q-scroll"><table class="q-table q-narrow"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
