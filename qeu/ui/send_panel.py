"""In the Compare tab: put what one side wrote, or the text that won a vote, into a data set."""

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.votes import Vote
from qeu.services.compare import SIDES
from qeu.services.data_from_run import add_run
from qeu.store.datasets import list_datasets
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.votes_round import booth_of

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
        """Add the chosen side as a record, with who wrote what."""
        return self._send(data, str(data[self.side_radio]), self.line, request)

    def wire_side(self, side: str, button: gr.Button, line: gr.HTML) -> None:
        """A button at a text itself does it in one click; `line` tells what came of it."""

        def on_keep(data: Data, request: gr.Request) -> Updates:
            updates = self._send(data, side, line, request)
            return updates | {line: gr.update(value=updates[line], visible=True)}

        button.click(on_keep, {self.name_dd}, {line, self.name_dd}, **QUIET)

    def _send(self, data: Data, side: str, line: gr.HTML, request: gr.Request) -> Updates:
        try:
            told = self.keep(data, side, request)
        except QeuError as error:
            return {line: notice_html(tell(str(error), language_of(request)), "error")}
        return {line: notice_html(told)} | self.on_open(data, request)

    def keep(self, data: Data, side: str, request: gr.Request, vote: Vote | None = None) -> str:
        """Add what stands at a side to the chosen data set; a sentence that says where.

        Raises QeuError where nothing stands there, or nobody is to know yet who wrote it.
        """
        session, language = self.context.sessions.of(request), language_of(request)
        if booth_of(session).covered:
            raise QeuError("Vote first: the record would tell who wrote the text.")
        live = session.shown.get(PLACE, {}).get(side)
        if live is None:
            raise QeuError(text("dataset.send.empty", language))
        workspace = self.context.records(request)
        dataset, stored = add_run(workspace, str(data[self.name_dd] or ""), live, vote=vote)
        return text("dataset.send.done", language, seq=stored.record.seq, name=dataset.name)
