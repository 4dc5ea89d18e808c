"""In the Compare tab: put what one side wrote into a data set."""

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.compare import SIDES
from qeu.services.data_from_run import add_run
from qeu.store.datasets import list_datasets
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

PLACE = "compare"
DEFAULT_NAME = "from compare"
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


class SendPanel:
    """A side, a data set's name, a button; works for a restored run as well."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context = context
        with gr.Row(elem_classes="q-tight", elem_id="send"):
            self.side_radio = gr.Radio(
                [(say(f"dataset.send.{name}"), name) for name in SIDES],
                value=SIDES[0],
                label=say("dataset.send.side"),
                elem_id="send-side",
                min_width=160,
                scale=1,
            )
            self.name_dd = gr.Dropdown(
                [DEFAULT_NAME],
                value=DEFAULT_NAME,
                label=say("dataset.send.name"),
                allow_custom_value=True,
                elem_id="send-name",
                min_width=180,
                scale=2,
            )
            self.send_btn = gr.Button(say("dataset.send"), elem_id="send-btn", min_width=180)
        self.line = gr.HTML(notice_html(""), elem_id="send-line")

    def wire(self, place: gr.Accordion) -> None:
        """Connect the button; the names are read whenever `place` is opened."""
        place.expand(self.on_open, {self.name_dd}, {self.name_dd}, **QUIET)
        inputs = {self.side_radio, self.name_dd}
        self.send_btn.click(self.on_send, inputs, {self.line, self.name_dd}, **QUIET)

    def on_open(self, data: Data, request: gr.Request) -> Updates:
        """The data sets there are now; a name typed in stays."""
        names = [dataset.name for dataset in list_datasets(self.context.records(request))]
        chosen = str(data[self.name_dd] or "")
        if names and chosen == DEFAULT_NAME and chosen not in names:
            chosen = names[0]
        choices = list(dict.fromkeys([*names, DEFAULT_NAME]))
        return {self.name_dd: gr.update(choices=choices, value=chosen or DEFAULT_NAME)}

    def on_send(self, data: Data, request: gr.Request) -> Updates:
        """Add the side as a record, with who wrote what."""
        language, side = language_of(request), str(data[self.side_radio])
        live = self.context.sessions.of(request).shown.get(PLACE, {}).get(side)
        if live is None:
            return {self.line: notice_html(text("dataset.send.empty", language), "error")}
        try:
            workspace = self.context.records(request)
            dataset, stored = add_run(workspace, str(data[self.name_dd] or ""), live)
        except QeuError as error:
            return {self.line: notice_html(tell(str(error), language), "error")}
        told = text("dataset.send.done", language, seq=stored.record.seq, name=dataset.name)
        return {self.line: notice_html(told)} | self.on_open(data, request)
