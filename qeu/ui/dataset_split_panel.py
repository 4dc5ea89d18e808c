"""Split into train, validation and test: seeded, stratified, what is alike kept together."""

from collections.abc import Iterator

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.data_split import SplitOptions, SplitReport, split_dataset
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_report_panel import bars_html, hint_html, table_html, told_html, value_name
from qeu.ui.dataset_work_panel import MANY, DataPanel, Work
from qeu.ui.panels import notice_html
from qeu.ui.strings import text

_SHOWN_NEAREST = 15
_SHOWN_STRATA = 40


class SplitPanel(DataPanel):
    """Shares and a seed; the same seed gives the same split."""

    name = "split"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.split.title"), open=False, elem_id="data-split"):
            gr.Markdown(say("data.split.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.validation_slider = gr.Slider(
                    0, 0.5, value=0.1, step=0.01, label=say("data.split.validation"), buttons=[],
                    elem_id="data-split-validation", min_width=180,
                )  # fmt: skip
                self.test_slider = gr.Slider(
                    0, 0.5, value=0.0, step=0.01, label=say("data.split.test"), buttons=[],
                    elem_id="data-split-test", min_width=180,
                )  # fmt: skip
                self.seed_number = gr.Number(
                    0, label=say("data.split.seed"), precision=0, elem_id="data-split-seed",
                    min_width=100, scale=0,
                )  # fmt: skip
            with gr.Row(elem_classes="q-actions"):
                self.preview_btn = gr.Button(
                    say("data.preview"),
                    size="md",
                    elem_id="data-split-preview",
                    min_width=110,
                    scale=0,
                )
                self.apply_btn = gr.Button(
                    say("data.apply"),
                    size="md",
                    variant="primary",
                    elem_id="data-split-apply",
                    min_width=110,
                    scale=0,
                )
                self.build_stop()
            self.build_line()
            self.build_report()

    def wire(self) -> None:
        """Connect the buttons."""
        super().wire()
        inputs = self.shared() | {self.validation_slider, self.test_slider, self.seed_number}
        shown = self.outputs() | {self.stop_btn}
        self.preview_btn.click(self.on_preview, inputs, shown, **MANY)
        self.apply_btn.click(self.on_apply, inputs, shown | {self.place.changed}, **MANY)

    def on_preview(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """How the records would be split."""
        yield from self._split(data, request, apply=False)

    def on_apply(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Write the split; undo takes it back."""
        yield from self._split(data, request, apply=True)

    def _split(self, data: Data, request: gr.Request, apply: bool) -> Iterator[Updates]:
        try:
            options = SplitOptions(
                validation=float(data[self.validation_slider] or 0),  # type: ignore[arg-type]
                test=float(data[self.test_slider] or 0),  # type: ignore[arg-type]
                seed=int(data[self.seed_number] or 0),  # type: ignore[call-overload]
            )
            options.shares()
            workspace, dataset, where = self.scope.read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return

        def do(work: Work) -> SplitReport:
            return split_dataset(
                workspace, dataset, options, where, apply, work.tell, work.stopping
            )

        def show(result: object, language: str) -> Updates:
            assert isinstance(result, SplitReport)
            told = text("data.split.preview", language)
            if apply and result.event:
                told = text("data.split.applied", language)
            elif apply:
                told = text("data.applied.nothing", language)
            return {
                self.line: notice_html(""),
                self.report: told_html(told) + split_html(result, language),
            }

        def after(result: object) -> Updates:
            assert isinstance(result, SplitReport)
            return self.place.raise_changed(data) if result.event else {}

        yield from self.run(request, do, show, after, writes=apply)


def split_html(report: SplitReport, language: str) -> str:
    """Records per part, per stratum, and how alike the rest is to what is trained on."""
    parts = list(report.counts)
    names = [text(f"dataset.split.{part}", language) for part in parts]
    bars = bars_html(
        text("data.check.records", language),
        {name: report.counts[part] for name, part in zip(names, parts, strict=True)},
        text("data.split.together", language, count=f"{report.kept_together:,}"),
    )
    strata = sorted(report.strata.items(), key=lambda item: -sum(item[1].values()))
    rows = [
        (_stratum_name(name, language), *(counts.get(part, 0) for part in parts))
        for name, counts in strata[:_SHOWN_STRATA]
    ]
    head = [text("data.split.stratum", language), *names]
    shown = f'<div class="q-columns">{bars}{table_html(head, rows, "q-narrow")}</div>'
    if not report.nearest:
        return shown
    head = [text(f"data.split.head.{name}", language) for name in ("row", "part", "train", "alike")]
    rows = [
        (seq, text(f"dataset.split.{part}", language), train, f"{alike:.0%}")
        for seq, part, train, alike in report.nearest[:_SHOWN_NEAREST]
    ]
    told = text("data.split.nearest", language)
    return shown + hint_html(told) + table_html(head, rows, "q-narrow")


def _stratum_name(name: str, language: str) -> str:
    category, _, code = name.rpartition(", ")
    named = value_name("category", category, language)
    return f"{named} · {value_name('language', code, language)}"
