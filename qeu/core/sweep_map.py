"""The heat map of a sweep: two axes, one measure; other axes are fixed or averaged over."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from qeu.core.errors import UsageError
from qeu.core.sweep_cells import SweepCell
from qeu.core.sweep_measures import BY_NAME, Estimate
from qeu.core.sweep_spec import GRID_FIELDS, AxisValue, SweepSpec


@dataclass(frozen=True)
class MapCell:
    """One field of the map: the mean over its `cells` (numbers; several where axes are averaged).

    `value` is None where none of them has the measure. The interval and `n` are those of a cell
    that stands alone.
    """

    cells: tuple[int, ...]
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True)
class HeatMap:
    """`fields[row][column]`, None where no cell stands yet; `low` and `high` are of all values.

    `rows` and `columns` are the values of their axes; an axis "" has one value, "". `fixed` are
    the axes held at one value; the other varied ones, `averaged`, are averaged over.
    """

    measure: str
    row_axis: str
    column_axis: str
    rows: tuple[AxisValue, ...]
    columns: tuple[AxisValue, ...]
    fields: tuple[tuple[MapCell | None, ...], ...]
    fixed: Mapping[str, AxisValue]
    averaged: tuple[str, ...]
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"fixed": dict(self.fixed)}


def suggest_axes(spec: SweepSpec) -> tuple[str, str]:
    """(row, column): the two varied axes of most values, sampling settings on the columns first.

    "" where fewer than two axes are varied.
    """
    axes = spec.axes
    order = sorted(spec.varied, key=lambda name: -len(axes[name]))[:2]
    # of two, a sampling setting reads better along the columns
    order.sort(key=lambda name: name in GRID_FIELDS)
    return ("", order[0]) if len(order) == 1 else (order[0], order[1]) if order else ("", "")


def make_map(
    spec: SweepSpec,
    cells: Sequence[SweepCell],
    estimates: Mapping[int, Mapping[str, Estimate]],
    measure: str,
    row_axis: str,
    column_axis: str,
    fixed: Mapping[str, AxisValue] | None = None,
) -> HeatMap:
    """The map of one measure; `estimates` are by cell and measure, as far as they are known.

    Raises UsageError for a measure, an axis or a value that the sweep does not have.
    """
    fixed = dict(fixed or {})
    _check(spec, measure, row_axis, column_axis, fixed)
    axes = spec.axes
    places = {name: at for at, name in enumerate(axes)}
    rows, columns = axes.get(row_axis, ("",)), axes.get(column_axis, ("",))
    found: dict[tuple[AxisValue, AxisValue], dict[int, Estimate | None]] = {}
    for cell in cells:
        if cell.number not in estimates:
            continue
        for combination in cell.combinations:
            if all(combination[places[name]] == value for name, value in fixed.items()):
                row = combination[places[row_axis]] if row_axis else ""
                column = combination[places[column_axis]] if column_axis else ""
                one = estimates[cell.number].get(measure)
                found.setdefault((row, column), {})[cell.number] = one
    fields = tuple(
        tuple(_field(found[row, column]) if (row, column) in found else None for column in columns)
        for row in rows
    )
    values = [one.value for line in fields for one in line if one and one.value is not None]
    shown = {row_axis, column_axis, *fixed}
    return HeatMap(
        measure, row_axis, column_axis, rows, columns, fields, fixed,
        tuple(name for name in spec.varied if name not in shown),
        min(values, default=None), max(values, default=None),
    )  # fmt: skip


def _field(found: Mapping[int, Estimate | None]) -> MapCell:
    there = [one for one in found.values() if one is not None]
    numbers = tuple(found)
    if not there:
        return MapCell(numbers, None)
    value = sum(one.value for one in there) / len(there)
    if len(found) > 1:
        return MapCell(numbers, value)
    return MapCell(numbers, value, there[0].low, there[0].high, there[0].n)


def _check(
    spec: SweepSpec, measure: str, row: str, column: str, fixed: Mapping[str, AxisValue]
) -> None:
    if measure not in BY_NAME:
        raise UsageError(f"Unknown measure {measure!r}. Choose one of: {', '.join(BY_NAME)}.")
    axes = spec.axes
    for name in (row, column, *fixed):
        if name and name not in axes:
            raise UsageError(f"The sweep has no axis {name!r}. Choose from: {', '.join(axes)}.")
    if row and row == column:
        raise UsageError(f"Rows and columns are both {row}. Choose two axes.")
    for name, value in fixed.items():
        if name in (row, column):
            raise UsageError(f"{name} is an axis of the map and cannot be fixed too.")
        if value not in axes[name]:
            shown = ", ".join(map(str, axes[name]))
            raise UsageError(f"{name} has no value {value!r} in this sweep. It has: {shown}.")
