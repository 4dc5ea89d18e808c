"""What the bar and the standings do: vote, reveal, take back, ask the next question, export."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.compare import SIDES
from qeu.services.vote_export import export_votes
from qeu.services.votes import cast_vote, take_back, voted_on
from qeu.store.datasets import list_datasets
from qeu.store.history import get_comparison
from qeu.store.vote_questions import draw_record
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context
from qeu.ui.panels import notice_html
from qeu.ui.send_panel import SendPanel
from qeu.ui.sentences import tell
from qeu.ui.sessions import Session, language_of
from qeu.ui.strings import text
from qeu.ui.votes_panel import COMPARE, VotesPanel
from qeu.ui.votes_round import Round, booth_of
from qeu.ui.votes_standings_view import export_line

if TYPE_CHECKING:
    from qeu.ui.compare_actions import CompareActions

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
_POSITIONS = {"a": "left", "b": "right"}
_ANSWERS: Mapping[str, bool | None] = {"yes": True, "no": False}
_LONGEST_VOTER = 64


class VotesActions:
    """Handlers over the panel; `do` runs and shows comparisons."""

    def __init__(
        self,
        context: Context,
        panel: VotesPanel,
        do: "CompareActions",
        examples: Callable[[], Sequence[Mapping[str, object]]],
        send: SendPanel,
    ) -> None:
        self.context, self.panel, self.do, self.examples = context, panel, do, examples
        self.send = send

    def wire(self, inputs: set[object], everything: set[object]) -> None:
        """Connect the switch, the bar and the standings."""
        panel = self.panel
        outputs, inputs = everything | {panel.blind_cb}, inputs | {self.send.name_dd}
        panel.bar.select(self.on_act, inputs, outputs, **MANY)
        panel.blind_cb.input(self.on_switch, panel.blind_cb, outputs, **QUIET)
        panel.accordion.expand(self.on_open, None, panel.table, **QUIET)
        panel.table.select(self.on_export, None, {panel.line, panel.file_btn}, **QUIET)

    # -- the bar -----------------------------------------------------------------------------------

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """One click or key: vote, undo, keep, next, or a page that was loaded again."""
        act = event._data if isinstance(event._data, dict) else {}
        session, language = self.context.sessions.of(request), language_of(request)
        try:
            if act.get("do") == "next":
                yield from self.on_next(data, request)
                return
            if act.get("do") == "vote":
                yield self._vote(session, act, request)
            elif act.get("do") == "undo":
                yield self._undo(session, act, request)
            elif act.get("do") == "keep":
                yield self._keep(session, data, request)
            else:
                yield self._resume(session, act, request)
        except QeuError as error:
            yield self.do.view.show_notice(tell(str(error), language), "error")

    def _vote(self, session: Session, act: Mapping[str, object], request: gr.Request) -> Updates:
        language, one = language_of(request), booth_of(session).round
        if one is None:
            return self.do.view.show_notice(text("vote.late", language), "error")
        with one.lock:
            if one.ready and one.stored and act.get("run") == one.stored.id:
                self._cast(one, one.stored.id, act, request)
                return self._reveal(session, one, request)
            if one.vote and one.stored and act.get("run") == one.stored.id:
                # a second click of the same vote finds the names open already
                return self.panel.show_bar(session, language)
        return self.do.view.show_notice(text("vote.late", language), "error")

    def _cast(self, one: Round, run: int, act: Mapping[str, object], request: gr.Request) -> None:
        better = str(act.get("better"))
        one.vote, is_new = cast_vote(
            self.context.workspace,
            run,
            one.side_at(_POSITIONS[better]) if better in _POSITIONS else better,
            acceptable={
                one.side_at(at): _ANSWERS.get(str(act.get(key))) for key, at in _POSITIONS.items()
            },
            swapped=one.swapped,
            note=str(act.get("note") or ""),
            seconds=one.seconds,
            voter=_voter(act, request),
            visitor=self.context.visitor(request),
        )
        one.before = not is_new

    def _reveal(self, session: Session, one: Round, request: gr.Request) -> Updates:
        """Show the names. The texts stay where they are: the settings come to stand above them."""
        language, do = language_of(request), self.do
        one.give_up()
        comparison = one.comparison.swapped() if one.swapped else one.comparison
        session.shown[COMPARE] = one.placed(session.shown.get(COMPARE, {}))
        updates = do.show(session, language) | self.panel.show_standings(request)
        for side in SIDES:
            updates |= do.form.sides[side].fill(comparison.side(side))
        return updates | (do.take_away(one.stored, comparison, session) if one.stored else {})

    def _undo(self, session: Session, act: Mapping[str, object], request: gr.Request) -> Updates:
        """Take the voter's last vote back."""
        one = booth_of(session).round
        undone = take_back(
            self.context.workspace, _voter(act, request), self.context.visitor(request)
        )
        if one and one.vote and one.vote.id == undone.id:
            one.vote, one.taken_back = None, True
        shown = self.panel.show_bar(session, language_of(request))
        return shown | self.panel.show_standings(request)

    def _keep(self, session: Session, data: Data, request: gr.Request) -> Updates:
        """Put the text that won into the data set, with the vote as a part of its origin."""
        one, language = booth_of(session).round, language_of(request)
        if one is None:
            return self.do.view.show_notice(text("vote.late", language), "error")
        with one.lock:
            if one.can_keep and one.vote:
                at = one.side_at(one.vote.better)
                try:
                    one.kept = self.send.keep(data, at, request, one.vote)
                except QeuError as error:
                    one.kept = tell(str(error), language)
        return self.panel.show_bar(session, language)

    def _resume(self, session: Session, act: Mapping[str, object], request: gr.Request) -> Updates:
        """The page was loaded again: the switch is on as before, and so are two covered texts."""
        booth, language = booth_of(session), language_of(request)
        booth.on = True
        on = {self.panel.blind_cb: True}
        run = act.get("run")
        if not isinstance(run, int) or run <= 0 or session.shown.get(COMPARE):
            return on | self.do.show(session, language)
        visitor, workspace = self.context.visitor(request), self.context.workspace
        if voted_on(workspace, run, _voter(act, request)):
            return on | self.panel.show_bar(session, language)
        known = self.panel.rounds.find(str(act.get("round")), run)
        try:
            stored = get_comparison(workspace, run, visitor)
        except QeuError:
            # a visit's history ended with the visit, and so did its votes
            return on | self.panel.show_bar(session, language)
        line = text("history.restored", language, number=run)
        return on | self.do.show_stored(stored, line, request, known)

    def on_next(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Ask the same two sides another question: of the data sets, else a shipped example."""
        language, question = language_of(request), self.do.form.question
        found, told = self._next_question(request, language)
        boxes = {
            "instruction": question.instruction_box,
            "input": question.input_box,
            "reasoning": question.reasoning_box,
            "reference": question.reference_box,
            "category": question.category_dd,
        }
        updates: Updates = {box: found.get(name, "") for name, box in boxes.items()}
        updates[question.category_dd] = found.get("category") or "open_qa"
        yield updates
        yield from self.do.on_run({**data, **updates}, request)
        if booth_of(self.context.sessions.of(request)).covered:
            yield self.do.view.show_notice(told)

    def _next_question(self, request: gr.Request, language: str) -> tuple[dict[str, object], str]:
        records = self.context.records(request)
        drawn = draw_record(records, list_datasets(records), self.context.visitor(request))
        if drawn:
            dataset, stored = drawn
            record = stored.record
            told = text("vote.from_data", language, seq=record.seq or stored.id, name=dataset.name)
            return {
                "instruction": record.instruction,
                "input": record.input,
                "reasoning": record.reasoning,
                "reference": record.output,
                "category": record.category,
            }, told
        booth, examples = booth_of(self.context.sessions.of(request)), self.examples()
        # the first one stands in the form from the start
        booth.examples += 1
        example = examples[booth.examples % len(examples)]["comparison"]
        assert isinstance(example, Mapping)
        return dict(example), text("vote.from_examples", language)

    # -- the switch and the standings --------------------------------------------------------------

    def on_switch(self, on: bool, request: gr.Request) -> Updates:
        """Blind from the next run on; off shows the names at once, without a vote."""
        session, language = self.context.sessions.of(request), language_of(request)
        booth = booth_of(session)
        booth.on, one = bool(on), booth.round
        if one is None:
            return self.panel.show_bar(session, language)
        with one.lock:
            if one.covered and not on:
                return self._reveal(session, one, request)
        if not on:
            booth.round = None
        return self.panel.show_bar(session, language)

    def on_open(self, request: gr.Request) -> object:
        """Count the votes; from now on the standings follow them."""
        booth_of(self.context.sessions.of(request)).standings = True
        return self.panel.show_standings(request)[self.panel.table]

    def on_export(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Write the file that was asked for and offer it."""
        act = event._data if isinstance(event._data, dict) else {}
        language, panel = language_of(request), self.panel
        kind = str(act.get("value"))
        name = "qeu-votes-dpo.jsonl" if kind == "dpo" else "qeu-votes-records.jsonl"
        path = Path(tempfile.mkdtemp(prefix="qeu-")) / name
        try:
            visitor = self.context.visitor(request)
            report = export_votes(
                self.context.workspace, path, kind=kind, visitor=visitor,
                records=self.context.records(request),
            )  # fmt: skip
        except QeuError as error:
            return {panel.line: notice_html(tell(str(error), language), "error")}
        return {
            panel.line: notice_html(export_line(report, language)),
            panel.file_btn: gr.update(value=str(path), label=name, visible=True),
        }


def _voter(act: Mapping[str, object], request: gr.Request) -> str:
    """The browser, by the random name that it keeps; a page without one counts by itself."""
    return str(act.get("voter") or request.session_hash or "")[:_LONGEST_VOTER]
