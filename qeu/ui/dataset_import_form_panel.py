"""The form of the import on the Dataset tab: files, how to read them, their first rows."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.record import CATEGORIES, LANGUAGES
from qeu.services.data_import import ImportOptions
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_mapping_panel import Candidate, MappingForm, candidate_html, look_at
from qeu.ui.dataset_work_panel import QUIET, DataPanel
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

MOST_FILES = 50
# A visit to a public page lives in the server's memory.
MOST_PUBLIC_BYTES = 20_000_000
HUB = "hub:"


class ImportForm(DataPanel):
    """Shows each file as it will be read, before anything is imported."""

    name = "import"

    def build(self) -> None:
        """The accordion."""
        say, local = self.say, not self.context.settings.public
        with gr.Accordion(say("data.import.title"), open=False, elem_id="data-import"):
            with gr.Row(elem_classes="q-tight", equal_height=False):
                self.files = gr.File(
                    file_count="multiple",
                    label=say("data.import.files"),
                    height=150,
                    elem_id="data-import-files",
                    min_width=260,
                    scale=3,
                )
                with gr.Column(min_width=260, scale=4):
                    with gr.Row(elem_classes="q-tight"):
                        self.dataset_dd = gr.Dropdown(
                            [],
                            value=None,
                            label=say("data.import.dataset"),
                            info=say("data.import.dataset.help"),
                            allow_custom_value=True,
                            elem_id="data-import-dataset",
                            min_width=180,
                            scale=2,
                        )
                        self.licence_box = gr.Textbox(
                            label=say("data.licence"),
                            info=say("data.licence.help"),
                            placeholder="CC BY 4.0",
                            max_length=200,
                            elem_id="data-import-licence",
                            min_width=150,
                        )
                    with gr.Row(elem_classes="q-tight"):
                        self.language_dd = gr.Dropdown(
                            [
                                (say("data.import.language.find"), ""),
                                *((say(f"language.{code}"), code) for code in LANGUAGES),
                            ],
                            value="",
                            label=say("data.import.language"),
                            elem_id="data-import-language",
                            min_width=150,
                        )
                        self.category_dd = gr.Dropdown(
                            [(say(f"category.{name}"), name) for name in CATEGORIES],
                            value="open_qa",
                            label=say("data.import.category"),
                            elem_id="data-import-category",
                            min_width=150,
                        )
                        self.update_cb = gr.Checkbox(
                            False,
                            label=say("data.import.update"),
                            info=say("data.import.update.help"),
                            elem_id="data-import-update",
                            min_width=180,
                        )
            with gr.Row(elem_classes="q-tight q-hub", visible=local):
                self.hub_box = gr.Textbox(
                    label=say("data.import.hub"),
                    placeholder="owner/name",
                    elem_id="data-import-hub",
                    min_width=200,
                    scale=3,
                )
                self.split_box = gr.Textbox(
                    "train", label=say("data.import.hub_split"), elem_id="data-import-split",
                    min_width=100,
                )  # fmt: skip
                self.look_btn = gr.Button(
                    say("data.import.look"),
                    size="md",
                    elem_id="data-import-look",
                    min_width=120,
                    scale=0,
                )
            # the first rows of a data set of the Hub, as plain values
            self.hub_state = gr.State(None)
            self.shown_dd = gr.Dropdown(
                [], label=say("data.import.shown"), visible=OFF, elem_id="data-import-shown"
            )
            self.mapping = MappingForm(say)
            self.sample = gr.HTML(elem_id="data-import-sample", elem_classes="q-report")
            with gr.Row(elem_classes="q-actions"):
                self.import_btn = gr.Button(
                    say("data.import.do"),
                    size="md",
                    variant="primary",
                    elem_id="data-import-do",
                    min_width=130,
                    scale=0,
                )
                self.build_stop()
            self.build_line()
            self.build_report()
            self.rejected_file = gr.File(
                label=say("data.import.rejected_file"),
                visible=OFF,
                interactive=False,
                elem_id="data-import-rejected",
            )

    def wire(self) -> None:
        """Connect what only looks at files."""
        super().wire()
        mapping = self.mapping.components()
        options = {self.language_dd, self.category_dd}
        self.seen = {self.files, self.hub_state, self.shown_dd, self.dataset_dd} | mapping | options
        shown = {self.sample, self.shown_dd, self.dataset_dd, self.mapping.group} | mapping
        # One after the other: each of them writes what the next one reads and shows.
        last = {
            "trigger_mode": "always_last",
            "concurrency_id": "data-import-form",
            "concurrency_limit": 1,
            **QUIET,
        }
        gr.on([self.files.change, self.hub_state.change], self.on_files, self.seen, shown, **last)
        gr.on(
            [
                self.shown_dd.input, self.language_dd.input, self.category_dd.input,
                self.scope.spoken.change,
            ],
            self.on_shown, self.seen, shown, **last,
        )  # fmt: skip
        # one listener for all: with one each, the older of two quick choices could stay
        chosen = [box.input for box in self.mapping.boxes.values()]
        gr.on(chosen, self.on_mapping, self.seen, shown, **last)

    def on_files(self, data: Data, request: gr.Request) -> Updates:
        """Files were dropped or taken away: show the first one."""
        names = [*(path.name for path in self.paths(data)), *_hub_names(data[self.hub_state])]
        updates: Updates = {
            self.shown_dd: gr.update(
                choices=list(enumerate_names(names)),
                value=0 if names else None,
                visible=len(names) > 1 or OFF,
            )
        }
        if names and not data[self.dataset_dd]:
            updates[self.dataset_dd] = Path(names[0].rpartition("/")[2]).stem[:80]
        return updates | self._show(data, request, 0)

    def on_shown(self, data: Data, request: gr.Request) -> Updates:
        """Another file is to be shown, or read otherwise."""
        return self._show(data, request, int(data[self.shown_dd] or 0))  # type: ignore[call-overload]

    def on_mapping(self, data: Data, request: gr.Request) -> Updates:
        """A column was chosen by hand: it holds for all files with these columns."""
        place = int(data[self.shown_dd] or 0)  # type: ignore[call-overload]
        try:
            candidate = self._candidate(data, request, place)
        except QeuError:
            return gr.skip()
        mappings = dict(data[self.mapping.mappings] or {})  # type: ignore[call-overload]
        if candidate:
            mappings[candidate.signature] = self.mapping.read(data)
        changed = {**data, self.mapping.mappings: mappings}
        return {self.mapping.mappings: mappings} | self._show(changed, request, place)

    def _show(self, data: Data, request: gr.Request, place: int) -> Updates:
        language = language_of(request)
        mappings = dict(data[self.mapping.mappings] or {})  # type: ignore[call-overload]
        try:
            candidate = self._candidate(data, request, place)
        except QeuError as error:
            told = notice_html(tell(str(error), language), "error")
            return {self.sample: told} | self.mapping.fill(None, mappings, language)
        updates = self.mapping.fill(candidate, mappings, language)
        shown = ""
        if candidate:
            mapping = candidate.mapping(mappings)
            shown = candidate_html(candidate, mapping, self.options(data, {}), language)
        return updates | {self.sample: shown}

    def _candidate(self, data: Data, request: gr.Request, place: int) -> Candidate | None:
        paths = self.paths(data)
        if place < len(paths):
            self.check_size([paths[place]], request)
            return look_at(paths[place])
        return hub_candidate(data[self.hub_state])

    def paths(self, data: Data) -> list[Path]:
        """The files that were dropped."""
        return [Path(str(name)) for name in (data[self.files] or ())]  # type: ignore[attr-defined]

    def check_size(self, paths: list[Path], request: gr.Request) -> None:
        """Refuse what is too much for a public page, or for anybody."""
        language = language_of(request)
        if len(paths) > MOST_FILES:
            raise QeuError(text("data.import.too_many", language, most=MOST_FILES))
        if self.context.settings.public:
            for path in paths:
                if path.stat().st_size > MOST_PUBLIC_BYTES:
                    most = MOST_PUBLIC_BYTES // 1_000_000
                    raise QeuError(
                        text("data.import.too_large", language, file=path.name, most=most)
                    )

    def options(self, data: Data, columns: dict[str, str]) -> ImportOptions:
        """How the rows are to be read."""
        return ImportOptions(
            columns,
            str(data[self.language_dd] or ""),
            str(data[self.category_dd] or "open_qa"),
            str(data.get(self.licence_box) or "").strip(),
            bool(data.get(self.update_cb)),
        )


def enumerate_names(names: list[str]) -> Iterator[tuple[str, int]]:
    """Choices of a dropdown: two files may have one name."""
    for place, name in enumerate(names):
        yield name, place


def _hub_names(state: object) -> list[str]:
    return [f"{HUB}{state['name']}"] if isinstance(state, dict) else []


def hub_candidate(state: object) -> Candidate | None:
    """The first rows of a data set of the Hub, if they were read."""
    if not isinstance(state, dict):
        return None
    rows = tuple(state["rows"])
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Candidate(f"{HUB}{state['name']}", "hub", columns, rows)
