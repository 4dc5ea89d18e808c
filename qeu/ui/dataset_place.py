"""What all panels of the Dataset tab share: which data set and filter are meant, and the news."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from qeu.core.errors import QeuError
from qeu.store.datasets import Dataset, find_dataset
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace
from qeu.ui.context import Context


@dataclass(frozen=True)
class DatasetPlace:
    """Components made by the browser of records and used by every panel beside it.

    `name_dd` holds the name of the chosen data set, `filter_state` the filter in force as plain
    values, `changed` a number that a panel raises by one (`raise_changed`) after it has written:
    the browser listens to it and reads its page, facets and list of data sets again. Panels set
    `filter_state` too (the offenders of a check, the review queue): whoever listens to `changed`
    shows the filter that is in force then. A panel that also sets `name_dd` raises `changed` in a
    message after it: in the same one the browser would still be sent the old name.
    """

    name_dd: gr.Dropdown
    filter_state: gr.State
    changed: gr.Number
    notice: gr.HTML

    def components(self) -> set[object]:
        """What a panel's handler needs as inputs to know what is meant."""
        return {self.name_dd, self.filter_state, self.changed}

    def read(
        self, context: Context, data: Mapping[object, object], request: gr.Request
    ) -> tuple[Workspace, Dataset, Filter]:
        """The visitor's workspace, the chosen data set and the filter; QeuError if none is."""
        workspace = context.records(request)
        name = str(data[self.name_dd] or "")
        if not name:
            raise QeuError("No data set is chosen. Choose one above, or import a file first.")
        where = Filter.from_json(dict(data[self.filter_state] or {}))  # type: ignore[call-overload]
        return workspace, find_dataset(workspace, name), where

    def raise_changed(self, data: Mapping[object, object]) -> dict[object, object]:
        """The update that makes the browser of records read again."""
        return {self.changed: int(data[self.changed] or 0) + 1}  # type: ignore[call-overload]
