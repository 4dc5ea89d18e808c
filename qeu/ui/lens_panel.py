"""The next-token drawer of Compare: a finished text token by token, and the choice behind each."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import gradio as gr

from qeu.backends.catalog import is_hosted
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.sampling import Sampling
from qeu.services.asks import Live
from qeu.services.compare import SIDES
from qeu.services.lens import redraw
from qeu.services.lens_reader import LensSide, explain_reader
from qeu.ui.compare_form import Updates
from qeu.ui.context import DEFAULT_MODEL, Context
from qeu.ui.lens_choice_view import choice_html
from qeu.ui.lens_view import COLOURS, Opened, busy_html, failed_html, text_map_html
from qeu.ui.sessions import Session, language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF
from qeu.ui.votes_round import booth_of

PLACE = "lens"
COMPARE = "compare"
OTHER = {"left": "right", "right": "left"}
ATTACH_JS = """
const attach = () => window.qeuLens
  ? window.qeuLens.attach(element, trigger, "%s")
  : setTimeout(attach, 50);
attach();
"""


class Reading:
    """One look on its way: stopped where a newer one, or the end of the visit, takes its place."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def stop(self, key: str | None = None) -> None:
        """Read no further."""
        self._stopped.set()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._stopped.is_set()


@dataclass
class Drawer:
    """A page's drawer: what is open in it, and whether the texts were computed exactly.

    `turn` counts the answers: by it the page's script knows that an answer has come.
    """

    opened: Opened | None = None
    exact: bool = False
    turn: int = 0

    def next_turn(self) -> int:
        """The number of the next answer."""
        self.turn += 1
        return self.turn


def drawer_of(session: Session) -> Drawer:
    """The drawer of a page, made at its first use."""
    found = session.kept.setdefault(PLACE, Drawer())
    assert isinstance(found, Drawer)
    return found


