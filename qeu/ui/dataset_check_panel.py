"""Check a whole data set: counts per check and category; a click on one shows these records."""

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.record_checks import CHECKS
from qeu.services.data_check import CheckOptions, CheckReport, check_dataset
from qeu.store.filters import Filter
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_report_panel import column_name, hint_html, told_html, value_name
from qeu.ui.dataset_work_panel import MANY, QUIET, DataPanel, Work
from qeu.ui.markup import escape
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

# What a check looks at, where that is not the answer.
LOOKS_AT = {
    **dict.fromkeys(
        ("lines", "length", "form", "language", "loop", "leak_reference", "leak_commit"),
        "reasoning",
    ),
    "near_duplicate": "instruction",
}
JUMP_JS = """
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-check]");
  if (button) {
    trigger("select", { check: button.dataset.check, category: button.dataset.category ?? "" });
    document.querySelector("#dataset")?.scrollIntoView({ behavior: still ? "auto" : "smooth" });
  }
});
"""


@dataclass(frozen=True)
class _Checked:
    dataset: str
    report: CheckReport
    where: Filter


class CheckPanel(DataPanel):
    """The contract over all records, near-duplicates, wrong sums and so on."""

    name = "check"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        languages = [(say(f"language.{code}"), code) for code in ("en", "ja", "zh")]
        with gr.Accordion(say("data.check.title"), open=False, elem_id="data-check"):
            gr.Markdown(say("data.check.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.reasoning_dd = gr.Dropdown(
                    [(say("data.check.any_language"), ""), *languages],
                    value="",
                    label=say("data.check.reasoning_language"),
                    elem_id="data-check-reasoning",
                    min_width=200,
                )
                self.output_dd = gr.Dropdown(
                    [(say("data.check.own_language"), ""), *languages],
                    value="",
                    label=say("data.check.output_language"),
                    elem_id="data-check-output",
                    min_width=200,
                )
            with gr.Row(elem_classes="q-actions"):
                self.check_btn = gr.Button(
                    say("data.check.do"),
                    size="md",
                    variant="primary",
                    elem_id="data-check-do",
                    min_width=120,
                    scale=0,
                )
                self.build_stop()
            self.build_line()
            self.report = gr.HTML(
                elem_id="data-check-report", elem_classes="q-report", js_on_load=JUMP_JS
            )

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        self.check_btn.click(
            self.on_check,
            self.shared() | {self.reasoning_dd, self.output_dd},
            self.outputs() | {self.stop_btn, self.place.changed},
            **MANY,
        )
        self.report.select(
            self.on_jump,
            self.shared(),
            {self.place.filter_state, self.place.changed, self.line, self.scope.scope_radio},
            **QUIET,
        )

    def on_check(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Run all checks; what was found before a stop is kept."""
        try:
            workspace, dataset, where = self.scope.read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        options = CheckOptions(
            reasoning_language=str(data[self.reasoning_dd] or ""),
            output_language=str(data[self.output_dd] or ""),
        )

        def do(work: Work) -> _Checked:
            report = check_dataset(workspace, dataset, options, where, work.tell, work.stopping)
            return _Checked(dataset.name, report, where)

        yield from self.run(request, do, self._shown, lambda result: self.place.raise_changed(data))

    def _shown(self, result: object, language: str) -> Updates:
        assert isinstance(result, _Checked)
        return {self.line: notice_html(""), self.report: checked_html(result.report, language)}

    def on_jump(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """Let the browser of records show what a check found, within the records it looked at."""
        sent = event._data if isinstance(event._data, dict) else {}
        check, category = str(sent.get("check") or ""), str(sent.get("category") or "")
        if check not in CHECKS:
            return gr.skip()
        work = self._session(request).runs.get("data-check")
        result = getattr(work, "result", None)
        within: dict[str, object] = {}
        if isinstance(result, _Checked) and result.dataset == data[self.place.name_dd]:
            within = result.where.to_json()
        found = {**within, "check": check} | ({"category": [category]} if category else {})
        told = text(
            "data.check.jumped",
            language_of(request),
            check=check_name(check, language_of(request)),
        )
        return {
            self.place.filter_state: Filter.from_json(found).to_json(),
            self.scope.scope_radio: "filter",
            self.line: notice_html(told),
            **self.place.raise_changed(data),
        }


def check_name(check: str, language: str) -> str:
    """A check in the page's language."""
    return text(f"dataset.finding.{check}", language)


def checked_html(report: CheckReport, language: str) -> str:
    """A table of checks by categories; every count is a button."""
    found = {name: count for name, count in report.counts.items() if count}
    told = text("data.check.done", language, checked=f"{report.checked:,}")
    notes = ""
    if report.without_reasoning:
        silent = f"{report.without_reasoning:,}"
        notes = hint_html(text("data.check.silent", language, count=silent))
    if not found:
        clean = text("data.check.clean", language) if report.checked else ""
        return told_html(f"{told} {clean}".strip()) + notes
    totals: dict[str, int] = {}
    for counts in report.by_category.values():
        for category, count in counts.items():
            totals[category] = totals.get(category, 0) + count
    categories = sorted(totals, key=lambda name: (-totals[name], name))
    top = "".join(
        f'<th scope="col">{escape(value_name("category", name, language))}</th>'
        for name in categories
    )
    rows = []
    for name, count in found.items():
        label = check_name(name, language)
        cells = [_count(name, "", count, label)]
        by = report.by_category.get(name, {})
        cells += [
            _count(
                name, other, by.get(other, 0), f"{label}, {value_name('category', other, language)}"
            )
            for other in categories
        ]
        title = escape(text(f"data.fault.{name}.help", language))
        of = escape(column_name(LOOKS_AT.get(name, "output"), language))
        rows.append(
            f'<tr><th scope="row" title="{title}">{escape(label)} <small>{of}</small></th>'
            f"{''.join(cells)}</tr>"
        )
    clean = [check_name(name, language) for name, count in report.counts.items() if not count]
    passed = (
        text("data.check.passed", language, checks=text("list.comma", language).join(clean))
        if clean
        else ""
    )
    total = escape(text("data.check.records", language))
    return (
        f"{told_html(told)}{hint_html(text('data.check.click', language))}"
        f'<div class="q-scroll"><table class="q-table q-checked"><thead><tr>'
        f'<th></th><th scope="col">{total}</th>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"{hint_html(passed) if passed else ''}{notes}"
    )


def _count(check: str, category: str, count: int, label: str) -> str:
    if not count:
        return '<td class="q-number">·</td>'
    of = f' data-category="{escape(category)}"' if category else ""
    return (
        f'<td class="q-number"><button type="button" data-check="{escape(check)}"{of} '
        f'title="{escape(label)}">{count:,}</button></td>'
    )
