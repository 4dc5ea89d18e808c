"""Which column of a file becomes which field: guessed, shown with a sample value, correctable."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from qeu.core.columns import FIELDS, RowError, check_mapping, guess_columns, read_row
from qeu.core.text import clean_text, one_line
from qeu.services.data_import import ImportOptions, preview_import
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Words
from qeu.ui.dataset_report_panel import (
    column_key,
    column_name,
    hint_html,
    notes_html,
    table_html,
    value_name,
)
from qeu.ui.markup import escape
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

SHOWN = ("seq", "language", "category", "instruction", "input", "reasoning", "output")
_SAMPLE = 46
_CELL = 90
# More columns than this make no list that one can choose from.
_MOST_COLUMNS = 300
Mappings = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Candidate:
    """A file, or the first rows of a data set of the Hub, before its import."""

    name: str
    kind: str
    columns: tuple[str, ...]
    sample: tuple[Mapping[str, object], ...]

    @property
    def signature(self) -> str:
        """Files with the same columns share a mapping."""
        return json.dumps(sorted(self.columns))

    def mapping(self, mappings: Mappings) -> dict[str, str]:
        """{field: column}: what the person chose for such files, else what the names suggest."""
        chosen = mappings.get(self.signature)
        return dict(guess_columns(self.columns)) if chosen is None else dict(chosen)


def look_at(path: Path) -> Candidate:
    """A file as it will be read; raises QeuError where it cannot be."""
    source = preview_import(path).source
    kind = f"{source.format} {source.encoding}".strip()
    return Candidate(path.name, kind, source.columns, source.sample)


def correction(candidate: Candidate, mappings: Mappings) -> dict[str, str]:
    """The mapping as an import takes it: every field named, "" where none is taken."""
    mapping = candidate.mapping(mappings)
    return {field: mapping.get(field, "") for field in FIELDS}


class MappingForm:
    """One dropdown a field; the state remembers the mapping of every kind of file."""

    def __init__(self, say: Words) -> None:
        self.mappings = gr.State({})
        with gr.Group(visible=OFF, elem_id="data-import-columns") as self.group:
            gr.Markdown(say("data.import.columns"), elem_classes="q-intro")
            with gr.Row(elem_classes="q-tight q-mapping"):
                self.boxes: dict[str, gr.Dropdown] = {
                    field: gr.Dropdown(
                        [("—", "")],
                        value="",
                        label=say(column_key(field)),
                        info=" ",
                        elem_id=f"data-import-column-{field}",
                        min_width=150,
                    )
                    for field in FIELDS
                }

    def components(self) -> set[object]:
        """What holds the mapping."""
        return {self.mappings, *self.boxes.values()}

    def read(self, data: Data) -> dict[str, str]:
        """What the boxes say, without fields that take nothing."""
        chosen = {field: str(data[box] or "") for field, box in self.boxes.items()}
        return {field: column for field, column in chosen.items() if column}

    def fill(self, candidate: Candidate | None, mappings: Mappings, language: str) -> Updates:
        """Show a file's mapping and a sample value under each box; none hides the form."""
        if candidate is None or not candidate.columns:
            return {self.group: gr.update(visible=OFF)}
        mapping = candidate.mapping(mappings)
        shown = candidate.columns[:_MOST_COLUMNS]
        choices = [("—", ""), *((one_line(name, 40) or "(“”)", name) for name in shown)]
        updates: Updates = {self.group: gr.update(visible=True)}
        for field, box in self.boxes.items():
            column = mapping.get(field, "")
            updates[box] = gr.update(
                choices=choices,
                value=column if column in candidate.columns else "",
                info=_sample_of(candidate, column, field, language),
            )
        return updates


def _sample_of(candidate: Candidate, column: str, field: str, language: str) -> str:
    if not column:
        needed = field == "instruction"
        key = "data.import.needed" if needed else "data.import.taken_from_nothing"
        return text(key, language)
    values = (row.get(column) for row in candidate.sample)
    found = next((value for value in values if value not in (None, "")), None)
    if found is None:
        return text("data.import.no_value", language)
    return one_line(clean_text(str(found)[:2000]), _SAMPLE)


def candidate_html(
    candidate: Candidate, mapping: Mapping[str, str], options: ImportOptions, language: str
) -> str:
    """The first rows as they will be read, faults of rows in their place."""
    told = text("data.import.preview", language, file=candidate.name, kind=candidate.kind)
    extra = [name for name in candidate.columns if name not in mapping.values()]
    notes = []
    if extra:
        listed = ", ".join(one_line(name, 30) for name in extra[:12])
        notes.append(text("data.import.extra", language, columns=listed))
    problems = check_mapping(mapping, candidate.columns) if candidate.sample else []
    if problems:
        shown = " ".join(tell(problem, language) for problem in problems)
        return hint_html(told) + notice_html(shown, "error") + notes_html(notes)
    rows = [
        _row(raw, number, mapping, options, language)
        for number, raw in enumerate(candidate.sample, start=1)
    ]
    head = [column_name(name, language) for name in SHOWN]
    return hint_html(told) + table_html(head, rows, "q-read") + notes_html(notes)


def _row(
    raw: object, number: int, mapping: Mapping[str, str], options: ImportOptions, language: str
) -> Sequence[str]:
    try:
        values = read_row(raw, number, mapping, options.language, options.category)
    except RowError as error:
        field, reason = map(str, error.args)
        name = column_name(field, language)
        return [f"✗ {number}", "", "", f"{name}: {tell(reason, language)}".lstrip(": "), "", "", ""]
    cells = [str(values[name]) for name in SHOWN]
    cells[1] = value_name("language", cells[1], language)
    cells[2] = value_name("category", cells[2], language)
    return [one_line(cell[:5000], _CELL) for cell in cells]


def failure_html(name: str, reason: str, language: str) -> str:
    """A file that cannot be read at all."""
    return f'<p class="q-bad-file"><b>{escape(name)}</b> {escape(tell(reason, language))}</p>'