class LensPanel:
    """Two parts below the sides: the text, which also takes the clicks, and the choice."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def build(self) -> None:
        """Both parts, empty and unseen."""
        self.text = gr.HTML(
            elem_id="lens", visible=OFF, padding=False, js_on_load=ATTACH_JS % "text"
        )
        self.choice = gr.HTML(
            elem_id="lens-choice", visible=OFF, padding=False, js_on_load=ATTACH_JS % "choice"
        )

    def outputs(self) -> set[object]:
        """All that a look may update."""
        return {self.text, self.choice}

    # -- what the tab does with it -----------------------------------------------------------------

    def begin(self, session: Session, exact: bool) -> None:
        """Other texts are about to be shown; `exact` tells how they are, or were, computed."""
        drawer_of(session).exact = exact

    def standing(self, session: Session) -> Opened | None:
        """What is open, if its text is still the one on its side, for all to see."""
        opened = drawer_of(session).opened
        return opened if opened is not None and _stands(session, opened) else None

    def follow(self, session: Session, language: str) -> Updates:
        """The drawer beside the texts as they stand now: the same one again, or closed."""
        if drawer_of(session).opened is None:
            return {}
        return self.show(session, language) if self.standing(session) else self.close(session)

    def close(self, session: Session) -> Updates:
        """Nothing is looked at any more, nor read."""
        drawer_of(session).opened = None
        if reading := session.runs.pop(PLACE, None):
            reading.stop()
        nothing = gr.update(value="", visible=OFF)
        return {self.text: nothing, self.choice: nothing}

    def show(self, session: Session, language: str) -> Updates:
        """Text and choice as they are."""
        drawer = drawer_of(session)
        if (opened := drawer.opened) is None:
            return self.close(session)
        shown = text_map_html(opened, drawer.next_turn(), language)
        return {
            self.text: gr.update(value=shown, visible=True),
            **self.show_choice(session, language),
        }

    def show_choice(self, session: Session, language: str) -> Updates:
        """The choice alone."""
        drawer = drawer_of(session)
        if (opened := drawer.opened) is None:
            return self.close(session)
        shown = choice_html(opened, drawer.next_turn(), language)
        return {self.choice: gr.update(value=shown, visible=True)}

    def show_busy(self, session: Session, side: str, line: str) -> Updates:
        """The drawer in work, without a choice."""
        shown = busy_html(side, line, drawer_of(session).next_turn())
        return {
            self.text: gr.update(value=shown, visible=True),
            self.choice: gr.update(value="", visible=OFF),
        }

    # -- what a click does -------------------------------------------------------------------------

    def on_act(self, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """One click or key: open, close, another token, another colour, the text's settings."""
        act = event._data if isinstance(event._data, dict) else {}
        session, do = self.context.sessions.of(request), str(act.get("do"))
        if do == "open" and not booth_of(session).covered:
            yield from self.open(session, str(act.get("value")), 0, request)
            return
        opened = self.standing(session)
        if do == "close" or opened is None:
            yield self.close(session)
        elif do == "colour":
            yield from self._colour(session, opened, str(act.get("value")), request)
        elif do == "own":
            yield from self._pick(
                session, replace(opened, sampling=None), opened.look.position, request
            )
        else:
            yield from self._pick(session, opened, whole_number(act.get("value")), request)

    def open(
        self, session: Session, side: str, position: int, request: gr.Request
    ) -> Iterator[Updates]:
        """Put the text of a side under the lens, and look at one of its tokens."""
        language, drawer = language_of(request), drawer_of(session)
        live = session.shown.get(COMPARE, {}).get(side)
        if live is None or live.generation is None or live.phase != "done" or side not in SIDES:
            yield self.close(session)
            return
        drawer.opened = None
        yield self.show_busy(session, side, text("lens.reading", language))
        reading = _begin_reading(session)
        try:
            opened = self._read(session, live, side, position, reading, request)
        except QeuError as error:
            failed = failed_html(side, str(error), drawer.next_turn(), language)
            yield {self.text: gr.skip() if reading.is_set() else failed}
            return
        yield self._answer(session, opened, reading, request)

    def _read(
        self,
        session: Session,
        live: Live,
        side: str,
        position: int,
        reading: Reading,
        request: gr.Request,
    ) -> Opened:
        assert live.generation is not None
        engines = self.context.engines(request)
        other = session.shown.get(COMPARE, {}).get(OTHER[side])
        lens_side, why = choose_reader(live, other, drawer_of(session).exact)
        look = self.context.lens.look(engines, lens_side, position, stop=reading)
        surprise = None
        if look.tokens:
            surprise = self.context.lens.surprise(engines, lens_side, stop=reading)
        both = bool(look.tokens) and other is not None and _has_text(other.generation)
        return Opened(side, live, lens_side, look, surprise, both and not why, why=why)

    def _pick(
        self, session: Session, opened: Opened, position: int, request: gr.Request
    ) -> Iterator[Updates]:
        """Another token of the text, by the settings that are looked at."""
        reading, side = _begin_reading(session), opened.lens_side
        if opened.sampling is not None:
            side = replace(side, ask=replace(side.ask, sampling=opened.sampling))
        engines = self.context.engines(request)
        try:
            look = self.context.lens.look(engines, side, position, stop=reading)
            opened = replace(opened, look=look, note="")
        except QeuError as error:
            opened = replace(opened, note=str(error))
        yield self._answer(session, opened, reading, request, whole=False)

    def _colour(
        self, session: Session, opened: Opened, colour: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Colour the text by one side's surprise, or by what the sides disagree on."""
        if colour not in COLOURS:
            colour = "own"
        drawer, other = drawer_of(session), session.shown[COMPARE].get(OTHER[opened.side])
        reading = _begin_reading(session)
        opened = replace(opened, colour=colour, note="")
        if colour != "own" and opened.two is None and other is not None:
            busy = text("lens.reading", language_of(request))
            yield {self.text: busy_html(opened.side, busy, drawer.next_turn())}
            theirs = LensSide.of(other.ask, other.generation, drawer.exact)
            engines = self.context.engines(request)
            try:
                two = self.context.lens.compare_two(engines, opened.lens_side, theirs, stop=reading)
                opened = replace(opened, two=two)
            except QeuError as error:
                opened = replace(opened, note=str(error))
        if opened.two is None or opened.two.why:
            opened = replace(opened, colour="own")
        yield self._answer(session, opened, reading, request)

    def on_redraw(self, sampling: Sampling | QeuError, request: gr.Request) -> Updates:
        """The same choice by the settings of the sliders; computes no model."""
        session = self.context.sessions.of(request)
        drawer, opened = drawer_of(session), self.standing(session)
        if opened is None:
            return self.close(session)
        if isinstance(sampling, QeuError):
            drawer.opened = replace(opened, note=str(sampling))
        else:
            look = redraw(opened.look, sampling)
            drawer.opened = replace(opened, look=look, sampling=sampling, note="")
        return self.show_choice(session, language_of(request))

    def tell(self, session: Session, sentence: str, request: gr.Request) -> Updates:
        """The choice with a sentence above it."""
        drawer = drawer_of(session)
        if drawer.opened is not None:
            drawer.opened = replace(drawer.opened, note=sentence)
        return self.show_choice(session, language_of(request))

    def _answer(
        self,
        session: Session,
        opened: Opened,
        reading: Reading,
        request: gr.Request,
        whole: bool = True,
    ) -> Updates:
        """Keep what was read and show it, unless somebody has gone on to something else."""
        if reading.is_set():
            return {self.text: gr.skip()}
        if not _stands(session, opened):
            return self.close(session)
        drawer_of(session).opened = opened
        show = self.show if whole else self.show_choice
        return show(session, language_of(request))


def choose_reader(live: Live, other: Live | None, exact: bool) -> tuple[LensSide, str]:
    """Who reads a side's text, and why where it is not its own model.

    A server tells no probabilities: then the other side's model reads if it runs here, else the
    embedded one.
    """
    if live.generation is None or not is_hosted(live.ask.model_name):
        return LensSide.of(live.ask, live.generation, exact), ""
    beside = other is not None and not is_hosted(other.ask.model_name)
    reader = other.ask.model if other is not None and beside else DEFAULT_MODEL
    ask = replace(live.ask, model=reader)
    side = LensSide.of(ask, replace(live.generation, token_ids=()), exact)
    return side, explain_reader(live.ask.model, reader)


def _begin_reading(session: Session) -> Reading:
    """A look that the page waits for from now on; the one before it is stopped."""
    reading = Reading()
    if before := session.runs.get(PLACE):
        before.stop()
    session.runs[PLACE] = reading  # type: ignore[assignment]  # all that a session does is stop it
    return reading


def _stands(session: Session, opened: Opened) -> bool:
    """Whether the text is still the one on its side, for all to see."""
    shown: Mapping[str, Live] = session.shown.get(COMPARE, {})
    return shown.get(opened.side) is opened.live and not booth_of(session).covered


def _has_text(generation: Generation | None) -> bool:
    return generation is not None and bool(generation.token_ids or generation.text)


def whole_number(value: object) -> int:
    """A number that the page's script sent; -1, which is no position and no token, for others."""
    try:
        return int(str(value))
    except ValueError:
        return -1
