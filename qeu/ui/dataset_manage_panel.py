"""Rename a data set, remove it with a confirmation, bring a removed one back."""

from collections.abc import Callable, Iterator

import gradio as gr

from qeu.core.errors import QeuError
from qeu.store.datasets import (
    count_records,
    list_datasets,
    list_removed,
    remove_dataset,
    rename_dataset,
    restore_dataset,
)
from qeu.ui.compare_form import Data, Updates
from qeu.ui.dataset_work_panel import QUIET, DataPanel
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF


class ManagePanel(DataPanel):
    """What concerns a data set as a whole; nothing here destroys anything."""

    name = "manage"

    def build(self) -> None:
        """The accordion."""
        say = self.say
        with gr.Accordion(
            say("data.manage.title"), open=False, elem_id="data-manage"
        ) as self.accordion:
            with gr.Row(elem_classes="q-tight q-hub"):
                self.name_box = gr.Textbox(
                    label=say("data.manage.new_name"), max_length=100,
                    elem_id="data-manage-name", min_width=180, scale=2,
                )  # fmt: skip
                self.rename_btn = gr.Button(
                    say("data.manage.rename"),
                    size="md",
                    elem_id="data-manage-rename",
                    min_width=120,
                )
                self.removed_dd = gr.Dropdown(
                    [],
                    value=None,
                    label=say("data.manage.removed"),
                    elem_id="data-manage-removed",
                    min_width=180,
                    scale=2,
                )
                self.restore_btn = gr.Button(
                    say("data.manage.restore"),
                    size="md",
                    elem_id="data-manage-restore",
                    min_width=120,
                )
            with gr.Row(elem_classes="q-actions"):
                self.remove_btn = gr.Button(
                    say("data.manage.remove"),
                    size="md",
                    elem_id="data-manage-remove",
                    min_width=180,
                    scale=0,
                )
                self.sure_btn = gr.Button(
                    say("data.manage.sure"),
                    size="md",
                    variant="stop",
                    visible=OFF,
                    elem_id="data-manage-sure",
                    min_width=180,
                    scale=0,
                )
                self.no_btn = gr.Button(
                    say("data.manage.keep"),
                    size="md",
                    visible=OFF,
                    elem_id="data-manage-no",
                    min_width=120,
                    scale=0,
                )
            # which data set the confirmation is about
            self.doomed = gr.State("")
            self.build_line()

    def outputs(self) -> set[object]:
        """All that `on_language` may update."""
        return {self.line}

    def wire(self) -> None:
        """Connect the controls."""
        ask = {self.sure_btn, self.no_btn, self.remove_btn, self.doomed}
        shown = {self.line, self.removed_dd, self.name_box, self.place.name_dd, self.place.changed,
                 self.place.filter_state, *ask}  # fmt: skip
        inputs = self.shared() | {self.name_box, self.removed_dd, self.doomed}
        for button, handler in (
            (self.rename_btn, self.on_rename),
            (self.remove_btn, self.on_ask),
            (self.sure_btn, self.on_remove),
            (self.restore_btn, self.on_restore),
        ):
            button.click(handler, inputs, shown, **QUIET)
        self.no_btn.click(lambda: self._asked(False), None, ask, queue=False, **QUIET)
        gr.on(
            [self.accordion.expand, self.place.changed.change],
            self.on_place, None, {self.removed_dd}, trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        self.place.name_dd.change(lambda: self._asked(False), None, ask, queue=False, **QUIET)

    def on_place(self, request: gr.Request) -> Updates:
        """The data sets that can be brought back."""
        names = [dataset.name for dataset in list_removed(self.context.records(request))]
        return {self.removed_dd: gr.update(choices=list(dict.fromkeys(names)))}

    def on_rename(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Give the chosen data set another name."""

        def do() -> tuple[str, str]:
            workspace, dataset, _ = self.place.read(self.context, data, request)
            new = rename_dataset(workspace, dataset, str(data[self.name_box] or ""))
            return new.name, text("data.manage.renamed", language_of(request), name=new.name)

        yield from self._do(do, data, request, {self.name_box: ""})

    def on_ask(self, data: Data, request: gr.Request) -> Updates:
        """Ask before the data set disappears."""
        try:
            workspace, dataset, _ = self.place.read(self.context, data, request)
        except QeuError as error:
            return self.refuse(error, request)
        count = f"{count_records(workspace, dataset):,}"
        told = text("data.manage.ask", language_of(request), name=dataset.name, count=count)
        asked = self._asked(True) | {self.doomed: dataset.name}
        return asked | {self.line: notice_html(told, "warning")}

    def on_remove(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Hide the data set that was asked about, if it is still the chosen one."""

        def do() -> tuple[str, str]:
            workspace, dataset, _ = self.place.read(self.context, data, request)
            if dataset.name != data[self.doomed]:
                raise QeuError(text("data.manage.other", language_of(request)))
            remove_dataset(workspace, dataset)
            names = [other.name for other in list_datasets(workspace)]
            told = text("data.manage.gone", language_of(request), name=dataset.name)
            return (names[0] if names else ""), told

        yield from self._do(do, data, request, self._asked(False))

    def on_restore(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Bring a removed data set back as it was."""

        def do() -> tuple[str, str]:
            name = str(data[self.removed_dd] or "")
            if not name:
                raise QeuError(text("data.manage.choose", language_of(request)))
            back = restore_dataset(self.context.records(request), name)
            return back.name, text("data.manage.restored", language_of(request), name=back.name)

        yield from self._do(do, data, request, {})

    def _do(
        self, do: Callable[[], tuple[str, str]], data: Data, request: gr.Request, more: Updates
    ) -> Iterator[Updates]:
        """Do it; the data set to show next, and what to say. Its filter begins anew."""
        try:
            chosen, told = do()
        except QeuError as error:
            yield self.refuse(error, request) | self._asked(False)
            return
        workspace = self.context.records(request)
        names = [dataset.name for dataset in list_datasets(workspace)]
        removed = list(dict.fromkeys(dataset.name for dataset in list_removed(workspace)))
        # the page may still send the old name once; the browser of records lists them anew
        known = dict.fromkeys([*names, str(data[self.place.name_dd] or chosen)])
        yield from self.place_first(
            {
                self.line: notice_html(told),
                self.place.name_dd: gr.update(choices=list(known), value=chosen or None),
                self.place.filter_state: {},
                self.removed_dd: gr.update(choices=removed, value=None),
                **self.place.raise_changed(data),
                **more,
            }
        )

    def _asked(self, asking: bool) -> Updates:
        return {
            self.sure_btn: gr.update(visible=asking or OFF),
            self.no_btn: gr.update(visible=asking or OFF),
            self.remove_btn: gr.update(visible=OFF if asking else True),
            self.doomed: "",
        }
