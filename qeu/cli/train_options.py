"""Options of `train`, and the order that they describe: given ones over a preset or a file."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qeu.cli.data_arguments import add_filter, read_filter
from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import BY_CATEGORY, ROLE_IDS, ROLES, Role
from qeu.core.run_passport import (
    BEST_MEASURES,
    DTYPES,
    LOSS_PARTS,
    OPTIMIZERS,
    QUANTIZATIONS,
    REASONING_SOURCES,
    SCHEDULES,
    LoraSettings,
    TrainingSettings,
    WatchSettings,
)
from qeu.core.train_presets import PRESETS, find_preset
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
from qeu.core.twins import TWIN_KINDS

if TYPE_CHECKING:
    from qeu.services.train_order import TrainOrder

T = TypeVar("T")
_CHOICES = {
    "layout": LAYOUTS,
    "target": TARGETS,
    "reasoning": REASONING_SOURCES,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "compute_dtype": DTYPES,
    "quantization": QUANTIZATIONS,
    "best": BEST_MEASURES,
}
_HELP = {
    "layout": "prompt layout",
    "target": "what the model is to write",
    "reasoning": "whose: the record's own, none, or another record's of the same category and "
    "language",
    "reasoning_dropout": "share of records that lose their reasoning",
    "seed": "draws all that is drawn",
    "learning_rate": "learning rate",
    "schedule": "course of the learning rate",
    "warmup_steps": "steps until the learning rate is reached",
    "batch_size": "rows of a batch",
    "accumulation": "batches of a step",
    "max_length": "tokens at which an example is cut",
    "optimizer": "adamw, or its 8-bit kinds on a GPU",
    "weight_decay": "weight decay",
    "compute_dtype": "what it computes in",
    "save_every": "steps between checkpoints",
    "gradient_clip": "greatest length of a gradient, 0 for any",
    "packing": "several examples in one row, none of which sees another",
    "checkpointing": "compute activations twice and keep fewer",
    "rank": "rank of the adapter",
    "dropout": "dropout of the adapter",
    "quantization": "how the base is held",
    "rows": "validation records that are foretold at every save",
    "samples": "validation questions that are answered at every save",
    "sample_tokens": "most new tokens of such an answer",
    "best": "measure that chooses the kept step",
    "patience": "saves without a better one until the run ends, 0 for never",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """All that an order is made of; nothing given stays None."""
    parser.add_argument("--dataset", metavar="D", help="data set to learn from")
    parser.add_argument("--base", metavar="M", help="model that learns; runs here")
    parser.add_argument("--name", metavar="N", help="the adapter is called so")
    presets = [preset.id for preset in PRESETS]
    parser.add_argument("--preset", choices=presets, metavar="P",
                        help="settings to begin with: " + ", ".join(presets))  # fmt: skip
    parser.add_argument("--settings", type=Path, metavar="FILE",
                        help="YAML file to begin with; options go before it")  # fmt: skip
    learned = parser.add_argument_group("what is learned")
    _add_values(learned, Variant(), VARIANT_OPTIONS)
    role = f"who speaks, or by the record's category ({Variant().role.id})"
    learned.add_argument("--role", choices=(*ROLE_IDS, BY_CATEGORY.id), help=role)
    learned.add_argument("--role-text", metavar="TEXT", help="the role's own words instead")
    learned.add_argument("--loss", type=_names, metavar="A,B",
                         help=f"parts that are learned, of {', '.join(LOSS_PARTS)} "
                         f"({','.join(Variant().loss_on)})")  # fmt: skip
    learned.add_argument("--twin-of", type=_names, metavar="A,B",
                         help="only records that all these variants can learn, such as "
                         f"own-s0,none-s0 ({', '.join(TWIN_KINDS)}; -s and the seed)")  # fmt: skip
    how = parser.add_argument_group("how")
    long = how.add_mutually_exclusive_group()
    steps = TrainingSettings().steps
    long.add_argument("--steps", type=int, metavar="N", help=f"optimiser steps ({steps})")
    long.add_argument("--epochs", type=float, metavar="X",
                      help="passes over the examples, instead of steps")  # fmt: skip
    _add_values(how, TrainingSettings(), TRAINING_OPTIONS)
    for name, option in TRAINING_SWITCHES.items():
        default = "on" if getattr(TrainingSettings(), name) else "off"
        how.add_argument(option, dest=name, action=argparse.BooleanOptionalAction, default=None,
                         help=f"{_HELP[name]} ({default})")  # fmt: skip
    _add_values(how, LoraSettings(), LORA_OPTIONS)
    how.add_argument("--alpha", type=int, metavar="N", help="scale of the adapter (2 × rank)")
    how.add_argument("--modules", type=_names, metavar="A,B",
                     help="layers that are adapted (all linear ones)")  # fmt: skip
    how.add_argument("--double-quantization", action=argparse.BooleanOptionalAction, default=None,
                     help="quantise the constants of the 4 bits too (on with nf4)")  # fmt: skip
    watch = parser.add_argument_group("what is watched")
    _add_values(watch, WatchSettings(), WATCH_OPTIONS)
    add_filter(parser)
    parser.add_argument("--ids", type=_numbers, metavar="N,N", help="only these records, by id")


def read_order(args: argparse.Namespace) -> "TrainOrder":
    """The order that the options describe; what cannot be meant is told by the plan.

    Raises UsageError where data set, base or name is not given.
    """
    from qeu.services.train_order import TrainOrder, with_preset

    order = _read_file(args.settings) if args.settings else TrainOrder("", "", "")
    if args.preset:
        order = with_preset(order, find_preset(args.preset))
    changes = dict(_given(args, ("name", "base", "dataset")))
    order = replace(order, **changes)  # type: ignore[arg-type]
    if missing := [f"--{n}" for n in ("dataset", "base", "name") if not getattr(order, n)]:
        raise UsageError(f"Missing: {', '.join(missing)}. Give them, or a file with --settings.")
    variant = replace(order.variant, **dict(_given(args, VARIANT_OPTIONS)))  # type: ignore[arg-type]
    variant = replace(
        variant, role=_role(args, variant.role), loss_on=_or(args.loss, variant.loss_on)
    )
    lora = replace(order.lora, **dict(_given(args, LORA_OPTIONS)))  # type: ignore[arg-type]
    if args.rank is not None or args.alpha is not None:
        lora = replace(lora, alpha=_or(args.alpha, default_alpha(lora.rank)))
    if args.quantization is not None or args.double_quantization is not None:
        double = _or(args.double_quantization, default_double(lora.quantization))
        lora = replace(lora, double_quantization=double)
    lora = replace(lora, target_modules=_or(args.modules, lora.target_modules))
    names = (*TRAINING_OPTIONS, *TRAINING_SWITCHES, "steps")
    training = replace(order.training, **dict(_given(args, names)))  # type: ignore[arg-type]
    where = replace(read_filter(args), ids=_or(args.ids, ()))
    return replace(
        order,
        where=where if where.to_json() else order.where,
        variant=variant,
        lora=lora,
        training=training,
        epochs=0.0 if args.steps is not None else _or(args.epochs, order.epochs),
        watch=replace(order.watch, **dict(_given(args, WATCH_OPTIONS))),  # type: ignore[arg-type]
        twins=_or(args.twin_of, order.twins),
    )


def save_settings(order: "TrainOrder", file: Path) -> None:
    """Write the order as a file for --settings."""
    from qeu.services.train_yaml import order_to_yaml

    try:
        file.write_text(order_to_yaml(order), "utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}).") from error


def _read_file(file: Path) -> "TrainOrder":
    from qeu.services.train_yaml import MOST_CHARACTERS, order_from_yaml

    try:
        with file.open("rb") as source:
            # one more than allowed is enough to be refused
            return order_from_yaml(source.read(MOST_CHARACTERS + 1))
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}).") from error


def _add_values(
    group: argparse._ArgumentGroup, default: object, options: Mapping[str, str]
) -> None:
    for name, option in options.items():
        value = getattr(default, name)
        shown = f"{value:g}" if isinstance(value, int | float) else value
        text = f"{_HELP[name]} ({shown})"
        if name in _CHOICES:
            group.add_argument(option, dest=name, choices=_CHOICES[name], help=text)
        else:
            group.add_argument(option, dest=name, type=type(value), metavar="N", help=text)


def _given(
    args: argparse.Namespace, names: Mapping[str, str] | tuple[str, ...]
) -> Iterator[tuple[str, object]]:
    """Settings that were given, by their names."""
    return ((name, value) for name in names if (value := getattr(args, name)) is not None)


def _role(args: argparse.Namespace, role: Role) -> Role:
    if args.role is not None:
        role = BY_CATEGORY if args.role == BY_CATEGORY.id else ROLES[args.role]
    return role if args.role_text is None else Role(role.id, args.role_text)


def _or(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in _names(text))


_numbers.__name__ = "whole numbers"  # argparse names it when it refuses a value
