"""Sampling settings that a hosted side's provider does not take: greyed out, with the reason."""

from collections.abc import Mapping

import gradio as gr

from qeu.backends.catalog import is_hosted
from qeu.services.compare import SIDES
from qeu.ui.compare_form import SideForm, Updates
from qeu.ui.context import Words
from qeu.ui.models_hosted import HostedModels
from qeu.ui.sampling_form import SamplingForm

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# Which side ignores a setting while the other one takes it.
_ONE_SIDE = {"left": "sampling.ignored.left", "right": "sampling.ignored.right"}


class SettingsNotes:
    """Keeps the common form and each side's own in step with the models that are chosen."""

    def __init__(
        self,
        say: Words,
        hosted: HostedModels,
        common: SamplingForm,
        exact_cb: gr.Checkbox,
        sides: Mapping[str, SideForm],
        roles_dd: gr.Dropdown,
    ) -> None:
        self.say, self.hosted = say, hosted
        self.common, self.exact_cb, self.sides, self.roles_dd = common, exact_cb, sides, roles_dd

    def wire(self, compare_tab: gr.Tab, roles_tab: gr.Tab) -> None:
        """Look again whenever a model changes, by whatever means, or another tab uses the form."""
        models = [self.sides[name].model_dd for name in SIDES]
        common = {*self.common.components(), self.exact_cb}
        own = {c for side in self.sides.values() for c in side.sampling.components()}
        # not `input`: a link, an example, a swap and the history change models too
        # one listener for all: two would answer in any order, and the older answer could stay
        last = {"trigger_mode": "always_last", **QUIET}
        events = [*(box.change for box in models), compare_tab.select]
        gr.on(events, self.on_sides, models, common | own, **last)
        events = [self.roles_dd.change, roles_tab.select]
        gr.on(events, self.on_roles, self.roles_dd, common, **last)

    def on_sides(self, left: str | None, right: str | None, request: gr.Request) -> Updates:
        """Both sides of Compare: what neither takes is disabled, what one ignores is said."""
        refs = dict(zip(SIDES, ((left or "").strip(), (right or "").strip()), strict=True))
        ignored = {name: self.hosted.ignored(ref, request) for name, ref in refs.items()}
        updates: Updates = {}
        for name, side in self.sides.items():
            notes = dict.fromkeys(ignored[name], ("sampling.ignored", False))
            updates |= side.sampling.show_notes(notes)
        notes = {
            setting: (_ONE_SIDE[name], True) for name in SIDES for setting in ignored[name]
        } | dict.fromkeys(ignored["left"] & ignored["right"], ("sampling.ignored.both", False))
        updates |= self.common.show_notes(notes)
        return updates | self._exact(any(is_hosted(ref) for ref in refs.values()))

    def on_roles(self, model: str | None, request: gr.Request) -> Updates:
        """The one model of the Roles tab."""
        ref = (model or "").strip()
        notes = dict.fromkeys(self.hosted.ignored(ref, request), ("sampling.ignored", False))
        return self.common.show_notes(notes) | self._exact(is_hosted(ref))

    def _exact(self, is_out: bool) -> Updates:
        """A ticked box is unticked where it could only end in a refusal."""
        key = "sampling.exact.hosted" if is_out else "sampling.exact.help"
        shown = gr.update(interactive=not is_out, info=self.say(key))
        return {self.exact_cb: shown | ({"value": False} if is_out else {})}
