"""Run a sweep: every cell's texts are asked for together, measured, and kept cell by cell.

Texts are stored under the hash of their whole request as soon as they are there, as those of
evaluations and jobs: a sweep that was stopped, or cut short by the end of the program, goes on
where it was, and what any other has written is taken.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qeu.backends.engines import Engines
from qeu.backends.shelf import OnProgress
from qeu.core.errors import UsageError
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.sweep_cells import SweepCell
from qeu.core.sweep_measures import Sample, add_own_agreement, measure_sample
from qeu.core.sweep_spec import MOST_TEXTS, SweepSpec
from qeu.core.text import one_line
from qeu.services.evaluate_ask import TOGETHER, Asked, Writer
from qeu.services.sweep_result import Sweep as Sweep
from qeu.services.sweep_result import dump_cell, read_sweep
from qeu.services.sweep_setup import Variant, Variants, gather_prompts, open_variants
from qeu.store.sweeps import (
    FINISHED,
    OPEN,
    add_sweep,
    count_cells,
    get_sweep,
    list_sweeps,
    put_cells,
    read_cells,
    read_material,
    set_sweep_state,
)
from qeu.store.workspace import Workspace

# Fewer texts than this tell nothing about how long others take.
_FEWEST_TEXTS = 8
_Wanted = tuple[int, int, Asked | str]


@dataclass(frozen=True)
class SweepProgress:
    """How far it is: texts that are there of all, cells that are whole of all."""

    done: int
    total: int
    cells_done: int
    cells: int


def order_sweep(workspace: Workspace, spec: SweepSpec) -> int:
    """Keep an order with its prompts as they are now; the same order is the same sweep, goes on.

    The number of the sweep. Raises UsageError for what cannot be meant, QeuError where no record
    matches.
    """
    spec = spec.checked()
    records, matching = gather_prompts(workspace, spec)
    check_size(spec, len(records))
    asked = spec.to_json()
    prompts = [record.to_json() for record in records]
    for one in list_sweeps(workspace):
        if one.asked == asked and read_material(workspace, one.id)[0] == prompts:
            return one.id
    return add_sweep(workspace, title_of(spec), asked, prompts, matching)


def run_sweep(
    engines: Engines,
    workspace: Workspace,
    number: int,
    *,
    progress: Callable[[SweepProgress], None] = lambda progress: None,
    stop: threading.Event | None = None,
    on_load: OnProgress | None = None,
) -> Sweep | None:
    """Run an ordered sweep to its end; None where `stop` came first: what was made is kept.

    Cells that are whole and of the same requests are not touched. Raises QeuError where a model or
    an adapter is not there, and where an engine cannot go on at all.
    """
    stop = stop or threading.Event()
    spec = SweepSpec.from_json(get_sweep(workspace, number).asked)
    records = [Record.from_json(one) for one in read_material(workspace, number)[0]]
    variants = open_variants(engines, spec, records, stop, on_load)
    cells = variants.cells(spec)
    count_cells(workspace, number, len(cells))
    writer = Writer(engines, workspace, spec.exact, stop, on_load)
    run = _Run(workspace, number, spec, variants, records, writer, progress, cells)
    for part in run.parts():
        if stop.is_set() or not run.make(part, stop):
            return None
    set_sweep_state(workspace, number, FINISHED)
    return read_sweep(workspace, number)


class _Run:
    """One run of a sweep, in parts of whole cells."""

    def __init__(
        self,
        workspace: Workspace,
        number: int,
        spec: SweepSpec,
        variants: Variants,
        records: Sequence[Record],
        writer: Writer,
        progress: Callable[[SweepProgress], None],
        cells: Sequence[SweepCell],
    ) -> None:
        self._workspace, self._number, self._spec = workspace, number, spec
        self._variants, self._records, self._writer = variants, records, writer
        self._progress, self._cells = progress, cells
        self._models: dict[str, int] = {}
        self._kept = _kept_keys(workspace, number)
        self._texts = sum(cell.seeds for cell in cells) * len(records)
        self._done = self._cells_done = 0
        self._seconds, self._tokens, self._made = 0.0, 0, 0

    def parts(self) -> Iterator[list[tuple[SweepCell, list[_Wanted]]]]:
        """The cells still to do, so many at once as fill the engine's batches."""
        part: list[tuple[SweepCell, list[_Wanted]]] = []
        size, together = 0, ("", False)
        for cell in sorted(self._cells, key=self._place):
            wanted = self._variants.asked(cell, self._spec.exact)
            if self._kept.get(cell.number) == _keys(wanted):
                self._done += len(wanted)
                self._cells_done += 1
                continue
            if part and (size >= TOGETHER or self._batch(cell) != together):
                yield part
                part, size = [], 0
            part.append((cell, wanted))
            size, together = size + len(wanted), self._batch(cell)
        if part:
            yield part
        self._tell(0)

    def _place(self, cell: SweepCell) -> tuple[int, bool]:
        """Cells of one batch stand together, models in the order they are first named."""
        model, is_wide = self._batch(cell)
        return self._models.setdefault(model, len(self._models)), is_wide

    def _batch(self, cell: SweepCell) -> tuple[str, bool]:
        """(model, whether it draws from the whole vocabulary): what is computed together.

        One row without top-k makes a whole batch rank every token of the vocabulary.
        """
        sampling = cell.setting.sampling
        return self._variant(cell).way.model, not sampling.top_k and not sampling.is_greedy

    def _variant(self, cell: SweepCell) -> Variant:
        found = self._variants.find(cell.setting)
        assert found is not None, cell.setting
        return found

    def make(self, part: Sequence[tuple[SweepCell, list[_Wanted]]], stop: threading.Event) -> bool:
        """Have the texts of these cells written, measure and keep them; False if it was stopped."""
        set_sweep_state(self._workspace, self._number, OPEN)
        asked = [one for _, wanted in part for *_, one in wanted if isinstance(one, Asked)]
        started, known = time.monotonic(), -1

        def tell(done: int) -> None:
            nonlocal known
            known = done if known < 0 else known
            self._tell(done)

        texts = self._writer.write(asked, tell)
        self._measure_pace(asked, len(texts) - max(known, 0), time.monotonic() - started)
        found = {}
        for cell, wanted in part:
            if any(key not in texts for key in filter(None, _keys(wanted))):
                continue  # it was stopped before all were there
            found[cell.number] = self._cell(cell, wanted, texts)
            self._done += len(wanted)
            self._cells_done += 1
        pace = self._seconds / self._tokens if self._made >= _FEWEST_TEXTS else 0.0
        there = put_cells(self._workspace, self._number, found, pace)
        self._tell(0)
        # a sweep that was deleted meanwhile has nothing to go on with
        return there and not stop.is_set()

    def _cell(
        self, cell: SweepCell, wanted: Sequence[_Wanted], texts: Mapping[str, Generation]
    ) -> dict[str, object]:
        asking = self._variant(cell).way.asking
        samples = [
            _sample(self._records[prompt], prompt, seed, one, texts, asking.target)
            for prompt, seed, one in wanted
        ]
        words = {key: texts[key].text for *_, one in wanted if (key := _key(one)) in texts}
        samples = add_own_agreement(samples, words)
        return dump_cell(cell, asking.role.id, asking.target, asking.layout, samples)

    def _measure_pace(self, asked: Sequence[Asked], made: int, seconds: float) -> None:
        """By the tokens that texts could have had; a part of which nothing was made tells none."""
        if made > 0:
            mean = sum(one.sampling.max_new_tokens for one in asked) / len(asked)
            self._seconds += seconds
            self._tokens += round(mean * made)
            self._made += made

    def _tell(self, more: int) -> None:
        self._progress(
            SweepProgress(self._done + more, self._texts, self._cells_done, len(self._cells))
        )


