"""The record beside the list: its fields, editing in place, its history, its training text."""

from collections.abc import Iterator, Mapping

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES, LANGUAGES, UNIQUENESS
from qeu.core.roles import ROLE_IDS, ROLES, Role
from qeu.services.data_browse import find_record
from qeu.services.training_text import make_training_text
from qeu.store.datasets import Dataset
from qeu.store.findings import read_findings
from qeu.store.records import TEXTS, StoredRecord
from qeu.store.undo import read_history, read_origins
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.dataset_detail_view import (
    conflict_html,
    head_html,
    history_html,
    record_html,
    training_html,
)
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.translation_source import Shown
from qeu.ui.translation_strip import TranslationStrip

# What the form edits; the other fields belong to operations.
EDITED = (*TEXTS, "category", "field", "uniqueness", "language")
DECISIONS = ("accepted", "needs_work", "rejected", "")
MAX_TOKENS = 1024
_LINES = {"instruction": 3, "input": 2, "reasoning": 4, "output": 6}


class DatasetDetail:
    """Components of one record; the browser decides which record that is."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context = context
        self.edit_state = gr.State({})
        self.head = gr.HTML(elem_id="ds-head", padding=False)
        with gr.Row(elem_classes="q-tight q-decide"):
            for status in DECISIONS:
                name = status or "clear"
                button = gr.Button(
                    say(f"dataset.decide.{name}"), size="sm", elem_id=f"ds-{name}", min_width=84
                )
                act = f"{{do: 'review', name: '', value: '{status}'}}"
                button.click(
                    None, js=f"() => {{ qeuDataset.send({act}); }}", api_visibility="private"
                )
        self.advance_cb = gr.Checkbox(
            True,
            label=say("dataset.advance"),
            info=say("dataset.keys"),
            elem_id="ds-advance",
            elem_classes="q-keys",
        )
        with gr.Tabs(elem_id="ds-parts"):
            with gr.Tab(say("dataset.part.record"), id="record") as self.record_tab:
                self._build_record(say)
            with gr.Tab(say("dataset.part.training"), id="training") as self.training_tab:
                self._build_training(say)
            with gr.Tab(say("dataset.part.history"), id="history") as self.history_tab:
                self.history = gr.HTML(elem_id="ds-history", padding=False)

    def _build_record(self, say: Words) -> None:
        with gr.Row(elem_classes="q-tight"):
            self.edit_btn = gr.Button(
                say("dataset.edit"), size="sm", elem_id="ds-edit", min_width=90
            )
            self.compare_btn = gr.Button(
                say("dataset.compare"), size="sm", elem_id="ds-compare", min_width=140
            )
        with gr.Column(elem_id="ds-fields") as self.fields:
            self.record = gr.HTML(elem_id="ds-record", elem_classes="q-record", padding=False)
            self.strip = TranslationStrip(self.context, say, "ds")
        self.boxes: dict[str, gr.components.Component] = {}
        with gr.Group(visible=False, elem_id="ds-form") as self.form:
            self.conflict = gr.HTML(elem_id="ds-conflict")
            for field in TEXTS:
                self.boxes[field] = gr.Textbox(
                    label=say(f"dataset.column.{field}"),
                    lines=_LINES[field],
                    max_lines=16,
                    elem_id=f"ds-edit-{field}",
                )
            with gr.Row(elem_classes="q-tight"):
                self.boxes["category"] = gr.Dropdown(
                    [(say(f"category.{name}"), name) for name in CATEGORIES],
                    label=say("dataset.column.category"),
                    allow_custom_value=True,
                    elem_id="ds-edit-category",
                    min_width=140,
                )
                self.boxes["field"] = gr.Textbox(
                    label=say("dataset.column.field"), elem_id="ds-edit-field", min_width=120
                )
                self.boxes["uniqueness"] = gr.Dropdown(
                    [(say(f"dataset.uniqueness.{name}"), name) for name in UNIQUENESS],
                    label=say("dataset.column.uniqueness"),
                    elem_id="ds-edit-uniqueness",
                    min_width=120,
                )
                self.boxes["language"] = gr.Dropdown(
                    [(say(f"language.{code}"), code) for code in LANGUAGES],
                    label=say("dataset.column.language"),
                    elem_id="ds-edit-language",
                    min_width=120,
                )
            with gr.Row(elem_classes="q-tight", elem_id="ds-store"):
                self.save_btn = gr.Button(
                    say("dataset.save"), variant="primary", size="md", elem_id="ds-save"
                )
                self.over_btn = gr.Button(
                    say("dataset.save_over"), visible=False, size="md", elem_id="ds-save-over"
                )
                self.discard_btn = gr.Button(
                    say("dataset.discard"), size="md", elem_id="ds-discard"
                )

    def _build_training(self, say: Words) -> None:
        with gr.Row(elem_classes="q-tight"):
            self.layout_dd = gr.Dropdown(
                list(LAYOUTS), value="bonsai-v2", label=say("side.layout"),
                elem_id="ds-layout", min_width=120,
            )  # fmt: skip
            self.target_dd = gr.Dropdown(
                [(say(f"target.{target}"), target) for target in TARGETS],
                value="both", label=say("side.target"), elem_id="ds-target", min_width=140,
            )  # fmt: skip
            self.role_dd = gr.Dropdown(
                [(say(f"role.{role}"), role) for role in ROLE_IDS],
                value="assistant", label=say("side.role"), elem_id="ds-role", min_width=120,
            )  # fmt: skip
        self.tokens_slider = gr.Slider(
            64, 4096, value=MAX_TOKENS, step=64, buttons=[],
            label=say("dataset.max_tokens"), info=say("dataset.max_tokens.help"),
            elem_id="ds-max-tokens",
        )  # fmt: skip
        self.training = gr.HTML(elem_id="ds-training", padding=False)

    def outputs(self) -> set[object]:
        """What `show` may update."""
        return {self.head, self.record, self.history, self.training, *self.strip.outputs()}

    def form_outputs(self) -> set[object]:
        """What opening and closing the form updates."""
        return {
            self.edit_state, self.form, self.conflict, self.over_btn, self.save_btn, self.fields,
            self.edit_btn, *self.boxes.values(),
        }  # fmt: skip

    def training_inputs(self) -> set[object]:
        """What the training text depends on besides the record."""
        return {self.layout_dd, self.target_dd, self.role_dd, self.tokens_slider}

    def show(
        self,
        workspace: Workspace,
        dataset: Dataset,
        stored: StoredRecord | None,
        place: str,
        language: str,
    ) -> Updates:
        """Head, fields and history of a record; the training text follows on its own."""
        if stored is None:
            return {
                self.head: head_html(None, "", language),
                self.record: "", self.history: "", self.training: "", **self.strip.clear(),
            }  # fmt: skip
        origins = read_origins(workspace, dataset, stored.id)
        entries = read_history(workspace, dataset, stored.id)
        return {
            self.head: head_html(stored, place, language),
            self.record: record_html(stored, read_findings(workspace, stored), origins, language),
            self.history: history_html(entries, language),
            **self.strip.clear(),
        }

    def read_texts(self, workspace: Workspace, dataset: Dataset, number: int) -> Shown:
        """The record's texts, for the line that translates them."""
        stored = find_record(workspace, dataset, number)
        return Shown({field: stored.value(field) for field in TEXTS} if stored else {})

    def open_form(self, stored: StoredRecord) -> Updates:
        """The form over this record as it is."""
        values = {field: stored.value(field) for field in EDITED}
        return {
            self.edit_state: {"id": stored.id, "version": stored.version, "values": values},
            self.form: gr.update(visible=True),
            self.fields: gr.update(visible=False),
            self.edit_btn: gr.update(interactive=False),
            self.conflict: "",
            self.over_btn: gr.update(visible=False),
            self.save_btn: gr.update(visible=True),
            **{self.boxes[field]: value for field, value in values.items()},
        }

    def close_form(self) -> Updates:
        """The fields again; what stood in the form is gone."""
        return {
            self.edit_state: {},
            self.form: gr.update(visible=False),
            self.fields: gr.update(visible=True),
            self.edit_btn: gr.update(interactive=True),
            self.conflict: "",
            self.over_btn: gr.update(visible=False),
            self.save_btn: gr.update(visible=True),
        }

    def show_conflict(self, stored: StoredRecord, data: Data, language: str) -> Updates:
        """Their text beside mine, which stays in the form; storing again goes over theirs."""
        state = dict(data[self.edit_state] or {})  # type: ignore[call-overload]
        mine = self.changes(data)
        return {
            self.conflict: conflict_html(stored, mine, language),
            self.over_btn: gr.update(visible=True),
            self.save_btn: gr.update(visible=False),
            self.edit_state: state | {"seen": stored.version},
        }

    def changes(self, data: Data) -> dict[str, str]:
        """The fields that the person changed since the form was opened."""
        state: Mapping[str, object] = data[self.edit_state] or {}  # type: ignore[assignment]
        before: Mapping[str, str] = state.get("values", {})  # type: ignore[assignment]
        now = {field: str(data[box] or "") for field, box in self.boxes.items()}
        return {field: now[field] for field in before if now[field] != before[field]}

    def on_training(
        self, workspace: Workspace, dataset: Dataset, number: int, data: Data, role: Role,
        language: str,
    ) -> Iterator[Updates]:  # fmt: skip
        """The training text; without token counts at first where the model is not in memory."""
        stored = find_record(workspace, dataset, number)
        if stored is None:
            yield {self.training: gr.skip()}
            return
        limit = int(data[self.tokens_slider] or MAX_TOKENS)  # type: ignore[call-overload]
        chosen = (str(data[self.layout_dd]), role, str(data[self.target_dd]))
        held = {model.model_id for model in self.context.shelf.loaded()}
        if DEFAULT_MODEL not in held:
            plain = make_training_text(stored.record, *chosen)
            told = text("dataset.training.loading", language)
            yield {self.training: training_html(plain, limit, told, language)}
        try:
            model = self.context.shelf.load(DEFAULT_MODEL)
        except QeuError as error:
            plain = make_training_text(stored.record, *chosen)
            yield {self.training: training_html(plain, limit, tell(str(error), language), language)}
            return
        counted = make_training_text(stored.record, *chosen, model=model, max_tokens=limit)
        note = text("dataset.training.by", language, model=DEFAULT_MODEL)
        yield {self.training: training_html(counted, limit, note, language)}


def worded(role_id: str, boxes: Mapping[str, gr.Textbox], data: Data) -> Role:
    """The role as the Roles tab words it now."""
    wording = str(data[boxes[role_id]] or "").strip() if role_id in boxes else ""
    return Role(role_id, wording) if wording else ROLES[role_id]
