"""Merge files of one task in different languages: row by row, with a preview and what differs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.merge import LANGUAGE_SENTENCES
from qeu.core.record import LANGUAGES
from qeu.core.text import one_line
from qeu.services.data_merge import MergeOptions, MergeReport, merge_files, preview_merge
from qeu.store.datasets import check_name, list_datasets
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_import_form_panel import MOST_PUBLIC_BYTES
from qeu.ui.dataset_import_panel import make_room
from qeu.ui.dataset_report_panel import (
    column_name,
    hint_html,
    notes_html,
    table_html,
    told_html,
    value_name,
)
from qeu.ui.dataset_work_panel import MANY, QUIET, DataPanel, Work
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

MOST_FILES = 4  # one for each language that a record can have
_SHOWN = ("seq", "instruction", "input", "reasoning", "output")
_CELL = 100
_SHOWN_REJECTED = 10


class MergePanel(DataPanel):
    """One file a language in, an interleaved data set out."""

    name = "merge"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.merge.title"), open=False, elem_id="data-merge"):
            gr.Markdown(say("data.merge.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight", equal_height=False):
                self.files = gr.File(
                    file_count="multiple",
                    label=say("data.merge.files"),
                    height=150,
                    allow_reordering=True,
                    elem_id="data-merge-files",
                    min_width=260,
                    scale=3,
                )
                with gr.Column(min_width=260, scale=4):
                    with gr.Row(elem_classes="q-tight"):
                        self.dataset_dd = gr.Dropdown(
                            [],
                            value=None,
                            label=say("data.import.dataset"),
                            allow_custom_value=True,
                            elem_id="data-merge-dataset",
                            min_width=180,
                            scale=2,
                        )
                        self.licence_box = gr.Textbox(
                            label=say("data.licence"),
                            placeholder="MIT",
                            max_length=200,
                            elem_id="data-merge-licence",
                            min_width=130,
                        )
                    with gr.Row(elem_classes="q-tight"):
                        self.first_number = gr.Number(
                            1, label=say("data.merge.first"), precision=0,
                            elem_id="data-merge-first", min_width=90,
                        )  # fmt: skip
                        self.last_number = gr.Number(
                            0, label=say("data.merge.last"), precision=0, elem_id="data-merge-last",
                            min_width=120,
                        )  # fmt: skip
                        self.rest_cb = gr.Checkbox(
                            False,
                            label=say("data.merge.rest"),
                            info=say("data.merge.rest.help"),
                            elem_id="data-merge-rest",
                            min_width=200,
                            scale=2,
                        )
            with gr.Row(elem_classes="q-tight"):
                self.language_dds = [
                    gr.Dropdown(
                        [
                            (say("data.import.language.find"), ""),
                            *((say(f"language.{code}"), code) for code in LANGUAGES),
                        ],
                        value="",
                        label=f"{place}",
                        visible=OFF,
                        elem_id=f"data-merge-language-{place}",
                        min_width=180,
                    )
                    for place in range(1, MOST_FILES + 1)
                ]
            with gr.Accordion(say("data.merge.sentences"), open=False):
                gr.Markdown(say("data.merge.sentences.help"), elem_classes="q-intro")
                self.sentence_boxes = {
                    code: gr.Textbox(
                        sentence, label=say(f"language.{code}"), max_length=500,
                        elem_id=f"data-merge-sentence-{code}",
                    )
                    for code, sentence in LANGUAGE_SENTENCES.items()
                }  # fmt: skip
            with gr.Row(elem_classes="q-actions"):
                self.preview_btn = gr.Button(
                    say("data.preview"),
                    size="md",
                    elem_id="data-merge-preview",
                    min_width=110,
                    scale=0,
                )
                self.merge_btn = gr.Button(
                    say("data.merge.do"),
                    size="md",
                    variant="primary",
                    elem_id="data-merge-do",
                    min_width=110,
                    scale=0,
                )
                self.build_stop()
            self.build_line()
            self.build_report()

    def _form(self) -> set[object]:
        return {
            self.files,
            self.dataset_dd,
            self.licence_box,
            self.first_number,
            self.last_number,
            self.rest_cb,
            *self.language_dds,
            *self.sentence_boxes.values(),
        }

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        inputs, shown = self._form() | self.shared(), self.outputs() | {self.stop_btn}
        languages = {*self.language_dds, self.dataset_dd}
        self.files.change(
            self.on_files, {self.files, self.dataset_dd}, languages | {self.report, self.line},
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        self.preview_btn.click(self.on_preview, inputs, shown, **MANY)
        outputs = {self.place.changed, self.place.name_dd, self.place.filter_state}
        self.merge_btn.click(self.on_merge, inputs, shown | outputs | {self.dataset_dd}, **MANY)
        self.place.changed.change(self.on_place, None, {self.dataset_dd}, **QUIET)

    def on_place(self, request: gr.Request) -> Updates:
        """The data sets that there are, to merge into."""
        names = [dataset.name for dataset in list_datasets(self.context.records(request))]
        return {self.dataset_dd: gr.update(choices=names)}

    def on_files(self, data: Data) -> Updates:
        """A language for each file, and a name for what comes out."""
        paths = _paths(data[self.files])
        updates: Updates = {self.report: "", self.line: notice_html("")}
        for place, box in enumerate(self.language_dds):
            there = place < len(paths)
            label = one_line(paths[place].name, 40) if there else ""
            updates[box] = gr.update(visible=there or OFF, label=label, value="")
        if paths and not data[self.dataset_dd]:
            updates[self.dataset_dd] = "merged"
        return updates

    def _read(self, data: Data, request: gr.Request) -> tuple[list[Path], MergeOptions]:
        paths, language = _paths(data[self.files]), language_of(request)
        if len(paths) > MOST_FILES:
            raise QeuError(text("data.merge.too_many", language, most=MOST_FILES))
        for path in paths:
            if self.context.settings.public and path.stat().st_size > MOST_PUBLIC_BYTES:
                most = MOST_PUBLIC_BYTES // 1_000_000
                raise QeuError(text("data.import.too_large", language, file=path.name, most=most))
        chosen = tuple(str(data[box] or "") for box in self.language_dds[: len(paths)])
        first, last = data[self.first_number], data[self.last_number]
        sentences = {
            code: str(data[box] or "").strip() for code, box in self.sentence_boxes.items()
        }
        return paths, MergeOptions(
            languages=chosen,
            rows=(int(first or 1), int(last) if last else None),  # type: ignore[call-overload]
            sentences={code: sentence for code, sentence in sentences.items() if sentence},
            keep_rest=bool(data[self.rest_cb]),
            licence=str(data[self.licence_box] or "").strip(),
        )

    def on_preview(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """What would come out, and the first rows of it."""
        try:
            paths, options = self._read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        names = [path.name for path in paths]
        yield from self.run(
            request, lambda work: preview_merge(paths, options), self._show_with(names)
        )

    def on_merge(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Merge as one step that undo takes back."""
        try:
            paths, options = self._read(data, request)
            name, workspace = check_name(str(data[self.dataset_dd] or "")), None
            workspace = self.context.records(request)
            room = make_room(self.context, workspace, language_of(request))
        except QeuError as error:
            yield self.refuse(error, request)
            return

        def do(work: Work) -> MergeReport:
            def progress(rows: int) -> None:
                work.tell(rows)
                room(rows)

            return merge_files(workspace, paths, name, options, progress, work.stopping)

        def after(result: object) -> Updates:
            assert isinstance(result, MergeReport)
            if not result.imported and not result.unchanged:
                return {}
            names = [dataset.name for dataset in list_datasets(workspace)]
            known = next((n for n in names if n.casefold() == name.casefold()), None)
            updates: Updates = {
                self.place.name_dd: gr.update(choices=names, value=known),
                self.dataset_dd: gr.update(choices=names, value=known),
                **self.place.raise_changed(data),
            }
            other = data[self.place.name_dd] != known
            return updates | ({self.place.filter_state: {}} if other else {})

        names = [path.name for path in paths]
        yield from self.run(request, do, self._show_with(names), after, writes=True)

    def _show_with(self, names: list[str]) -> Callable[[object, str], Updates]:
        def show(result: object, language: str) -> Updates:
            assert isinstance(result, MergeReport)
            return {self.line: notice_html(""), self.report: merged_html(result, names, language)}

        return show


