"""How a sweep is looked at: which measure, which axes, what the others are held at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from qeu.core.errors import UsageError
from qeu.core.sweep_map import suggest_axes
from qeu.services.sweep_result import Sweep

# What is looked at first, where a sweep has it.
_FIRST_MEASURES = ("right", "contract", "loop", "reference")


@dataclass(frozen=True)
class Look:
    """The choices beside a heat map; "" of measure and axes is what suits the sweep.

    `fixed` are axes held at one of their values, by its place. `cell` is the number of the one
    that is read, 0 for none.
    """

    measure: str = ""
    row: str = ""
    column: str = ""
    fixed: Mapping[str, int] = field(default_factory=dict)
    cell: int = 0

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> "Look":
        """The look again; a fresh one for what is none."""
        return cls(**data) if isinstance(data, dict) else cls()

    def reading(self, cell: int) -> "Look":
        """The same with this cell read."""
        return replace(self, cell=cell)

    def settled(self, sweep: Sweep) -> "Look":
        """The same with what suits this sweep where something is open or is not of this sweep."""
        measure = self.measure
        if measure not in sweep.measures:
            wanted = (*_FIRST_MEASURES, *sweep.measures)
            found = [name for name in wanted if name in sweep.measures]
            # what is the same everywhere is no first sight
            telling = (name for name in found if _varies(sweep, name))
            measure = next(telling, found[0] if found else wanted[0])
        varied, axes = sweep.spec.varied, sweep.spec.axes
        row, column = suggest_axes(sweep.spec)
        if {self.row, self.column} <= set(varied) and self.row != self.column:
            row, column = self.row, self.column
        fixed = {
            name: at
            for name, at in self.fixed.items()
            if name in varied and name not in (row, column) and 0 <= at < len(axes[name])
        }
        return replace(self, measure=measure, row=row, column=column, fixed=fixed)


def _varies(sweep: Sweep, measure: str) -> bool:
    values = {cell.estimates[measure].value for cell in sweep.cells if measure in cell.estimates}
    return len(values) > 1


def change_look(sweep: Sweep, look: Look, do: str, value: str) -> Look:
    """The look after a choice: "measure", "row", "column", or "fix" with "AXIS:PLACE" (-1: mean).

    An axis that stood at the other edge changes places. Raises UsageError for what is none.
    """
    look = look.settled(sweep)
    if do == "measure" and value in sweep.measures:
        return replace(look, measure=value)
    if do in ("row", "column") and value in sweep.spec.varied:
        other = {"row": "column", "column": "row"}[do]
        moved = {do: value}
        if getattr(look, other) == value:
            moved[other] = getattr(look, do)
        return replace(look, **moved).settled(sweep)
    name, _, place = value.rpartition(":")
    if do == "fix" and name in sweep.spec.varied:
        fixed = {axis: at for axis, at in look.fixed.items() if axis != name}
        if place.isdecimal():
            fixed[name] = int(place)
        return replace(look, fixed=fixed).settled(sweep)
    raise UsageError(f"The sweep has no {do} {value!r}. Choose one of those shown.")