def check_size(spec: SweepSpec, prompts: int) -> None:
    """Raises UsageError where so many prompts make more texts than a sweep may have."""
    texts = spec.combinations * spec.seeds * prompts
    if texts > MOST_TEXTS:
        raise UsageError(
            f"The sweep would write up to {texts:,} texts; at most {MOST_TEXTS:,} are written at "
            "once. Name fewer values, seeds or prompts."
        )


def title_of(spec: SweepSpec) -> str:
    """The varied axes with their values, in few words."""
    parts = [one_line(", ".join(spec.models), 60)]
    for name in spec.varied:
        if name != "model":
            shown = ", ".join(f"{v:g}" if not isinstance(v, str) else v for v in spec.axes[name])
            parts.append(one_line(f"{name} {shown}", 60))
    return " · ".join(parts)


def _kept_keys(workspace: Workspace, number: int) -> dict[int, tuple[str, ...]]:
    """The requests of each whole cell; a cell of which a text failed is made again."""
    found = {}
    for at, data in read_cells(workspace, number).items():
        samples = data["samples"]
        if not any(sample[4] and sample[2] for sample in samples):  # type: ignore[attr-defined]
            found[at] = tuple(sample[2] for sample in samples)  # type: ignore[attr-defined]
    return found


def _keys(wanted: Sequence[_Wanted]) -> tuple[str, ...]:
    return tuple(_key(one) for *_, one in wanted)


def _key(one: Asked | str) -> str:
    return one.key if isinstance(one, Asked) else ""


def _sample(
    record: Record,
    prompt: int,
    seed: int,
    one: Asked | str,
    texts: Mapping[str, Generation],
    target: str,
) -> Sample:
    if isinstance(one, str):
        return Sample(prompt, seed, "", error=one)
    made = texts.get(one.key)
    if made is None or made.finish_reason == "error":
        why = made.error if made else ""
        return Sample(prompt, seed, one.key, error=why or "The engine gave no text and no reason.")
    values = measure_sample(record, made, target)
    return Sample(prompt, seed, one.key, made.finish_reason, values)
