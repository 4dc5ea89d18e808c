"""Japanese or Chinese in, English out: move records to that form, and say what is missing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from qeu.core.english_out import DEFAULT_INSTRUCTION, INSTRUCTIONS, missing_steps, turn_to_english
from qeu.services.data_english_out import preview_english_out, run_english_out
from qeu.services.data_preview import Preview
from qeu.store.changes import Applied
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import iterate_records
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_change_panel import ChangePanel, applied_html
from qeu.ui.dataset_report_panel import column_name, hint_html, notes_html, preview_html
from qeu.ui.dataset_work_panel import Work
from qeu.ui.panels import notice_html
from qeu.ui.strings import text

# One wording for all, and those of two categories that ask for something else than an answer.
WORDINGS = ("", *INSTRUCTIONS)


@dataclass(frozen=True)
class _Turned:
    """`outcome` a preview or what was applied; `missing` {field: records that lack it}."""

    outcome: Preview | Applied
    missing: dict[str, int]


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
            with gr.Row(elem_classes="q-actions"):
                self.build_buttons()
            self.build_line()
            self.build_report()

    def form(self) -> set[object]:
        """The panel's own controls."""
        return set(self.boxes.values())

    def _wordings(self, data: Data) -> dict[str, str]:
        return {
            name: str(data[box] or "").strip() or DEFAULT_INSTRUCTION
            for name, box in self.boxes.items()
        }

    def make_preview(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """What would change, and what would still be missing."""
        workspace, dataset, where = self.scope.read(data, request)
        wordings = self._wordings(data)

        def do(work: Work) -> _Turned:
            missing = count_missing(workspace, dataset, where, wordings, work)
            preview = preview_english_out(
                workspace, dataset, {}, wordings, where, work.tell, work.stopping
            )
            return _Turned(preview, missing)

        return do

    def make_apply(self, data: Data, request: gr.Request) -> Callable[[Work], object]:
        """Change the records; what is missing waits in the review queue."""
        workspace, dataset, where = self.scope.read(data, request)
        wordings = self._wordings(data)

        def do(work: Work) -> _Turned:
            missing = count_missing(workspace, dataset, where, wordings, work)
            applied = run_english_out(
                workspace,
                dataset,
                {},
                wordings,
                where,
                progress=work.tell,
                stop=work.stopping,
            )
            return _Turned(applied, missing)

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
        notes = missing_html(result.missing, language)
        shown = preview_html(result.outcome, language, notes)
        return {self.line: notice_html(""), self.report: shown}

    def applied_shown(self, result: object, language: str) -> Updates:
        """What was changed, and what is missing."""
        told = applied_html(self.changed(result), language)
        missing = missing_html(result.missing, language)  # type: ignore[attr-defined]
        return {self.line: notice_html(""), self.report: told + missing}


def count_missing(
    workspace: Workspace, dataset: Dataset, where: Filter, wordings: dict[str, str], work: Work
) -> dict[str, int]:
    """{field: records in which it is not yet in the form} after the change."""
    counts: Counter[str] = Counter()
    ids = matching_ids(workspace, dataset, where)
    done = 0
    for batch in iterate_records(workspace, ids):
        for stored in batch:
            counts.update(missing_steps(turn_to_english(stored.record, "", wordings)))
        done += len(batch)
        work.tell(done, len(ids))
    return dict(counts)


def missing_html(missing: dict[str, int], language: str) -> str:
    """What is not yet English, field by field, and where it waits."""
    if not missing:
        return notes_html([text("data.english.complete", language)])
    parts = (f"{column_name(name, language)} {n:,}" for name, n in missing.items())
    listed = text("list.comma", language).join(parts)
    told = text("data.english.missing", language, fields=listed)
    return notes_html([told]) + hint_html(text("data.english.translate", language))
