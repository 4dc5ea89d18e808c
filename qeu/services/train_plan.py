"""What a training run would learn from, counted before it starts; trains nothing."""

import hashlib
import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from qeu.backends.catalog import find_model
from qeu.backends.memory_estimate import MemoryEstimate, shape_of
from qeu.backends.model_shape import ModelShape
from qeu.backends.precision import read_machine
from qeu.backends.train_model import machine_problems
from qeu.backends.training_encoder import find_base, linear_layers, open_encoder
from qeu.backends.wheel import FetchStopped
from qeu.backends.wheel import Progress as Fetched
from qeu.core.errors import QeuError
from qeu.core.length_stats import Histogram, make_histogram
from qeu.core.packing import count_packs
from qeu.core.settings import Settings
from qeu.core.training_example import LOSSES, Encode
from qeu.services.shipped_data import open_dataset
from qeu.services.train_count import Count, count_examples
from qeu.services.train_data import choose_watched, keep_common
from qeu.services.train_notes import data_problems, length_to_keep, plan_notes, watch_problems
from qeu.services.train_order import (
    TrainOrder,
    disk_bytes,
    disk_problems,
    estimate_run,
    free_bytes,
    name_problems,
    shape_problems,
)
from qeu.services.train_time import (
    NOT_KNOWN,
    estimate_seconds,
    find_speed,
    probed_speed,
)
from qeu.store.changes import Progress
from qeu.store.datasets import Dataset
from qeu.store.matching import matching_ids
from qeu.store.queries import load_records
from qeu.store.workspace import Workspace

