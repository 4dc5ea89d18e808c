"""An order as the command that starts the very same run, to be copied into a terminal."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from qeu.core.roles import BY_CATEGORY, ROLES, Role
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.train_switches import (
    LORA_OPTIONS,
    TRAINING_OPTIONS,
    TRAINING_SWITCHES,
    VARIANT_OPTIONS,
    WATCH_OPTIONS,
    default_alpha,
    default_double,
)
from qeu.core.training_variant import Variant
from qeu.services.train_order import TrainOrder
from qeu.store.filters import Filter
from qeu.store.records import FACETS

PROGRAM = ("python", "-m", "qeu", "train")


def to_argv(order: TrainOrder) -> list[str]:
    """The words of the command; what they leave out is the default of the command line.

    With epochs the number of steps is left out: it follows from the records.
    """
    return [*PROGRAM, *_options(order)]


def to_command(order: TrainOrder) -> str:
    """The same as one line for a shell."""
    return shlex.join(to_argv(order))


def to_twins_command(order: TrainOrder, kinds: Sequence[str], seeds: Sequence[int]) -> str:
    """What starts all twins of the order."""
    more = [f"--twins={','.join(kinds)}", f"--seeds={','.join(map(str, seeds))}"]
    return shlex.join([*to_argv(order), *more])


def _options(order: TrainOrder) -> Iterator[str]:
    yield from _texts(("--dataset", order.dataset), ("--base", order.base), ("--name", order.name))
    yield from _changed(order.variant, Variant(), VARIANT_OPTIONS)
    yield from _role(order.variant.role)
    if order.variant.loss_on != Variant().loss_on:
        yield f"--loss={','.join(order.variant.loss_on)}"
    yield from _lora(order.lora)
    if order.epochs:
        yield f"--epochs={order.epochs!r}"
    elif order.training.steps != TrainingSettings().steps:
        yield f"--steps={order.training.steps}"
    yield from _changed(order.training, TrainingSettings(), TRAINING_OPTIONS)
    for name, option in TRAINING_SWITCHES.items():
        if (value := getattr(order.training, name)) != getattr(TrainingSettings(), name):
            yield option if value else f"--no-{option[2:]}"
    yield from _changed(order.watch, WatchSettings(), WATCH_OPTIONS)
    if order.twins:
        yield f"--twin-of={','.join(order.twins)}"
    yield from _filter(order.where)


def _role(role: Role) -> Iterator[str]:
    if role.id != Variant().role.id:
        yield f"--role={role.id}"
    known = BY_CATEGORY if role.id == BY_CATEGORY.id else ROLES.get(role.id)
    if known is None or role.text != known.text:
        yield f"--role-text={role.text}"


def _lora(lora: LoraSettings) -> Iterator[str]:
    yield from _changed(lora, LoraSettings(), LORA_OPTIONS)
    if lora.alpha != default_alpha(lora.rank):
        yield f"--alpha={lora.alpha}"
    if lora.target_modules:
        yield f"--modules={','.join(lora.target_modules)}"
    if lora.double_quantization != default_double(lora.quantization):
        yield "--double-quantization" if lora.double_quantization else "--no-double-quantization"


def _filter(where: Filter) -> Iterator[str]:
    for facet in FACETS:
        yield from _texts(*((f"--{facet}", value) for value in getattr(where, facet)))
    if where.search:
        yield f"--search={where.search}"
    if where.check:
        yield f"--found-by={where.check}"
    if where.ids:
        yield f"--ids={','.join(map(str, where.ids))}"
    names = {*FACETS, "search", "check", "ids"}
    assert names == {f.name for f in fields(Filter)}, "a condition has no option"


def _changed(settings: object, default: object, options: Mapping[str, str]) -> Iterator[str]:
    """One word for each setting that is not the default; `=` keeps a minus from being an option."""
    for name, option in options.items():
        if (value := getattr(settings, name)) != getattr(default, name):
            yield f"{option}={value!r}" if isinstance(value, float) else f"{option}={value}"


def _texts(*pairs: tuple[str, str]) -> Iterator[str]:
    yield from (f"{option}={value}" for option, value in pairs)
