"""Rules over the reasoning as a table in the page: edit, load and save as YAML, preview, apply."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.rules import CONDITIONS, Rule, find_quarrels, read_rules
from qeu.services.data_preview import Preview
from qeu.services.data_rules import (
    dump_rules,
    load_rules,
    parse_rules,
    preview_rules,
    run_rules,
)
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_change_panel import ChangePanel
from qeu.ui.dataset_report_panel import notes_html, preview_html
from qeu.ui.dataset_work_panel import QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

COLUMNS = (*CONDITIONS, "do", "sentence", "by")
MOST_RULES = 500


class RulesPanel(ChangePanel):
    """A rule is a row: conditions (empty: any), what to do, the sentence, what replaces it."""

    name = "rules"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.rules.title"), open=False, elem_id="data-rules"):
            gr.Markdown(say("data.rules.intro"), elem_classes="q-intro")
            self.rules_table = gr.Dataframe(
                rows_of(load_rules()),
                headers=headers("en"),
                datatype="str",
                type="array",
                interactive=True,
                column_count=len(COLUMNS),
                wrap=True,
                max_height=320,
                column_widths=["130px", "110px", "120px", "100px", "110px", "400px", "260px"],
                buttons=[],
                label=say("data.rules.table"),
                elem_id="data-rules-table",
            )
            with gr.Row(elem_classes="q-actions"):
                self.build_buttons()
                self.load_btn = gr.UploadButton(
                    say("data.rules.load"),
                    size="md",
                    file_types=[".yaml", ".yml", ".txt"],
                    elem_id="data-rules-load",
                    min_width=120,
                    scale=0,
                )
                self.save_btn = gr.Button(
                    say("data.rules.save"),
                    size="md",
                    elem_id="data-rules-save",
                    min_width=120,
                    scale=0,
                )
                self.april_btn = gr.Button(
                    say("data.rules.april"),
                    size="md",
                    elem_id="data-rules-april",
                    min_width=120,
                    scale=0,
                )
            self.file = gr.File(visible=OFF, show_label=False, elem_id="data-rules-file")
            self.build_line()
            self.build_report()

    def on_spoken(self, data: Data, request: gr.Request) -> Updates:
        """The table's head in the page's language."""
        named = {"headers": headers(language_of(request)), "data": data[self.rules_table]}
        return {self.rules_table: named}

    def form(self) -> set[object]:
        """The panel's own controls."""
        return {self.rules_table}

    def wire(self) -> None:
        """Connect the buttons."""
        super().wire()
        shown = {self.rules_table, self.line}
        self.scope.spoken.change(self.on_spoken, {self.rules_table}, {self.rules_table}, **QUIET)
        self.load_btn.upload(self.on_load, {self.load_btn}, shown, **QUIET)
        self.april_btn.click(self.on_april, None, shown, **QUIET)
        self.save_btn.click(self.on_save, {self.rules_table}, {self.file, self.line}, **QUIET)

    def _read(
        self, data: Data, request: gr.Request
    ) -> tuple[Workspace, Dataset, list[Rule], Filter]:
        rules = read_table(data[self.rules_table], language_of(request))
        workspace, dataset, where = self.scope.read(data, request)
        return workspace, dataset, rules, where

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """What the rules would change, and which of them quarrel."""
        workspace, dataset, rules, where = self._read(data, request)
        return lambda work: (
            preview_rules(workspace, dataset, rules, where, work.tell, work.stopping),
            find_quarrels(rules),
        )

    def preview_shown(self, result: object, language: str) -> Updates:
        """Quarrels stand above the sample."""
        preview, quarrels = result  # type: ignore[misc]
        assert isinstance(preview, Preview)
        notes = notes_html(tell(quarrel, language) for quarrel in quarrels)
        shown = preview_html(preview, language, notes)
        return {self.line: notice_html(""), self.report: shown}

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Apply the rules as one step."""
        workspace, dataset, rules, where = self._read(data, request)
        return lambda work: run_rules(workspace, dataset, rules, where, work.tell, work.stopping)

    def on_load(self, data: Data, request: gr.Request) -> Updates:
        """Put the rules of a YAML file into the table."""
        try:
            rules = load_rules(Path(str(data[self.load_btn])))
        except QeuError as error:
            return self.refuse(error, request)
        told = text("data.rules.loaded", language_of(request), count=len(rules))
        return {self.rules_table: rows_of(rules), self.line: notice_html(told)}

    def on_april(self, request: gr.Request) -> Updates:
        """The two shipped rules again."""
        rules = load_rules()
        told = text("data.rules.loaded", language_of(request), count=len(rules))
        return {self.rules_table: rows_of(rules), self.line: notice_html(told)}

    def on_save(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """The table as a YAML file to download, which loads again as it is."""
        try:
            content = dump_rules(read_table(data[self.rules_table], language_of(request)))
            parse_rules(content)
        except QeuError as error:
            yield self.refuse(error, request) | {self.file: gr.update(visible=OFF)}
            return
        # gone once the page has its own copy
        with TemporaryDirectory(prefix="qeu-") as folder:
            path = Path(folder) / "rules.yaml"
            path.write_text(content, encoding="utf-8")
            yield {self.file: gr.update(value=str(path), visible=True), self.line: notice_html("")}


def headers(language: str) -> list[str]:
    """The table's head: the conditions, then what to do."""
    names = [text(f"dataset.column.{name}", language) for name in CONDITIONS]
    return [*names, *(text(f"data.rules.{name}", language) for name in ("do", "sentence", "by"))]


def rows_of(rules: Sequence[Rule]) -> list[list[str]]:
    """Rules as rows of the table; several values of a condition with commas between."""
    return [
        [*(", ".join(rule.when.get(name, ())) for name in CONDITIONS), rule.do, rule.sentence,
         rule.by]
        for rule in rules
    ]  # fmt: skip


def read_table(rows: object, language: str) -> list[Rule]:
    """The table's rules; empty rows count for nothing, QeuError names the row at fault."""
    cells = [[str(cell or "").strip() for cell in row] for row in rows or ()]  # type: ignore
    filled = [row + [""] * (len(COLUMNS) - len(row)) for row in cells if any(row)]
    if not filled:
        raise QeuError(text("data.rules.empty", language))
    if len(filled) > MOST_RULES:
        raise QeuError(text("data.rules.too_many", language, count=len(filled), most=MOST_RULES))
    data = []
    for row in filled:
        named = dict(zip(COLUMNS, row, strict=False))
        when = {
            name: [value.strip() for value in named[name].split(",") if value.strip()]
            for name in CONDITIONS
            if named[name]
        }
        rule = {"when": when, "do": named["do"].lower(), "sentence": named["sentence"]}
        # an empty cell is no "replace by nothing": that is what "remove" is for
        data.append(rule | ({"by": named["by"]} if named["by"] else {}))
    return read_rules(data)
