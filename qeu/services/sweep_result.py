"""The result of a sweep as far as it is: its cells, what is best, its heat maps, its texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.sampling import Sampling
from qeu.core.sweep_cells import Setting, SweepCell
from qeu.core.sweep_map import HeatMap, make_map, suggest_axes
from qeu.core.sweep_measures import BY_NAME, MEASURES, Estimate, Sample, estimate, unit_for
from qeu.core.sweep_spec import AxisValue, SweepSpec
from qeu.core.sweep_verdict import Best, find_best
from qeu.core.text import one_line
from qeu.store.generations import find_generations
from qeu.store.sweeps import get_sweep, read_cells, read_material
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class CellResult:
    """A whole cell: how it was really asked, its samples, its means by measure.

    `role`, `target` and `layout` are those in force, where the setting leaves them open.
    """

    cell: SweepCell
    role: str
    target: str
    layout: str
    samples: tuple[Sample, ...]
    estimates: Mapping[str, Estimate]

    @property
    def number(self) -> int:
        """Its place in the sweep, from 1."""
        return self.cell.number

    @property
    def failed(self) -> dict[str, int]:
        """Why texts are missing, with their number."""
        return dict(Counter(sample.error for sample in self.samples if sample.error))

    def to_json(self) -> dict[str, object]:
        """Plain values, without the samples."""
        return {
            "cell": self.number,
            **self.cell.setting.to_json(),
            "asked_role": self.role,
            "asked_target": self.target,
            "asked_layout": self.layout,
            "texts": len(self.samples),
            "combinations": [list(one) for one in self.cell.combinations],
            "measures": {name: one.to_json() for name, one in self.estimates.items()},
            "failed": self.failed,
        }


@dataclass(frozen=True)
class CellText:
    """One text of a cell to be read; `generation` None where there is none (see the sample)."""

    record: Record
    sample: Sample
    generation: Generation | None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        made = self.generation
        return {
            "prompt": self.sample.prompt + 1,
            "seq": self.record.seq,
            "question": self.record.question,
            "seed": self.sample.seed,
            "reasoning": made.reasoning if made else "",
            "answer": made.answer if made else "",
            "finish_reason": self.sample.finish_reason,
            "values": dict(self.sample.values),
            "error": self.sample.error,
            "key": self.sample.key,
        }


@dataclass(frozen=True)
class Sweep:
    """A sweep and its whole cells; `total` is how many cells there are in all, 0 if unknown yet.

    `matching` is how many records matched, of which `records` were drawn.
    """

    number: int
    at: str
    title: str
    state: str
    spec: SweepSpec
    records: tuple[Record, ...]
    matching: int
    total: int
    cells: tuple[CellResult, ...]
    _best: dict[str, Best] = field(default_factory=dict, repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """Whether every cell is whole."""
        return bool(self.total) and len(self.cells) >= self.total

    @property
    def unit(self) -> str:
        """What counts as one for intervals and tests: "prompt" or "text"."""
        return unit_for(len(self.records))

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures that any cell has."""
        there = {name for cell in self.cells for name in cell.estimates}
        return tuple(measure.name for measure in MEASURES if measure.name in there)

    def cell(self, number: int) -> CellResult:
        """A whole cell; raises QeuError where it is not there."""
        found = next((cell for cell in self.cells if cell.number == number), None)
        if found is None:
            raise QeuError(
                f"Sweep {self.number} has no finished cell {number}. Its cells are numbered from "
                f"1; {len(self.cells):,} of {self.total:,} are finished."
            )
        return found

    def best(self, measure: str) -> Best:
        """The best cell of a measure, and whether it can be told from the next best."""
        if measure not in self._best:
            samples = {cell.number: cell.samples for cell in self.cells}
            steady = {c.number for c in self.cells if c.cell.setting.sampling.is_greedy}
            self._best[measure] = find_best(samples, measure, self.unit, steady)
        return self._best[measure]

    def heat_map(
        self,
        measure: str,
        row_axis: str | None = None,
        column_axis: str | None = None,
        fixed: Mapping[str, AxisValue] | None = None,
    ) -> HeatMap:
        """The heat map of a measure; axes that are not named are the two of most values.

        Raises UsageError for what the sweep does not have.
        """
        row, column = suggest_axes(self.spec)
        if row_axis is not None and column_axis is None:
            column = next((name for name in (column, row) if name != row_axis), "")
        if column_axis is not None and row_axis is None:
            row = next((name for name in (row, column) if name != column_axis), "")
        row = row if row_axis is None else row_axis
        column = column if column_axis is None else column_axis
        estimates = {cell.number: cell.estimates for cell in self.cells}
        cells = [cell.cell for cell in self.cells]
        return make_map(self.spec, cells, estimates, measure, row, column, fixed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the figures, a sentence each."""
        return tuple(_notes(self))

    def to_json(self) -> dict[str, object]:
        """Plain values, without the texts."""
        return {
            "sweep": self.number,
            "at": self.at,
            "state": self.state,
            "spec": self.spec.to_json(),
            "prompts": len(self.records),
            "matching": self.matching,
            "combinations": self.spec.combinations,
            "cells": self.total,
            "unit": self.unit,
            "results": [cell.to_json() for cell in self.cells],
            "best": [self.best(name).to_json() for name in self.measures if BY_NAME[name].better],
            "notes": list(self.notes),
        }


def read_sweep(workspace: Workspace, number: int) -> Sweep:
    """A sweep with the cells that are whole; raises QeuError where there is none."""
    stored = get_sweep(workspace, number)
    spec = SweepSpec.from_json(stored.asked)
    prompts, matching = read_material(workspace, number)
    records = tuple(map(Record.from_json, prompts))
    unit = unit_for(len(records))
    cells = tuple(load_cell(at, data, unit) for at, data in read_cells(workspace, number).items())
    return Sweep(
        number, stored.at, stored.title, stored.state, spec, records, matching, stored.cells, cells
    )


def read_cell(workspace: Workspace, number: int, cell: int) -> tuple[CellResult, list[CellText]]:
    """A cell with its texts, by prompt and seed; raises QeuError where it is not whole yet."""
    stored = get_sweep(workspace, number)
    prompts, _ = read_material(workspace, number)
    found = read_cells(workspace, number, cell)
    if not found:
        raise QeuError(
            f"Sweep {number} has no finished cell {cell}. Its cells are numbered from 1; "
            f"{stored.done:,} of {stored.cells:,} are finished."
        )
    result = load_cell(cell, found[cell], unit_for(len(prompts)))
    made = find_generations(workspace, [one.key for one in result.samples if one.key])
    texts = [
        CellText(Record.from_json(prompts[one.prompt]), one, made.get(one.key))
        for one in sorted(result.samples, key=lambda one: (one.prompt, one.seed))
    ]
    return result, texts


def dump_cell(
    cell: SweepCell, role: str, target: str, layout: str, samples: Sequence[Sample]
) -> dict[str, object]:
    """A whole cell as it is kept; each sample is a short list, for there may be many."""
    names = list(BY_NAME)
    return {
        "setting": cell.setting.to_json(),
        "seeds": cell.seeds,
        "combinations": [list(one) for one in cell.combinations],
        "asked": [role, target, layout],
        "measures": names,
        "samples": [
            [
                one.prompt, one.seed, one.key, one.finish_reason, one.error,
                *(_short(one.values.get(name)) for name in names),
            ]
            for one in samples
        ],
    }  # fmt: skip


def load_cell(number: int, data: Mapping[str, object], unit: str) -> CellResult:
    """The cell again; raises QeuError where another version kept it."""
    try:
        setting = dict(data["setting"])  # type: ignore[call-overload]
        setting["sampling"] = Sampling.from_json(setting["sampling"])
        cell = SweepCell(
            number, Setting(**setting), int(data["seeds"]),  # type: ignore[call-overload]
            tuple(map(tuple, data["combinations"])),  # type: ignore[call-overload]
        )  # fmt: skip
        names = data["measures"]
        samples = tuple(
            Sample(prompt, seed, key, finish, _values(names, values), error)
            for prompt, seed, key, finish, error, *values in data["samples"]  # type: ignore[attr-defined]
        )
        role, target, layout = data["asked"]  # type: ignore[misc]
    except (KeyError, TypeError, ValueError) as error:
        raise QeuError(
            "A kept sweep is of another version and cannot be shown. Order it again: texts that "
            "were written are kept."
        ) from error
    return CellResult(cell, role, target, layout, samples, estimate(samples, unit))


def _values(names: object, values: Sequence[float | None]) -> dict[str, float | None]:
    pairs = zip(names, values, strict=True)  # type: ignore[call-overload]
    return {name: value for name, value in pairs if value is not None and name in BY_NAME}


def _short(value: float | None) -> float | int | None:
    if value is None:
        return None
    return int(value) if value == int(value) else round(value, 6)


def _notes(sweep: Sweep) -> list[str]:
    notes = []
    records, done = len(sweep.records), len(sweep.cells)
    if sweep.total and done < sweep.total:
        notes.append(f"{done:,} of {sweep.total:,} cells are finished.")
    if records < sweep.matching:
        notes.append(f"{records:,} of {sweep.matching:,} matching records were drawn.")
    same = sum(len(cell.cell.combinations) - 1 for cell in sweep.cells)
    if same:
        notes.append(
            f"Combinations that ask the very same as another one are shown once ({same:,}). Where "
            "nothing is drawn, as at temperature 0, top-p, top-k, min-p and seed change nothing."
        )
    if sweep.unit == "text" and sweep.cells:
        notes.append(
            "With so few prompts every text counts as one: what is told holds for these prompts "
            "alone."
        )
    failed: Counter[str] = Counter()
    for cell in sweep.cells:
        failed.update(cell.failed)
    for why, count in failed.items():
        notes.append(" ".join((f"Missing texts: {count:,}.", one_line(why, 300))))
    return notes
