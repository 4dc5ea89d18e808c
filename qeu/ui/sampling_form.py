"""The sampling controls, built from the settings' own limits, and read back as settings."""

from collections.abc import Mapping
from dataclasses import fields

import gradio as gr

from qeu.core.sampling import Sampling
from qeu.ui.context import Words

# What a slider shows at most; any value within the settings' limits can be typed.
SLIDER_TOP = {"temperature": 2.0, "top_k": 200, "max_new_tokens": 1024}


class SamplingForm:
    """One set of controls; `controls` by setting name."""

    def __init__(self, say: Words, prefix: str) -> None:
        default = Sampling()
        self._say = say
        self.controls: dict[str, gr.components.Component] = {}
        for f in fields(Sampling):
            label, info = say(f"sampling.{f.name}"), say(f"sampling.{f.name}.help")
            common = {"label": label, "info": info, "elem_id": f"{prefix}-{f.name}"}
            if f.name == "greedy":
                control = gr.Checkbox(value=False, **common)
            elif f.name == "seed":
                control = gr.Number(value=default.seed, precision=0, minimum=0, **common)
            else:
                top = SLIDER_TOP.get(f.name, f.metadata["high"])
                control = gr.Slider(
                    f.metadata["low"],
                    top,
                    value=getattr(default, f.name),
                    step=f.metadata["step"],
                    buttons=[],
                    **common,
                )
            self.controls[f.name] = control

    def components(self) -> list[gr.components.Component]:
        """All controls, in the order of the settings."""
        return list(self.controls.values())

    def read(self, data: Mapping[object, object]) -> Sampling:
        """The settings as they stand; raises UsageError naming every value out of its limits."""
        values = {name: data[control] for name, control in self.controls.items()}
        return Sampling.from_json(values)

    def fill(self, sampling: Sampling) -> dict[object, object]:
        """Updates that show these settings."""
        return {control: getattr(sampling, name) for name, control in self.controls.items()}

    def show_notes(self, notes: Mapping[str, tuple[str, bool]]) -> dict[object, object]:
        """Updates that give each setting its own info, or the note (word, stays enabled) on it."""
        updates: dict[object, object] = {}
        for name, control in self.controls.items():
            key, enabled = notes.get(name, (f"sampling.{name}.help", True))
            updates[control] = gr.update(interactive=enabled, info=self._say(key))
        return updates
