"""The browser of records: where a visitor stands in a data set, and how that is shown."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from qeu.services.data_browse import (
    Browse,
    View,
    count_findings,
    find_record,
    read_queues,
    read_view,
)
from qeu.store.datasets import Dataset, list_datasets
from qeu.store.undo import Step, next_redo, next_undo
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_detail import DatasetDetail
from qeu.ui.dataset_detail_view import step_text
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.dataset_view import facets_html, table_html
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

# Values of one facet that the page offers; rarer ones are found by search.
MOST_VALUES = 60
# Hands the page's script the way to tell the server; the script itself may come a moment later.
ATTACH_JS = """
const attach = () => window.qeuDataset
  ? window.qeuDataset.attach(element, trigger)
  : setTimeout(attach, 50);
attach();
"""


_STEP_LABELS = {
    "undo": ("dataset.undo", "dataset.undo_what"),
    "redo": ("dataset.redo", "dataset.redo_what"),
}


@dataclass
class Visit:
    """What a handler needs: whose records, which data set, where in it, in which language."""

    workspace: Workspace
    dataset: Dataset
    browse: Browse
    state: dict[str, object]
    language: str
    # The record under an open form, which stays beside the list whatever that shows; 0 is none.
    held: int = 0

    @property
    def selected(self) -> int:
        """The id of the record shown beside the list; 0 where there is none."""
        return int(self.state.get("id") or 0)  # type: ignore[call-overload]

    @property
    def ids(self) -> list[int]:
        """The records of the page that is shown."""
        return list(self.state.get("ids") or ())  # type: ignore[call-overload]


class DatasetBrowser:
    """The list, its facets, the record beside it; the tab builds it, actions change it."""

    def __init__(
        self,
        context: Context,
        say: Words,
        place: DatasetPlace,
        search_box: gr.Textbox,
        step_btns: Mapping[str, gr.Button],
    ) -> None:
        self.context, self.place = context, place
        self.search_box, self.step_btns = search_box, step_btns
        self.state = gr.State({})
        self.facets = gr.HTML(elem_id="ds-facets", padding=False)
        with gr.Row(elem_classes="q-split", equal_height=False):
            with gr.Column(scale=6, min_width=340):
                self.list = gr.HTML(elem_id="ds-list", padding=False, js_on_load=ATTACH_JS)
            with gr.Column(scale=5, min_width=340, elem_id="ds-detail"):
                self.detail = DatasetDetail(context, say)

    def inputs(self) -> set[object]:
        """What every handler reads."""
        detail = self.detail
        return {
            self.state, self.place.name_dd, self.place.filter_state, detail.edit_state,
            detail.advance_cb, *detail.boxes.values(),
        }  # fmt: skip

    def outputs(self) -> set[object]:
        """What `show` may update."""
        return {
            self.state, self.facets, self.list, self.search_box, self.place.notice,
            self.place.filter_state, *self.step_btns.values(), *self.detail.outputs(),
            *self.detail.form_outputs(),
        }  # fmt: skip

    # -- reading -----------------------------------------------------------------------------

    def visit(self, data: Data, request: gr.Request) -> Visit:
        """Where the visitor stands; QeuError if no data set is chosen."""
        workspace, dataset, where = self.place.read(self.context, data, request)
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        browse = Browse(
            where,
            str(state.get("sort") or "order"),
            bool(state.get("descending")),
            int(state.get("offset") or 0),
        )
        return Visit(workspace, dataset, browse, state, language_of(request))

    def open(self, data: Data, request: gr.Request) -> Visit | None:
        """The same, for the first look and after changes: another data set begins at its start.

        None where there is no data set at all.
        """
        workspace = self.context.records(request)
        names = {dataset.name: dataset for dataset in list_datasets(workspace)}
        if not names:
            return None
        dataset = names.get(str(data[self.place.name_dd] or "")) or next(iter(names.values()))
        state = dict(data[self.state] or {})  # type: ignore[call-overload]
        language = language_of(request)
        if state.get("dataset") != dataset.id:
            state = {"dataset": dataset.id, "turn": state.get("turn", 0)}
            visit = Visit(workspace, dataset, Browse(), state, language)
        else:
            chosen = {**data, self.place.name_dd: dataset.name}
            visit = self.visit(chosen, request)
        facets = read_queues(workspace, dataset)
        state = visit.state
        state["values"] = {
            name: [value for value, _ in values[:MOST_VALUES]] for name, values in facets.items()
        }
        state["checks"] = count_findings(workspace, dataset)
        state["total"] = sum(count for _, count in facets["status"])
        return visit

    def show(self, visit: Visit, select: int | None = None, notice: str | None = "") -> Updates:
        """The page, the facets and the record; `select` None keeps the one that was shown.

        `notice` None leaves the line above the list as it is.
        """
        view = read_view(visit.workspace, visit.dataset, visit.browse)
        ids = [stored.id for stored in view.page.rows]
        wanted = visit.selected if select is None else select
        if visit.held:
            wanted = visit.held
        elif wanted not in ids:
            wanted = ids[0] if ids else 0
        return self.draw(visit, view, wanted, notice)

    def draw(self, visit: Visit, view: View, selected: int, notice: str | None) -> Updates:
        """A page that was read, with one of its records beside it; 0 is none."""
        rows = {stored.id: stored for stored in view.page.rows}
        ids = list(rows)
        turn = int(visit.state.get("turn") or 0) + 1  # type: ignore[call-overload]
        undo = next_undo(visit.workspace, visit.dataset)
        redo = next_redo(visit.workspace, visit.dataset)
        browse = view.browse
        state = visit.state | {
            "sort": browse.sort,
            "descending": browse.descending,
            "offset": browse.offset,
            "ids": ids,
            "id": selected,
            "turn": turn,
            "undo": undo.event if undo else 0,
            "redo": redo.event if redo else 0,
        }
        values: Mapping[str, list[str]] = state.get("values", {})  # type: ignore[assignment]
        checks: Mapping[str, int] = state.get("checks", {})  # type: ignore[assignment]
        place = ""
        if selected in ids:
            at = f"{browse.offset + ids.index(selected) + 1:,}"
            place = text("dataset.place", visit.language, at=at, total=f"{view.page.total:,}")
        stored = rows.get(selected) or find_record(visit.workspace, visit.dataset, selected)
        return {
            self.state: state,
            self.place.filter_state: browse.where.to_json(),
            self.facets: facets_html(view, values, checks, visit.language),
            self.list: table_html(view, selected, turn, visit.language),
            self.step_btns["undo"]: self._step_button("undo", undo, visit.language),
            self.step_btns["redo"]: self._step_button("redo", redo, visit.language),
            **({} if notice is None else {self.place.notice: notice_html(notice)}),
            **self.detail.show(visit.workspace, visit.dataset, stored, place, visit.language),
        }

    def _step_button(self, name: str, step: Step | None, language: str) -> Updates:
        what = step_text(step, language) if step else ""
        plain, full = _STEP_LABELS[name]
        label = text(full, language, what=what) if step else text(plain, language)
        return gr.update(value=label, interactive=bool(step))

    def hold(self, visit: Visit, data: Data) -> Visit:
        """While the list changes, the record under an open form stays what it is."""
        form = dict(data[self.detail.edit_state] or {})  # type: ignore[call-overload]
        visit.held = int(form.get("id") or 0)
        return visit
