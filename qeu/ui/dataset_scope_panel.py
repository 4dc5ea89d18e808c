"""Which records the operations of the Dataset tab are for: those the filter shows, or all."""

from collections.abc import Mapping

import gradio as gr

from qeu.core.errors import QeuError
from qeu.store.datasets import Dataset, count_records
from qeu.store.filters import ALL, Filter
from qeu.store.queries import read_page
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


class Scope:
    """One choice for all panels, with the number of records beside each answer."""

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        self.context, self.place = context, place
        self.scope_radio = gr.Radio(
            [(say("data.scope.filter_plain"), "filter"), (say("data.scope.all_plain"), "all")],
            value="filter",
            label=say("data.scope"),
            elem_id="data-scope",
            elem_classes="q-scope",
        )
        # Another language reaches all panels' texts that depend on controls through this.
        self.spoken = gr.State("en")

    def components(self) -> set[object]:
        """What a handler needs besides the place's."""
        return {self.scope_radio}

    def read(
        self, data: Mapping[object, object], request: gr.Request
    ) -> tuple[Workspace, Dataset, Filter]:
        """Workspace, data set and the records meant; QeuError if no data set is chosen."""
        workspace, dataset, where = self.place.read(self.context, data, request)
        return workspace, dataset, ALL if data[self.scope_radio] == "all" else where

    def wire(self) -> None:
        """Count anew whenever the data set, its content or the filter changes."""
        gr.on(
            [
                self.place.name_dd.change,
                self.place.filter_state.change,
                self.place.changed.change,
                self.spoken.change,
            ],
            self.on_place,
            self.place.components(),
            {self.scope_radio},
            trigger_mode="always_last",
            # one after the other: name and number change together, and the later must win
            concurrency_limit=1,
            **QUIET,
        )

    def on_place(self, data: Data, request: gr.Request) -> Updates:
        """The numbers of now; plain words while no data set is chosen."""
        language = language_of(request)
        try:
            workspace, dataset, where = self.place.read(self.context, data, request)
            page = read_page(workspace, dataset, where, limit=0)
            shown, total = page.total, count_records(workspace, dataset)
        except QeuError:
            return {self.scope_radio: gr.update(choices=_choices(language))}
        about = "" if page.total_exact else "≈ "
        return {
            self.scope_radio: gr.update(
                choices=_choices(language, f"{about}{shown:,}", f"{total:,}")
            )
        }


def _choices(language: str, shown: str = "", total: str = "") -> list[tuple[str, str]]:
    if not total:
        return [
            (text("data.scope.filter_plain", language), "filter"),
            (text("data.scope.all_plain", language), "all"),
        ]
    return [
        (text("data.scope.filter", language, count=shown), "filter"),
        (text("data.scope.all", language, count=total), "all"),
    ]
