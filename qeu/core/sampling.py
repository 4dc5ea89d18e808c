"""The settings that decide which token comes next, with their limits and meanings."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from qeu.core.errors import UsageError
from qeu.core.text import one_line

MAX_SEED = 2**63 - 1


def _setting(default: float | int, help_text: str, low: float, high: float, step: float) -> float:
    """A dataclass field that carries its own help and limits."""
    return field(
        default=default, metadata={"help": help_text, "low": low, "high": high, "step": step}
    )


@dataclass(frozen=True)
class Sampling:
    """How a text is drawn; defaults are the values of the April 2024 bulk run.

    Order of the steps: repetition penalty, temperature, top-k, top-p, min-p, draw.
    """

    temperature: float = _setting(0.3, "Sharpness of the choice; 0 means greedy.", 0, 5, 0.05)
    top_p: float = _setting(0.9, "Keep the likeliest tokens up to this mass; 1 is off.", 0, 1, 0.01)
    top_k: int = _setting(50, "Keep this many of the likeliest tokens; 0 is off.", 0, 1_000, 1)
    min_p: float = _setting(
        0.0, "Drop tokens below this share of the likeliest; 0 is off.", 0, 1, 0.01
    )
    repetition_penalty: float = _setting(
        1.1, "Divide the scores of tokens already used; 1 is off.", 0.5, 2, 0.01
    )
    max_new_tokens: int = _setting(256, "Stop after this many new tokens.", 1, 4_096, 1)
    seed: int = _setting(7, "Start of the random draws: the same seed draws again.", 0, MAX_SEED, 1)
    greedy: bool = field(default=False, metadata={"help": "Always take the likeliest token."})

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn: asked for, or temperature 0."""
        return self.greedy or self.temperature == 0

    def problems(self) -> list[str]:
        """All settings that cannot be meant, each as one sentence with its value and limits."""
        found = []
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "greedy":
                if not isinstance(value, bool):
                    found.append(f"greedy is {value!r}; choose true or false.")
                continue
            low, high = f.metadata["low"], f.metadata["high"]
            whole = f.type in (int, "int")
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            finite = numeric and (isinstance(value, int) or math.isfinite(value))
            if not finite or (whole and value != int(value)):
                shown = one_line(repr(value))
                number = "whole number" if whole else "number"
                found.append(f"{f.name} is {shown}; choose a {number}.")
            elif not low <= value <= high:
                found.append(f"{f.name} is {_show(value)}; choose {_show(low)} to {_show(high)}.")
        return found

    def checked(self) -> "Sampling":
        """The settings with whole numbers as int; raises UsageError naming every problem."""
        if found := self.problems():
            raise UsageError(" ".join(found))
        whole = {f.name: int(getattr(self, f.name)) for f in fields(self) if f.type in (int, "int")}
        return replace(self, **whole)

    def to_json(self) -> dict[str, float | int | bool]:
        """All settings as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Sampling":
        """Settings from plain values; unknown names are refused, missing ones take the default."""
        names = [f.name for f in fields(cls)]
        if unknown := sorted(set(data) - set(names)):
            raise UsageError(f"Unknown setting {unknown[0]!r}. Choose from: {', '.join(names)}.")
        return cls(**data).checked()  # type: ignore[arg-type]


def _show(value: float | int) -> str:
    """The number as a person wrote it; one of hundreds of digits is cut."""
    # 40 digits: more than any limit of ours, less than where Python refuses to print an int
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
