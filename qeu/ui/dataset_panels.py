"""The operations of the Dataset tab: a panel each, all for the records that one choice names."""

import gradio as gr

from qeu.ui.compare_form import Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_check_panel import CheckPanel
from qeu.ui.dataset_english_panel import EnglishPanel
from qeu.ui.dataset_export_panel import ExportPanel
from qeu.ui.dataset_import_panel import ImportPanel
from qeu.ui.dataset_label_panel import LabelPanel
from qeu.ui.dataset_manage_panel import ManagePanel
from qeu.ui.dataset_merge_panel import MergePanel
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_rules_panel import RulesPanel
from qeu.ui.dataset_scope_panel import Scope
from qeu.ui.dataset_split_panel import SplitPanel
from qeu.ui.dataset_stats_panel import StatsPanel
from qeu.ui.dataset_work_panel import DataPanel

# In the order in which a data set is made: in, put right, looked at, out.
PANELS: tuple[type[DataPanel], ...] = (
    ImportPanel,
    MergePanel,
    LabelPanel,
    RulesPanel,
    CheckPanel,
    SplitPanel,
    StatsPanel,
    EnglishPanel,
    ExportPanel,
    ManagePanel,
)


class DatasetPanels:
    """All panels; connected by `wire` once the whole tab is built."""

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        with gr.Column(elem_id="data-panels"):
            self.scope = Scope(context, say, place)
            with gr.Column(elem_id="data-panels-grid"):
                self.panels: dict[str, DataPanel] = {}
                for make in PANELS:
                    panel = make(context, say, place, self.scope)
                    panel.build()
                    self.panels[panel.name] = panel

    def wire(self) -> None:
        """Connect every control."""
        self.scope.wire()
        for panel in self.panels.values():
            panel.wire()

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {part for panel in self.panels.values() for part in panel.outputs()}

    def on_language(self, request: gr.Request) -> Updates:
        """Show again, in the language just chosen, what the server had written in another."""
        updates: Updates = {}
        for panel in self.panels.values():
            updates |= panel.on_language(request)
        return updates


def build_panels(context: Context, say: Words, place: DatasetPlace) -> DatasetPanels:
    """The panels, built where they are to stand; `wire` connects them."""
    return DatasetPanels(context, say, place)