def merged_html(report: MergeReport, names: list[str], language: str) -> str:
    """The files with their languages and lengths, what differs, the first rows or what was done."""
    plan = report.plan
    if report.sample or not report.dataset:
        told = text("data.merge.preview", language, count=f"{report.imported:,}")
    else:
        told = text(
            "data.merge.done",
            language,
            dataset=report.dataset,
            count=f"{report.imported:,}",
            unchanged=f"{report.unchanged:,}",
        )
    head = [text(f"data.merge.head.{name}", language) for name in ("file", "language", "rows")]
    files = [
        (name, value_name("language", code, language), length)
        for name, code, length in zip(names, plan.languages, plan.lengths, strict=True)
    ]
    shown = told_html(told) + table_html(head, files, "q-narrow")
    shown += notes_html(tell(note, language) for note in plan.problems())
    if report.sample:
        rows = [[one_line(str(row[name]), _CELL) for name in _SHOWN] for row in report.sample]
        shown += table_html([column_name(name, language) for name in _SHOWN], rows, "q-read")
    if report.rejected:
        count = f"{len(report.rejected):,}"
        shown += hint_html(text("data.merge.rejected", language, count=count))
        shown += notes_html(
            f"{one.row}: {tell(one.reason, language)}" for one in report.rejected[:_SHOWN_REJECTED]
        )
    return shown


def _paths(files: object) -> list[Path]:
    return [Path(str(name)) for name in (files or ())]  # type: ignore[attr-defined]
