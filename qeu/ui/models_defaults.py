"""The pair of models that a visitor's page begins with, and the line that says why."""

from collections.abc import Mapping

import gradio as gr
from gradio.events import Dependency

from qeu.services.compare import SIDES
from qeu.services.defaults import (
    AdapterChoice,
    Defaults,
    Machine,
    choose_adapter,
    choose_defaults,
    list_adapter_choices,
    look_at_machine,
)
from qeu.ui.compare_actions import PLACE
from qeu.ui.compare_form import SideForm, Updates
from qeu.ui.context import Context
from qeu.ui.markup import escape
from qeu.ui.models_hosted import HostedModels
from qeu.ui.models_pickers import short_label
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
_KEPT, _SHOWN, _LINKED = "defaults", "defaults.shown", "defaults.linked"


class DefaultPair:
    """`preset` is what is known without a network and without looking for a GPU."""

    def __init__(self, context: Context, hosted: HostedModels) -> None:
        self.context, self.hosted = context, hosted
        self.preset = choose_defaults(Machine(), "", self._adapter())

    def of(self, request: gr.Request) -> Defaults:
        """The pair as this visitor's page knows it by now."""
        found = self.context.sessions.of(request).kept.get(_KEPT)
        return found if isinstance(found, Defaults) else self.preset

    def find(self, request: gr.Request) -> Defaults:
        """Look at the machine and at what the visitor's providers told; keep what follows.

        Takes seconds where there is a GPU: torch is imported, and the Hub is asked.
        """
        machine = look_at_machine(self.context.settings, self.context.shelf)
        found = choose_defaults(machine, self.hosted.teacher(request), self._adapter())
        self.context.sessions.of(request).kept[_KEPT] = found
        return found

    def wire(self, sides: Mapping[str, SideForm], line: gr.HTML) -> None:
        """Know the form's sides; `line` says why while the page shows the pair."""
        self.sides, self.line = [sides[name] for name in SIDES], line
        self.models = [side.model_dd for side in self.sides]
        events = [box.change for box in self.models]
        gr.on(events, self.on_line, self.models, line, trigger_mode="always_last", **QUIET)

    def after(self, event: Dependency) -> None:
        """Once an event may have changed what can be asked: choose again, and show it."""
        targets = [side.target_dd for side in self.sides]
        # a step of its own: what the page shows is read when the slow part is over
        event.then(self.on_find, None, None, **QUIET).then(
            self.on_apply, [*self.models, *targets], {*self.models, *targets, self.line}, **QUIET
        )

    def follow_language(self, event: Dependency) -> None:
        """Say the line again in the language just chosen."""
        event.then(self.on_line, self.models, self.line, **QUIET)

    def keep_link(self, request: gr.Request) -> None:
        """The page was opened by a link with settings: they stand."""
        self.context.sessions.of(request).kept[_LINKED] = True

    def on_find(self, request: gr.Request) -> None:
        """The slow part."""
        self.find(request)

    def on_apply(
        self, left: str, right: str, left_target: str, right_target: str, request: gr.Request
    ) -> Updates:
        """Put the pair on the page, unless the visitor has chosen, run or linked something."""
        session, found = self.context.sessions.of(request), self.of(request)
        shown = session.kept.get(_SHOWN, self.preset)
        assert isinstance(shown, Defaults)
        was_used = PLACE in session.runs or session.kept.get(_LINKED)
        updates: Updates = {self.line: gr.skip()}
        if not was_used and (left, right) == (shown.left.model, shown.right.model):
            session.kept[_SHOWN] = found
            sides = (left_target, shown.left, found.left), (right_target, shown.right, found.right)
            for form, (target, old, new) in zip(self.sides, sides, strict=True):
                updates[form.model_dd] = new.model
                if new.target or target == old.target:  # the old one's own, and no other's
                    updates[form.target_dd] = new.target or "answer"
            left, right = found.left.model, found.right.model
        updates[self.line] = self.on_line(left, right, request)
        return updates

    def on_line(self, left: str | None, right: str | None, request: gr.Request) -> str:
        """Why this pair, while it is the one that the page began with; empty otherwise."""
        found = self.of(request)
        is_shown = (left, right) == (found.left.model, found.right.model)
        return line_html(found, language_of(request)) if is_shown else ""

    def _adapter(self) -> AdapterChoice | None:
        return choose_adapter(list_adapter_choices(self.context.settings.adapters))


def line_html(defaults: Defaults, language: str) -> str:
    """Which pair and why, in one line."""
    facts = {
        "left": short_label(defaults.left.model),
        "right": short_label(defaults.right.model),
        **defaults.facts,
    }
    if defaults.why == "no_gpu":
        facts["why"] = text("defaults.why.no_gpu", language)
    elif defaults.why == "no_room":
        facts["why"] = text("defaults.why.no_room", language, **defaults.facts)
    elif defaults.why == "no_weights":
        facts["why"] = text("defaults.why.no_weights", language)
    line = text(_LINES[defaults.code], language, **facts)
    return f'<p class="q-hint">{escape(line)}</p>'


_LINES = {
    "pair": "defaults.pair",
    "pair_fetch": "defaults.pair_fetch",
    "teacher": "defaults.teacher",
    "adapter": "defaults.adapter",
    "alone": "defaults.alone",
}
