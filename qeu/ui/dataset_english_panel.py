"""Japanese or Chinese in, English out: move records to that form, and say what is missing."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from qeu.core.english_out import DEFAULT_INSTRUCTION, INSTRUCTIONS, missing_steps, turn_to_english
from qeu.core.errors import QeuError
from qeu.services.data_english_out import preview_english_out, read_outputs, run_english_out
from qeu.services.data_preview import Preview
from qeu.store.changes import Applied
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_change_panel import ChangePanel, applied_html
from qeu.ui.dataset_import_form_panel import MOST_PUBLIC_BYTES
from qeu.ui.dataset_report_panel import column_name, hint_html, notes_html, preview_html
from qeu.ui.dataset_work_panel import Work
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

# One wording for all, and those of two categories that ask for something else than an answer.
WORDINGS = ("", *INSTRUCTIONS)


@dataclass(frozen=True)
class _Turned:
    """`outcome` a preview or what was applied; `missing` {field: records that lack it}.

    `used` of the `given` answers of `file` are for records meant that are not English.
    """

    outcome: Preview | Applied
    missing: dict[str, int]
    file: str = ""
    given: int = 0
    used: int = 0


@dataclass(frozen=True)
class _Form:
    """What the panel was filled with; `path` None is no file."""

    workspace: Workspace
    dataset: Dataset
    where: Filter
    wordings: dict[str, str]
    path: Path | None

    def outputs(self, work: Work) -> dict[int, str]:
        """The answers of the file by record."""
        if self.path is None:
            return {}
        return read_outputs(self.workspace, self.dataset, self.path, work.tell)

    def turned(
        self, outcome: Preview | Applied, missing: dict[str, int], used: int, given: int
    ) -> _Turned:
        """What came out, with what the file had to do with it."""
        return _Turned(outcome, missing, self.path.name if self.path else "", given, used)


class EnglishPanel(ChangePanel):
    """Instructions become English, the content stays; translations come from elsewhere."""

    name = "english"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(say("data.english.title"), open=False, elem_id="data-english"):
            gr.Markdown(say("data.english.intro"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight"):
                self.boxes = {
                    name: gr.Textbox(
                        INSTRUCTIONS[name],
                        label=say(f"category.{name}"),
                        max_length=500,
                        elem_id=f"data-english-{name}",
                        min_width=240,
                    )
                    for name in INSTRUCTIONS
                }
            gr.Markdown(
                say("data.english.others"), elem_classes="q-intro", elem_id="data-english-others"
            )
            with gr.Row(elem_classes="q-tight", equal_height=False):
                self.file = gr.File(
                    label=say("data.english.file"),
                    height=150,
                    elem_id="data-english-file",
                    min_width=260,
                    scale=3,
                )
                self.model_box = gr.Textbox(
                    label=say("data.english.model"),
                    info=say("data.english.model.help"),
                    max_length=200,
                    elem_id="data-english-model",
                    min_width=200,
                    scale=2,
                )
                self.licence_box = gr.Textbox(
                    label=say("data.licence"),
                    info=say("data.licence.help"),
                    max_length=200,
                    elem_id="data-english-licence",
                    min_width=180,
                    scale=2,
                )
            with gr.Row(elem_classes="q-actions"):
                self.build_buttons()
            self.build_line()
            self.build_report()

    def form(self) -> set[object]:
        """The panel's own controls."""
        return {*self.boxes.values(), self.file, self.model_box, self.licence_box}

    def _read(self, data: Data, request: gr.Request) -> _Form:
        path = Path(str(data[self.file])) if data[self.file] else None
        if path and self.context.settings.public and path.stat().st_size > MOST_PUBLIC_BYTES:
            most, language = MOST_PUBLIC_BYTES // 1_000_000, language_of(request)
            raise QeuError(text("data.import.too_large", language, file=path.name, most=most))
        return _Form(*self.scope.read(data, request), self._wordings(data), path)

    def _wordings(self, data: Data) -> dict[str, str]:
        return {
            name: str(data[box] or "").strip() or DEFAULT_INSTRUCTION
            for name, box in self.boxes.items()
        }

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """What would change, and what would still be missing."""
        form = self._read(data, request)

        def do(work: Work) -> _Turned:
            outputs = form.outputs(work)
            missing, used = count_missing(form, outputs, work)
            preview = preview_english_out(
                form.workspace, form.dataset, outputs, form.wordings, form.where,
                work.tell, work.stopping,
            )  # fmt: skip
            return form.turned(preview, missing, used, len(outputs))

        return do

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Change the records; what is missing waits in the review queue."""
        form = self._read(data, request)
        model, licence = (
            str(data[box] or "").strip() if form.path else ""
            for box in (self.model_box, self.licence_box)
        )

        def do(work: Work) -> _Turned:
            outputs = form.outputs(work)
            missing, used = count_missing(form, outputs, work)
            applied = run_english_out(
                form.workspace, form.dataset, outputs, form.wordings, form.where, model, licence,
                work.tell, work.stopping,
            )  # fmt: skip
            return form.turned(applied, missing, used, len(outputs))

        return do

    def changed(self, result: object) -> int:
        """How many records changed."""
        assert isinstance(result, _Turned)
        assert isinstance(result.outcome, Applied)
        return result.outcome.changed

    def preview_shown(self, result: object, language: str) -> Updates:
        """The sample under what is missing."""
        assert isinstance(result, _Turned)
        assert isinstance(result.outcome, Preview)
        notes = file_html(result, language) + missing_html(result.missing, language)
        shown = preview_html(result.outcome, language, notes)
        return {self.line: notice_html(""), self.report: shown}

    def applied_shown(self, result: object, language: str) -> Updates:
        """What was changed, and what is missing."""
        assert isinstance(result, _Turned)
        told = applied_html(self.changed(result), language) + file_html(result, language)
        return {
            self.line: notice_html(""),
            self.report: told + missing_html(result.missing, language),
        }


def count_missing(
    form: _Form, outputs: Mapping[int, str], work: Work
) -> tuple[dict[str, int], int]:
    """({field: records in which it is not yet in the form} after the change, answers used)."""
    counts: Counter[str] = Counter()
    ids = matching_ids(form.workspace, form.dataset, form.where)
    done = used = 0
    for batch in iterate_records(form.workspace, ids):
        for stored in batch:
            output = outputs.get(stored.id, "")
            used += bool(output) and stored.record.language not in ("en", "und")
            counts.update(missing_steps(turn_to_english(stored.record, output, form.wordings)))
        done += len(batch)
        work.tell(done, len(ids))
    return dict(counts), used


def file_html(result: _Turned, language: str) -> str:
    """How many answers the file holds, and how many of them found their record here."""
    if not result.file:
        return ""
    told = text(
        "data.english.read",
        language,
        file=result.file,
        count=f"{result.given:,}",
        used=f"{result.used:,}",
    )
    return notes_html([told])


def missing_html(missing: dict[str, int], language: str) -> str:
    """What is not yet English, field by field, and where it waits."""
    if not missing:
        return notes_html([text("data.english.complete", language)])
    parts = (f"{column_name(name, language)} {n:,}" for name, n in missing.items())
    listed = text("list.comma", language).join(parts)
    told = text("data.english.missing", language, fields=listed)
    return notes_html([told]) + hint_html(text("data.english.translate", language))