BOUNDS = (0, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
# Why a record is left out of twins, beside core's own reasons: not all of them can learn it.
NOT_IN_TWINS = "not_in_twins"


@dataclass(frozen=True)
class ExampleRef:
    """An example to look at: `which` is shortest, median, longest or random; `id` its record's."""

    which: str
    id: int
    seq: str
    tokens: int


@dataclass(frozen=True)
class TrainPlan:
    """What is known of a run before it starts; lengths are of whole examples, in tokens.

    `left_out` {why: records} by LEFT_OUT. `cuts` {length: {what is lost: examples}} by LOSSES,
    over all records that could be learned from; those with nothing left at the chosen length are
    no `examples`. `rows` are those of one pass (several examples each, where packed), `learned`
    the tokens with a loss at the chosen length. `order` has its steps resolved. `time_s` is for
    all steps, as `time_source` says; None where nobody knows. `validation` records are watched.
    `train_ids` and `watched_ids` are the records of both, `pass_tokens` what one pass takes.
    """

    order: TrainOrder
    matched: int = 0
    examples: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    field_tokens: dict[str, int] = field(default_factory=dict)
    learned: int = 0
    lengths: Histogram = make_histogram(())
    cuts: dict[int, dict[str, int]] = field(default_factory=dict)
    keep_length: int = 0
    shown: tuple[ExampleRef, ...] = ()
    rows: int = 0
    pass_tokens: int = 0
    time_s: float | None = None
    time_source: str = NOT_KNOWN
    validation: int = 0
    memory: MemoryEstimate | None = None
    disk_bytes: int | None = None
    free_bytes: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    train_ids: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    watched_ids: tuple[int, ...] = field(default=(), repr=False)

    @property
    def epochs(self) -> float:
        """Passes over the examples that the steps make."""
        per_epoch = self.order.steps_per_epoch(self.rows) if self.rows else 0
        return self.order.training.steps / per_epoch if per_epoch else 0.0

    def to_json(self) -> dict[str, object]:
        """Plain values; `settings` are those of the run's passport."""
        memory = self.memory and asdict(self.memory) | {"total": self.memory.total}
        return {
            "settings": self.order.passport(self.examples).to_json(),
            "filter": self.order.where.to_json(),
            "matched": self.matched,
            "examples": self.examples,
            "left_out": self.left_out,
            "reasoning_dropped": self.dropped,
            "tokens": sum(self.field_tokens.values()),
            "learned_tokens": self.learned,
            "tokens_by_field": self.field_tokens,
            "lengths": self.lengths.to_json(),
            "cut_at": {str(length): found for length, found in self.cuts.items()},
            "keep_length": self.keep_length,
            "shown": [asdict(one) for one in self.shown],
            "rows": self.rows,
            "steps": self.order.training.steps,
            "epochs": round(self.epochs, 2),
            "validation": self.validation,
            "time_s": self.time_s and round(self.time_s, 1),
            "time_source": self.time_source,
            "memory_bytes": memory,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def plan_order(
    workspace: Workspace,
    order: TrainOrder,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
    on_fetch: Callable[[Fetched], None] = lambda _: None,
) -> TrainPlan:
    """The plan of an order over the base that it names; all its linear layers, if it names none.

    A base that cannot be trained or is not here is one of the plan's problems. Raises QeuError
    where there is no such data set, `Stopped` or FetchStopped when `stop` is set.
    """
    plan = _plan_over_base(workspace, order, settings, progress, stop, on_fetch)
    wrong = _machine_problems(plan.order, settings)
    return replace(plan, problems=(*plan.problems, *wrong)) if wrong else plan


def _plan_over_base(
    workspace: Workspace,
    order: TrainOrder,
    settings: Settings,
    progress: Progress,
    stop: threading.Event | None,
    on_fetch: Callable[[Fetched], None],
) -> TrainPlan:
    dataset = open_dataset(workspace, order.dataset)
    try:
        card = find_model(order.base)
    except QeuError as error:
        return _plan_without_base(order, settings.adapters, None, str(error))
    try:
        weights = find_base(card, settings.cache_dir, on_fetch, stop)
        encoder = open_encoder(weights)
    except FetchStopped:
        raise
    except QeuError as error:
        return _plan_without_base(order, settings.adapters, shape_of(card), str(error))
    if not order.lora.target_modules:
        layers = linear_layers(weights)
        order = replace(order, lora=replace(order.lora, target_modules=layers))
    shape = shape_of(weights) or shape_of(card)
    return plan_training(
        workspace, dataset, order, encoder, encoder.end_id, settings.adapters, shape, progress, stop
    )


def plan_training(
    workspace: Workspace,
    dataset: Dataset,
    order: TrainOrder,
    encode: Encode,
    end_id: int,
    adapters: Path,
    shape: ModelShape | None = None,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> TrainPlan:
    """The plan of an order whose base is here; `adapters` is the folder that it would go to.

    Nothing is counted where the settings themselves make no sense; `problems` then says why.
    Raises `Stopped` when `stop` is set. Reads record by record, however many there are.
    """
    free = free_bytes(adapters)
    wrong = order.problems()
    outside = name_problems(adapters, order.name) + shape_problems(order, shape)
    if wrong:
        return TrainPlan(order, free_bytes=free, problems=(*wrong, *outside))
    ids = matching_ids(workspace, dataset, order.where)
    count = count_examples(workspace, ids, order, encode, end_id, progress, stop)
    left_out = dict(count.left_out) | _named("nothing_left", len(count.nothing_left))
    if order.twins or order.variant.reasoning == "shuffled":
        # whose reasoning a record gets is drawn among those that learn, so they are known first
        kept = keep_common(workspace, ids, order, encode, end_id, stop)
        why = NOT_IN_TWINS if order.twins else "no_other"
        if fewer := len(count.learnable) - len(kept):
            left_out[why] = left_out.get(why, 0) + fewer
        count = count_examples(workspace, kept, order, encode, end_id, progress, stop)
    watched = choose_watched(workspace, dataset, order, count.learnable, encode, end_id, stop)
    limit = order.training.max_length
    lengths = [n for n, id_ in zip(count.lengths, count.ids, strict=True)
               if id_ not in count.nothing_left]  # fmt: skip
    rows = count_packs(lengths, limit) if order.training.packing else len(lengths)
    order = order.resolve_steps(rows)
    needed, speed = disk_bytes(order, shape), find_speed(adapters, order)
    # so many passes can make more steps than a run may have
    wrong = order.training.problems() + outside
    wrong += data_problems(dataset, len(ids), len(lengths)) + disk_problems(needed, free)
    wrong += watch_problems(order, watched)
    return TrainPlan(
        order=order,
        matched=len(ids),
        examples=len(lengths),
        left_out=left_out,
        dropped=count.dropped,
        field_tokens=dict(count.fields.most_common()),
        learned=count.learned,
        lengths=make_histogram(count.lengths, BOUNDS),
        cuts={at: {name: c[name] for name in LOSSES if c[name]} for at, c in count.cuts.items()},
        keep_length=length_to_keep(count.lengths),
        shown=tuple(_choose_examples(workspace, count, order.variant.seed)),
        rows=rows,
        pass_tokens=count.tokens(limit),
        time_s=estimate_seconds(order, rows, count.tokens(limit), speed),
        time_source=speed.source if speed else NOT_KNOWN,
        validation=len(watched.ids),
        memory=estimate_run(order, shape, max(count.lengths, default=0)),
        disk_bytes=needed,
        free_bytes=free,
        problems=tuple(wrong),
        notes=tuple(plan_notes(order, count, watched)),
        train_ids=count.learnable,
        watched_ids=watched.ids,
    )


def with_probe(plan: TrainPlan, tokens_per_s: float) -> TrainPlan:
    """The plan with the time that follows from a step tried just now."""
    speed = probed_speed(tokens_per_s)
    seconds = estimate_seconds(plan.order, plan.rows, plan.pass_tokens, speed)
    return replace(plan, time_s=seconds, time_source=speed.source)


def _machine_problems(order: TrainOrder, settings: Settings) -> list[str]:
    """What this machine cannot train with; nothing where the settings make no sense anyway."""
    if order.problems():
        return []
    try:
        machine = read_machine(settings.device)
    except QeuError as error:
        return [str(error)]
    return machine_problems(order.lora, order.training, machine.device == "cuda")


def _plan_without_base(
    order: TrainOrder, adapters: Path, shape: ModelShape | None, why: str
) -> TrainPlan:
    """What can be said without a tokenizer: the settings' own faults, memory and disk."""
    modules = order.lora.target_modules or ("all-linear",)
    order = replace(order, lora=replace(order.lora, target_modules=modules))
    free = free_bytes(adapters)
    wrong = order.problems()
    outside = [*name_problems(adapters, order.name), *shape_problems(order, shape), why]
    if wrong:
        return TrainPlan(order, free_bytes=free, problems=(*wrong, *outside))
    needed = disk_bytes(order, shape)
    outside += disk_problems(needed, free)
    memory = estimate_run(order, shape, order.training.max_length)
    return TrainPlan(
        order, memory=memory, disk_bytes=needed, free_bytes=free, problems=tuple(outside)
    )


def _choose_examples(workspace: Workspace, count: Count, seed: int) -> Iterator[ExampleRef]:
    """Shortest, median, longest and one by chance, the same for the same seed."""
    if not count.ids:
        return
    order = sorted(range(len(count.ids)), key=lambda at: (count.lengths[at], at))
    draw = int.from_bytes(hashlib.sha256(f"example:{seed}".encode()).digest()[:8])
    places = {
        "shortest": order[0],
        "median": order[len(order) // 2],
        "longest": order[-1],
        "random": draw % len(count.ids),
    }
    for which, at in places.items():
        for stored in load_records(workspace, [count.ids[at]]):
            yield ExampleRef(which, stored.id, stored.record.seq, count.lengths[at])


def _named(name: str, number: int) -> dict[str, int]:
    return {name: number} if number else {}
