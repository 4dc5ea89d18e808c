"""What the controls of the browser of records do: open, filter, decide, edit, show as training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.data_browse import ROWS, Browse, count_findings, find_record, read_view
from qeu.services.data_edit import EditConflict, edit_fields
from qeu.services.data_review import set_status
from qeu.store.filters import Filter
from qeu.store.queries import get_record
from qeu.store.records import FACETS, StoredRecord
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_browser import DatasetBrowser, Visit
from qeu.ui.dataset_detail import EDITED, worded
from qeu.ui.dataset_view import value_name
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text


class DatasetActions:
    """Handlers over the list and the record beside it."""

    def __init__(self, browser: DatasetBrowser) -> None:
        self.browser, self.detail, self.place = browser, browser.detail, browser.place
        self.show, self.visit = browser.show, browser.visit

    def refuse(self, error: QeuError, request: gr.Request) -> Updates:
        """What cannot be done, above the list."""
        return {self.place.notice: notice_html(tell(str(error), language_of(request)), "error")}

    # -- what the list's rows, facets, buttons and keys ask for --------------------------------

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """One click or key on the list: open, move, page, sort, facet, check, search, review."""
        act = event._data if isinstance(event._data, dict) else {}
        language = language_of(request)
        try:
            visit = self.visit(data, request)
        except QeuError as error:
            return self.refuse(error, request)
        here = visit.browse
        try:
            return self._act(visit, act, data)
        except QeuError as error:
            visit.browse = here
            return self.show(visit) | self.refuse(error, request)
        except (ValueError, TypeError, KeyError):
            visit.browse = here
            told = text("dataset.not_understood", language)
            return self.show(visit) | {self.place.notice: notice_html(told, "error")}

    def _act(self, visit: Visit, act: Mapping[str, object], data: Data) -> Updates:
        do, value = str(act.get("do")), str(act.get("value") or "")
        if do in ("open", "move"):
            target = int(value) if do == "open" else self._neighbour(visit, int(value))
            if do == "open" and target not in visit.ids:  # a click on what has just left the list
                return self.show(visit)
            return self._leave(visit, data, lambda: self._select(visit, target))
        if do == "review":
            return self._review(visit, value, bool(data[self.detail.advance_cb]), data)
        visit.browse = _browse(visit.browse, do, str(act.get("name") or ""), value)
        cleared = {self.browser.search_box: ""} if do == "clear" else {}
        return self._leave(visit, data, lambda: self.show(visit), stay=True) | cleared

    def _leave(
        self, visit: Visit, data: Data, go: Callable[[], Updates], stay: bool = False
    ) -> Updates:
        """Do it, unless that would take away an edit that is not stored yet."""
        if not data[self.detail.edit_state]:
            return go()
        if self.detail.changes(data):
            if stay:
                return self.show(self.browser.hold(visit, data))
            told = text("dataset.unsaved", visit.language)
            held = self.show(self.browser.hold(visit, data))
            return held | {self.place.notice: notice_html(told, "warning")}
        return go() | self.detail.close_form()

    def _select(self, visit: Visit, number: int) -> Updates:
        if number in visit.ids:
            return self.show(visit, number)
        if number < 0:  # before the page: the last of the one before
            visit.browse = replace(visit.browse, offset=max(0, visit.browse.offset - ROWS))
            before = read_view(visit.workspace, visit.dataset, visit.browse)
            return self.browser.draw(
                visit, before, before.page.rows[-1].id if before.page.rows else 0, ""
            )
        visit.browse = replace(visit.browse, offset=visit.browse.offset + ROWS)
        return self.show(visit, 0)

    def _neighbour(self, visit: Visit, step: int) -> int:
        """The record that many rows on; -1 before the page, 0 after it."""
        ids = visit.ids
        if visit.selected not in ids:
            return ids[0] if ids else 0
        at = ids.index(visit.selected) + (1 if step > 0 else -1)
        if 0 <= at < len(ids):
            return ids[at]
        if at < 0:
            return -1 if visit.browse.offset else ids[0]
        return 0 if len(ids) == ROWS else ids[-1]

    def _review(self, visit: Visit, status: str, advance: bool, data: Data) -> Updates:
        stored = find_record(visit.workspace, visit.dataset, visit.selected)
        if stored is None:
            raise QeuError(text("dataset.no_record", visit.language))
        following = self._neighbour(visit, 1)
        told = text(
            "dataset.decided",
            visit.language,
            seq=stored.record.seq or stored.id,
            status=value_name("status", status, visit.language),
        )
        if stored.status != status:
            set_status(visit.workspace, visit.dataset, Filter(ids=(stored.id,)), status)
            visit.state["checks"] = count_findings(visit.workspace, visit.dataset)
        busy = bool(data[self.detail.edit_state]) and bool(self.detail.changes(data))
        if busy:
            return self.show(self.browser.hold(visit, data), notice=told)
        if not advance:
            return self.show(visit, notice=told)
        if following > 0:
            updates = self.show(visit, following, told)
        else:
            updates = self._turn_over(visit, stored, told)
        return updates | (self.detail.close_form() if data[self.detail.edit_state] else {})

    def _turn_over(self, visit: Visit, stored: StoredRecord, told: str) -> Updates:
        """After the last row of a page: the next page, which moved up if this row left the list."""
        view = read_view(visit.workspace, visit.dataset, visit.browse)
        if stored.id in [row.id for row in view.page.rows]:
            visit.browse = replace(visit.browse, offset=visit.browse.offset + ROWS)
        return self.show(visit, 0, told)

    # -- editing -------------------------------------------------------------------------------

    def on_edit(self, data: Data, request: gr.Request) -> Updates:
        """Open the form over the record that is shown."""
        try:
            visit = self.visit(data, request)
            stored = get_record(visit.workspace, visit.dataset, visit.selected)
        except QeuError as error:
            return self.refuse(error, request)
        return self.detail.open_form(stored)

    def on_discard(self, data: Data, request: gr.Request) -> Updates:
        """Close the form, nothing is stored; the record is shown as it is by now."""
        try:
            visit = self.browser.open(data, request)
            shown = self.show(visit) if visit else {}
        except QeuError as error:
            shown = self.refuse(error, request)
        return self.detail.close_form() | shown

    def on_save(self, data: Data, request: gr.Request, over: bool = False) -> Updates:
        """Store what was changed, unless somebody else changed the record meanwhile."""
        form = dict(data[self.detail.edit_state] or {})  # type: ignore[call-overload]
        if not form:
            return self.detail.close_form()
        changes = self.detail.changes(data)
        try:
            visit = self.visit(data, request)
            stored = get_record(visit.workspace, visit.dataset, int(form["id"]))
            version = int(form["version"])
            if over:
                version = int(form.get("seen") or version)
            elif all(stored.value(field) == form["values"][field] for field in EDITED):
                # what the form shows is as it was: only a decision or a split was set meanwhile
                version = stored.version
            if not changes:
                return self.detail.close_form() | self.show(visit)
            edit_fields(visit.workspace, visit.dataset, stored.id, version, changes)
        except EditConflict:
            return self.detail.show_conflict(stored, data, visit.language)
        except QeuError as error:
            return self.refuse(error, request)
        told = text("dataset.saved", visit.language, seq=stored.record.seq or stored.id)
        fresh = self.browser.open(data, request) or visit
        return self.detail.close_form() | self.show(fresh, stored.id, told)

    def on_save_over(self, data: Data, request: gr.Request) -> Updates:
        """Store mine over theirs, which I have seen."""
        return self.on_save(data, request, over=True)

    # -- beside the list -----------------------------------------------------------------------

    def on_training(
        self, data: Data, request: gr.Request, roles: Mapping[str, gr.Textbox]
    ) -> Iterator[Updates]:
        """The training text of the record that is shown."""
        try:
            visit = self.visit(data, request)
            role = worded(str(data[self.detail.role_dd]), roles, data)
            yield from self.detail.on_training(
                visit.workspace, visit.dataset, visit.selected, data, role, visit.language
            )
        except QeuError as error:
            told = tell(str(error), language_of(request))
            yield {self.detail.training: notice_html(told, "error")}


def _browse(browse: Browse, do: str, name: str, value: str) -> Browse:
    """Where one click leads; ValueError for what the page never sends."""
    where = browse.where
    if do == "page":
        return replace(browse, offset=max(0, min(int(value), 10**9)))
    if do == "sort":
        turned = browse.sort == value and not browse.descending and value != "order"
        return replace(browse, sort=value, descending=turned, offset=0)
    if do == "clear":
        return replace(browse, where=Filter(), offset=0)
    if do == "search":
        return replace(browse, where=replace(where, search=value[:1000]), offset=0)
    if do == "check":
        return replace(
            browse, where=replace(where, check="" if where.check == value else value), offset=0
        )
    if do == "facet" and name in FACETS:
        chosen = [v for v in getattr(where, name) if v != value]
        if value not in getattr(where, name):
            chosen.append(value)
        return replace(browse, where=replace(where, **{name: tuple(chosen)}), offset=0)
    raise ValueError(do)
