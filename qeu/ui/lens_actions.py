"""What the next-token drawer does to the tab around it: follow its sliders, go on elsewhere."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.services.lens import put_token
from qeu.services.runs import Run
from qeu.ui.compare_form import Data, SideForm, Updates
from qeu.ui.lens_panel import COMPARE, LensPanel, drawer_of, whole_number
from qeu.ui.panels import notice_html
from qeu.ui.sessions import Session, language_of
from qeu.ui.streaming import stream_run
from qeu.ui.strings import text
from qeu.ui.votes_round import booth_of

if TYPE_CHECKING:
    from qeu.ui.compare_actions import CompareActions

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}


class LensActions:
    """Handlers over the drawer; `do` shows the tab's texts."""

    def __init__(self, panel: LensPanel, do: "CompareActions") -> None:
        self.panel, self.do, self.context = panel, do, do.context

    def wire(self, shown: set[object]) -> None:
        """Connect the drawer's three events; `shown` is all that a run updates."""
        panel = self.panel
        panel.text.select(panel.on_act, None, panel.outputs(), **MANY)
        # not the sliders' own events: the script tells of them only while the drawer is open
        late = {"concurrency_limit": None, "trigger_mode": "always_last", **QUIET}
        panel.text.input(self.on_redraw, self.settings(), panel.outputs(), queue=False, **late)
        panel.text.submit(self.on_go_on, None, shown, **MANY)

    def settings(self) -> set[object]:
        """The controls that a redraw reads."""
        sides = self.do.form.sides.values()
        found: set[object] = {side.own_cb for side in sides}
        for form in (self.do.form.sampling, *(side.sampling for side in sides)):
            found |= set(form.components())
        return found

    def on_redraw(self, data: Data, request: gr.Request) -> Updates:
        """A slider moves: the bars as they would be with it."""
        session = self.context.sessions.of(request)
        opened = drawer_of(session).opened
        if opened is None:
            return self.panel.close(session)
        sampling = self._read(data, self.do.form.sides[opened.side])
        return self.panel.on_redraw(sampling, request)

    def _read(self, data: Data, side: SideForm) -> Sampling | QeuError:
        form = side.sampling if data[side.own_cb] else self.do.form.sampling
        try:
            return form.read(data)
        except QeuError as error:
            return error

    def on_go_on(self, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """Put another token at the place that is looked at, and let the side's model go on."""
        act = event._data if isinstance(event._data, dict) else {}
        session, language = self.context.sessions.of(request), language_of(request)
        if (opened := self.panel.standing(session)) is None:
            yield self.panel.close(session)
            return
        before = session.runs.get(COMPARE)
        if before is not None and not before.finished:
            yield self.panel.tell(session, text("lens.wait", language), request)
            return
        try:
            ask = put_token(opened.lens_side, opened.look, [whole_number(act.get("token"))])
            self.context.check_model(ask.model)
            run = Run(
                self.context.engines(request),
                [replace(ask, key=opened.side)],
                exact=drawer_of(session).exact,
            )
        except QeuError as error:
            yield self.panel.tell(session, str(error), request)
            return
        name = opened.look.names.name(ask.begun[-1]).shown
        at = opened.look.position
        went = text("lens.went", language, token=name, at=f"{at:,}")
        yield from self._stream(session, run, opened.side, went, request)
        if session.is_current(COMPARE, run):
            yield from self.panel.open(session, opened.side, at, request)

    def _stream(
        self, session: Session, run: Run, side: str, line: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Bring the new text onto its side; the other side keeps its own."""
        language, view = language_of(request), self.do.view
        lives = {**session.shown.get(COMPARE, {}), side: run.live[side]}
        # what was voted on, or would be, is no longer what stands there
        booth_of(session).round = None
        session.begin(COMPARE, run)
        session.shown[COMPARE] = lives
        with run:
            yield {
                **self.do.show(session, language),
                **self.panel.show_busy(session, side, text("lens.going", language)),
                view.notice: notice_html(line),
            }
            updates = stream_run(
                session,
                COMPARE,
                run,
                {view.notice: gr.skip()},
                lambda keys: view.show_lives(lives, language, whole=False, only=keys),
                {view.notice: gr.skip()},
            )
            for update in updates:
                # the loop takes a run for all that its place shows
                if session.is_current(COMPARE, run):
                    session.shown[COMPARE] = lives
                yield update
            if session.is_current(COMPARE, run):
                busy = self.panel.show_busy(session, side, text("lens.reading", language))
                yield {**self.do.show(session, language), **busy}
