"""Blind votes in the Compare tab: the switch, the bar under the texts, the standings below."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import gradio as gr

from qeu.services.compare import SIDES, Comparison
from qeu.services.votes import read_standings
from qeu.store.history import StoredComparison
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html, prompt_html, receipt_html
from qeu.ui.sessions import Session, language_of
from qeu.ui.translation_source import Shown, read_side
from qeu.ui.visibility import OFF
from qeu.ui.votes_round import Round, Rounds, booth_of
from qeu.ui.votes_standings_view import standings_html
from qeu.ui.votes_view import bar_html, covered_body, covered_head

if TYPE_CHECKING:
    from qeu.ui.compare_view import SideView

COMPARE = "compare"
ATTACH_JS = """
const attach = () => window.qeuVotes
  ? window.qeuVotes.attach(element, trigger, "%s")
  : setTimeout(attach, 50);
attach();
"""


class VotesPanel:
    """The components, and what the tab asks of them while it runs and shows comparisons."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context, self.say, self.rounds = context, say, Rounds()

    def build_switch(self) -> None:
        """The switch, beside the other actions."""
        self.blind_cb = gr.Checkbox(
            False, label=self.say("vote.blind"), elem_id="blind", container=False, min_width=110
        )

    def build_bar(self) -> None:
        """The bar, under the texts that are judged with it."""
        self.bar = gr.HTML(
            elem_id="vote-bar", visible=OFF, padding=False, js_on_load=ATTACH_JS % "bar"
        )

    def build_standings(self) -> None:
        """The standings, counted when they are opened."""
        with gr.Accordion(
            self.say("vote.standings"), open=False, elem_id="standings"
        ) as self.accordion:
            self.table = gr.HTML(
                elem_id="vote-standings", padding=False, js_on_load=ATTACH_JS % "standings"
            )
            self.line = gr.HTML(notice_html(""), elem_id="vote-line", padding=False)
            self.file_btn = gr.DownloadButton(
                visible=OFF, elem_id="vote-file", size="md", variant="primary"
            )

    def inputs(self) -> set[object]:
        """What a run reads of the votes."""
        return {self.blind_cb}

    def outputs(self) -> set[object]:
        """What a run, and a change of language, may update."""
        return {self.bar, self.table}

    # -- what the tab does with them -------------------------------------------------------------

    def begin(self, session: Session, data: Data, comparison: Comparison) -> None:
        """A run begins: a blind one is a new round."""
        booth = booth_of(session)
        booth.on = bool(data.get(self.blind_cb))
        booth.round = Round(comparison) if booth.on else None

    def finish(self, session: Session, stored: StoredComparison) -> None:
        """The run is in the history: let it be voted on."""
        if one := booth_of(session).round:
            one.finish(stored)
            self.rounds.keep(one)

    def restore(
        self,
        session: Session,
        stored: StoredComparison,
        comparison: Comparison,
        known: Round | None = None,
    ) -> None:
        """An earlier run is shown: with the switch on as a round, of its own or a known one."""
        booth = booth_of(session)
        booth.round = (known or Round(comparison)) if booth.on and stored.id else None
        self.finish(session, stored)

    def give_up(self, session: Session) -> None:
        """Show the names of what is covered, without a vote."""
        if one := booth_of(session).round:
            one.give_up()

    def cover(
        self, views: "Mapping[str, SideView]", session: Session, language: str, whole: bool
    ) -> Updates | None:
        """The sides without anything that tells who wrote them; None where nothing is covered."""
        booth = booth_of(session)
        lives = session.shown.get(COMPARE, {})
        one = booth.round
        if one is None or not one.covered:
            return None
        updates: Updates = {self.bar: bar_html(booth, lives, language)}
        if not whole:
            return updates
        placed = one.placed(lives)
        for at in SIDES:
            side = views[at]
            updates |= {
                side.head: covered_head(at),
                side.body: covered_body(placed.get(at), one, language),
                side.prompt: prompt_html(None, language),
                side.receipt: receipt_html(None, language),
                **side.strip.clear(),
            }
            if side.keep_line:
                updates[side.keep_line] = gr.update(value="", visible=OFF)
        return updates

    def show_bar(self, session: Session, language: str) -> Updates:
        """The bar as it stands, and whether it is there at all."""
        booth = booth_of(session)
        html = bar_html(booth, session.shown.get(COMPARE, {}), language)
        return {self.bar: gr.update(value=html, visible=True if html else OFF)}

    def show_standings(self, request: gr.Request) -> Updates:
        """The standings anew, if this page has them open."""
        booth = booth_of(self.context.sessions.of(request))
        if not booth.standings:
            return {self.table: gr.skip()}
        found = read_standings(self.context.workspace, self.context.visitor(request))
        public = self.context.settings.public
        return {self.table: standings_html(found, language_of(request), public)}

    def reader(self, name: str) -> Callable[[Data, gr.Request], Shown]:
        """What the translation under a text reads: the text that stands there, once it may."""
        readers = {side: read_side(self.context, COMPARE, side) for side in SIDES}

        def read(data: Data, request: gr.Request) -> Shown:
            one = booth_of(self.context.sessions.of(request)).round
            if one is None or not one.covered:
                return readers[name](data, request)
            return readers[one.side_at(name)](data, request) if one.ready else Shown()

        return read
