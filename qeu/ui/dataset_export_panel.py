"""Export to a file of any format, chosen columns, filtered or all; push to the Hub; licences."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.data_export import (
    ALPACA_COLUMNS,
    WORKSPACE_COLUMNS,
    ExportReport,
    count_licences,
    export_file,
    list_columns,
    push_to_hub,
)
from qeu.store.hub_datasets import push_files
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_report_panel import column_name, hint_html, notes_html, told_html
from qeu.ui.dataset_work_panel import MANY, QUIET, DataPanel, Work
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

# (name on the page, writer, ending); Alpaca is JSON with three columns.
FORMATS: Mapping[str, tuple[str, str, str]] = {
    "jsonl": ("JSONL", "jsonl", ".jsonl"),
    "json": ("JSON", "json", ".json"),
    "alpaca": ("Alpaca", "json", "-alpaca.json"),
    "csv": ("CSV", "csv", ".csv"),
    "xlsx": ("Excel", "xlsx", ".xlsx"),
    "parquet": ("Parquet", "parquet", ".parquet"),
}


@dataclass(frozen=True)
class _Made:
    report: ExportReport
    bytes: int


class ExportPanel(DataPanel):
    """A file to download, or a data set of the Hub with its card."""

    name = "export"

    def build(self) -> None:
        """The accordion."""
        say, local = self.say, not self.context.settings.public
        with gr.Accordion(say("data.export.title"), open=False, elem_id="data-export"):
            with gr.Row(elem_classes="q-tight", equal_height=False):
                self.format_radio = gr.Radio(
                    [(name, key) for key, (name, _, _) in FORMATS.items()],
                    value="jsonl",
                    label=say("data.export.format"),
                    elem_id="data-export-format",
                    min_width=300,
                    scale=2,
                )
                self.columns_dd = gr.Dropdown(
                    [],
                    value=[],
                    multiselect=True,
                    label=say("data.export.columns"),
                    info=say("data.export.columns.help"),
                    elem_id="data-export-columns",
                    min_width=300,
                    scale=3,
                )
            with gr.Row(elem_classes="q-actions"):
                self.make_btn = gr.Button(
                    say("data.export.do"),
                    size="md",
                    variant="primary",
                    elem_id="data-export-do",
                    min_width=130,
                    scale=0,
                )
                self.build_stop()
                self.download_btn = gr.DownloadButton(
                    say("data.export.download"),
                    interactive=False,
                    size="md",
                    elem_id="data-export-download",
                    min_width=160,
                    scale=0,
                )
            self.build_line()
            self.build_report()
            with gr.Accordion(
                say("data.export.hub"), open=False, visible=local, elem_id="data-export-hub"
            ):
                with gr.Row(elem_classes="q-tight"):
                    self.repo_box = gr.Textbox(
                        label=say("data.export.repo"),
                        placeholder="owner/name",
                        elem_id="data-export-repo",
                        min_width=200,
                    )
                    self.token_box = gr.Textbox(
                        label=say("data.export.token"),
                        info=say("data.export.token.help"),
                        type="password",
                        elem_id="data-export-token",
                        min_width=200,
                    )
                    self.private_cb = gr.Checkbox(
                        True,
                        label=say("data.export.private"),
                        info=say("data.export.private.help"),
                        elem_id="data-export-private",
                        min_width=160,
                    )
                self.push_btn = gr.Button(
                    say("data.export.push"), size="md", elem_id="data-export-push", min_width=160
                )

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        self.make_btn.click(
            self.on_export,
            self.shared() | {self.format_radio, self.columns_dd},
            self.outputs() | {self.stop_btn, self.download_btn},
            **MANY,
        )
        self.push_btn.click(
            self.on_push,
            self.shared() | {self.repo_box, self.token_box, self.private_cb},
            self.outputs() | {self.stop_btn, self.token_box},
            **MANY,
        )
        gr.on(
            [self.place.name_dd.change, self.place.changed.change, self.scope.spoken.change],
            self.on_place,
            self.shared() | {self.columns_dd},
            {self.columns_dd},
            trigger_mode="always_last",
            concurrency_limit=1,
            **QUIET,
        )

    def on_place(self, data: Data, request: gr.Request) -> Updates:
        """The columns of the data set that is chosen now; a choice made before stays."""
        language = language_of(request)
        try:
            workspace, dataset, _ = self.scope.read(data, request)
        except QeuError:
            return {self.columns_dd: gr.update(choices=[], value=[])}
        names = [*list_columns(workspace, dataset), *WORKSPACE_COLUMNS, "question"]
        kept = [name for name in data[self.columns_dd] or () if name in names]  # type: ignore[attr-defined]
        choices = [(column_name(name, language), name) for name in names]
        return {self.columns_dd: gr.update(choices=choices, value=kept)}

    def on_export(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Write the file and hand it to the browser."""
        try:
            workspace, dataset, where = self.scope.read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        key = str(data[self.format_radio] or "jsonl")
        _, kind, ending = FORMATS[key]
        columns = tuple(data[self.columns_dd] or ())  # type: ignore[arg-type]
        if key == "alpaca":
            columns = ALPACA_COLUMNS
        # gone once the page has its own copy
        with TemporaryDirectory(prefix="qeu-") as folder:
            path = Path(folder) / f"{file_name(dataset.name)}{ending}"

            def do(work: Work) -> _Made:
                report = export_file(
                    workspace,
                    dataset,
                    path,
                    kind=kind,
                    where=where,
                    columns=columns,
                    progress=work.tell,
                    stop=work.stopping,
                )
                return _Made(report, path.stat().st_size)

            def after(result: object) -> Updates:
                assert isinstance(result, _Made)
                return {
                    self.download_btn: gr.update(
                        value=str(path),
                        interactive=True,
                        variant="primary",
                        label=text(
                            "data.export.download_named",
                            language_of(request),
                            file=path.name,
                            size=size_text(result.bytes),
                        ),
                    )
                }

            yield {
                self.download_btn: gr.update(
                    value=None,
                    interactive=False,
                    variant="secondary",
                    label=text("data.export.download", language_of(request)),
                )
            }
            yield from self.run(request, do, self._shown, after)

    def _shown(self, result: object, language: str) -> Updates:
        assert isinstance(result, _Made)
        report = result.report
        told = text(
            "data.export.done",
            language,
            rows=f"{report.rows:,}",
            columns=len(report.columns),
        )
        shown = told_html(told) + licences_html(report.licences, language)
        return {self.line: notice_html(""), self.report: shown}

    def on_push(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Push to the Hub; a typed token is used once and emptied, never stored."""
        language = language_of(request)
        name = str(data[self.repo_box] or "").strip()
        token = str(data[self.token_box] or "").strip()
        try:
            if self.context.settings.public:
                raise QeuError(text("data.export.no_push", language))
            if name.count("/") != 1 or not all(name.split("/")):
                raise QeuError(text("data.export.bad_repo", language))
            workspace, dataset, where = self.scope.read(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        private = bool(data[self.private_cb])

        def do(work: Work) -> tuple[str, dict[str, int]]:
            push = _pusher(token)
            address = push_to_hub(workspace, dataset, name, where, private, push)
            return address, count_licences(workspace, dataset)

        def show(result: object, spoken: str) -> Updates:
            address, licences = result  # type: ignore[misc]
            told = text("data.export.pushed", spoken, address=address)
            return {
                self.line: notice_html(""),
                self.report: told_html(told) + licences_html(licences, spoken),
            }

        yield {self.token_box: ""}
        yield from self.run(request, do, show)


def _pusher(token: str) -> Callable[[str, Mapping[str, Path | bytes], bool], str]:
    """How files are sent: with a typed token, else with the one of the environment."""
    if not token:
        return push_files

    def push(name: str, files: Mapping[str, Path | bytes], private: bool) -> str:
        from huggingface_hub import HfApi

        return push_files(name, files, private, HfApi(token=token))

    return push


def licences_html(licences: Mapping[str, int], language: str) -> str:
    """Under which licences the texts came; what that may mean."""
    if not licences:
        return ""
    named = text("data.licence.unknown", language)
    parts = [f"{name or named} ({count:,})" for name, count in licences.items()]
    told = text("data.export.licences", language, licences=" · ".join(parts))
    return notes_html([told]) + hint_html(text("data.export.teacher", language))


def file_name(dataset: str) -> str:
    """A data set's name as a file's: letters and digits of any script, the rest as dashes."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in dataset)
    return kept.strip("-.")[:60] or "records"


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    if size < 1_000_000:
        return f"{max(size / 1000, 0.1):.1f} kB"
    return f"{size / 1e6:.1f} MB"
