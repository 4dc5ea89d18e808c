"""`train --dry-run`: what a run would learn from a data set, said before it starts."""

import argparse
import os
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import add_filter, add_json, read_filter, told
from qeu.cli.loading import run_stoppable, told_load
from qeu.cli.screen import ProgressLine, say, show, show_json, table
from qeu.cli.workspace import open_workspace
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import ROLE_IDS, find_role
from qeu.core.run_passport import (
    DTYPES,
    LOSS_PARTS,
    QUANTIZATIONS,
    REASONING_SOURCES,
    SCHEDULES,
    LoraSettings,
    TrainingSettings,
)
from qeu.core.settings import Settings
from qeu.core.training_variant import Variant

if TYPE_CHECKING:
    from qeu.services.train_order import TrainOrder
    from qeu.services.train_plan import TrainPlan

_WHY = {
    "no_instruction": "no instruction",
    "no_reasoning": "no reasoning, where it is to be learned",
    "no_output": "no output, where it is to be learned",
    "no_other": "no other record to take a reasoning from",
    "nothing_left": "nothing left to learn at this length",
}
_LOST = {
    "nothing": "whole",
    "prompt_cut": "prompt cut",
    "reasoning_cut": "reasoning cut",
    "answer_cut": "answer cut",
    "answer_lost": "answer lost",
    "nothing_left": "nothing left",
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "train",
        help="say what a training run would learn from; --dry-run only, for now",
        description="Count what a run would learn from the records of a data set: examples, "
        "tokens by field, what is left out and why, what each length cuts, steps, memory and disk. "
        "Only this plan is made in this version (--dry-run must be given); nothing is trained. "
        "The exit status is 1 where the plan has problems.",
        allow_abbrev=False,
    )
    parser.add_argument("--dataset", required=True, metavar="D", help="data set to learn from")
    parser.add_argument("--base", required=True, metavar="M", help="model that learns; runs here")
    parser.add_argument("--name", required=True, metavar="N", help="the adapter is called so")
    parser.add_argument(
        "--dry-run", action="store_true", required=True,
        help="only make the plan; required, since this version does not train yet",
    )  # fmt: skip
    _add_variant(parser)
    _add_settings(parser)
    add_filter(parser)
    add_json(parser)
    parser.set_defaults(run=run_train)


def _add_variant(parser: argparse.ArgumentParser) -> None:
    plain, group = Variant(), parser.add_argument_group("what is learned")
    group.add_argument("--layout", choices=LAYOUTS, default=plain.layout,
                       help=f"({plain.layout})")  # fmt: skip
    group.add_argument("--target", choices=TARGETS, default=plain.target,
                       help=f"what the model is to write ({plain.target})")  # fmt: skip
    group.add_argument("--role", choices=ROLE_IDS, default=plain.role.id,
                       help=f"who speaks ({plain.role.id})")  # fmt: skip
    group.add_argument("--loss", default=",".join(plain.loss_on), metavar="A,B",
                       help=f"parts that are learned, of {', '.join(LOSS_PARTS)} "
                       f"({','.join(plain.loss_on)})")  # fmt: skip
    group.add_argument("--reasoning", choices=REASONING_SOURCES, default=plain.reasoning,
                       help="whose: the record's own, none, or another record's of the same "
                       "category and language (own)")  # fmt: skip
    group.add_argument("--drop-reasoning", type=float, default=0.0, metavar="P",
                       help="share of records that lose their reasoning (0)")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, metavar="N", help="draws all of it (0)")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group, plain, lora = parser.add_argument_group("how"), TrainingSettings(), LoraSettings()
    long = group.add_mutually_exclusive_group()
    long.add_argument("--steps", type=int, default=plain.steps, metavar="N",
                      help=f"optimiser steps ({plain.steps})")  # fmt: skip
    long.add_argument("--epochs", type=float, default=0.0, metavar="X",
                      help="passes over the examples, instead of steps")  # fmt: skip
    numbers = (
        ("--length", int, plain.max_length, "tokens at which an example is cut"),
        ("--batch", int, plain.batch_size, "rows of a batch"),
        ("--accumulation", int, plain.accumulation, "batches of a step"),
        ("--lr", float, plain.learning_rate, "learning rate"),
        ("--warmup", int, plain.warmup_steps, "steps until the learning rate is reached"),
        ("--save-every", int, plain.save_every, "steps between checkpoints"),
        ("--rank", int, lora.rank, "rank of the adapter"),
        ("--dropout", float, lora.dropout, "dropout of the adapter"),
    )
    for name, kind, default, text in numbers:
        group.add_argument(name, type=kind, default=default, metavar="N",
                           help=f"{text} ({default:g})")  # fmt: skip
    group.add_argument("--alpha", type=int, metavar="N", help="scale of the adapter (2 × rank)")
    group.add_argument("--modules", default="", metavar="A,B",
                       help="layers that are adapted (all linear ones)")  # fmt: skip
    choices = (
        ("--quantization", QUANTIZATIONS, lora.quantization, "how the base is held"),
        ("--dtype", DTYPES, plain.compute_dtype, "what it computes in"),
        ("--schedule", SCHEDULES, plain.schedule, "course of the learning rate"),
    )
    for name, allowed, chosen, text in choices:
        group.add_argument(name, choices=allowed, default=chosen, help=f"{text} ({chosen})")
    group.add_argument("--no-packing", action="store_true", help="one example a row")


def read_order(args: argparse.Namespace) -> "TrainOrder":
    """The order that the options describe; what cannot be meant is told by the plan."""
    from qeu.services.train_order import TrainOrder

    variant = Variant(
        layout=args.layout,
        target=args.target,
        role=find_role(args.role),
        loss_on=_names(args.loss),
        reasoning=args.reasoning,
        reasoning_dropout=args.drop_reasoning,
        seed=args.seed,
    )
    lora = LoraSettings(
        rank=args.rank,
        alpha=2 * args.rank if args.alpha is None else args.alpha,
        dropout=args.dropout,
        target_modules=_names(args.modules),
        quantization=args.quantization,
        double_quantization=args.quantization == "nf4",
    )
    training = TrainingSettings(
        steps=args.steps,
        learning_rate=args.lr,
        schedule=args.schedule,
        warmup_steps=args.warmup,
        batch_size=args.batch,
        accumulation=args.accumulation,
        max_length=args.length,
        packing=not args.no_packing,
        compute_dtype=args.dtype,
        save_every=args.save_every,
    )
    where = read_filter(args)
    return TrainOrder(
        args.name, args.base, args.dataset, where, variant, lora, training, args.epochs
    )


def run_train(args: argparse.Namespace) -> int:
    """Print the plan; 1 where it has problems."""
    from qeu.services.train_plan import plan_order

    order = read_order(args)
    line = ProgressLine(quiet=args.json)
    with open_workspace() as workspace:
        plan, _ = run_stoppable(
            lambda stop: plan_order(
                workspace, order, Settings.from_env(os.environ), told(line), stop,
                told_load(line, order.base),
            )
        )  # fmt: skip
    line.clear()
    if args.json:
        show_json(plan.to_json())
    else:
        _show_plan(plan)
        for problem in plan.problems:
            say(problem)
    return 1 if plan.problems else 0


def _show_plan(plan: "TrainPlan") -> None:
    order = plan.order
    show(f"{order.name}: {order.base} learns from {order.dataset}")
    if plan.matched:
        _show_data(plan)
    if plan.examples:
        settings = order.training
        show(
            f"\n{settings.steps:,} steps, about {plan.epochs:.3g} passes over {plan.rows:,} rows; "
            f"rows a step: {settings.batch_size * settings.accumulation:,}"
            + (" (examples packed together)" if settings.packing else "")
        )
    if memory := plan.memory:
        show(
            f"memory, by formula: {memory.total / 1e9:.1f} GB ({memory.weights / 1e9:.1f} weights, "
            f"{memory.cache / 1e9:.1f} activations, {memory.overhead / 1e9:.1f} beside)"
        )
    if plan.disk_bytes is not None:
        show(f"disk: {plan.disk_bytes / 1e6:,.0f} MB of {plan.free_bytes / 1e6:,.0f} MB free")
    for note in plan.notes:
        show(f"! {note}")


def _show_data(plan: "TrainPlan") -> None:
    show(f"{plan.examples:,} examples of {plan.matched:,} records")
    for why, number in plan.left_out.items():
        show(f"  left out: {number:,} ({_WHY[why]})")
    if plan.dropped:
        show(f"  {plan.dropped:,} lose their reasoning by chance")
    if not plan.lengths.longest:
        return
    whole = sum(plan.field_tokens.values())
    show(f"\n{whole:,} tokens, {plan.learned:,} of them learned")
    fields = [(f"  {name}", f"{n:,}", f"{n / whole:.0%}") for name, n in plan.field_tokens.items()]
    show(table([("field", "tokens", "share"), *fields]))
    lengths = plan.lengths
    show(f"\nlength: median {lengths.median:,}, longest {lengths.longest:,} tokens")
    bars = lengths.to_json()["bars"]
    shown = [(f"  {label}", f"{count:,}") for label, count in bars if count]  # type: ignore[attr-defined]
    show(table([("tokens", "examples"), *shown]))
    lost = [name for name in _LOST if any(name in found for found in plan.cuts.values())]
    rows = [
        (f"  {at:,}" + (" *" if at == plan.order.training.max_length else ""),
         *(f"{found.get(name, 0):,}" for name in lost))
        for at, found in plan.cuts.items()
    ]  # fmt: skip
    show("")
    show(table([("cut at", *(_LOST[name] for name in lost)), *rows]))
    show(f"* chosen; {plan.keep_length:,} keeps 99 % whole")
    show("")
    refs = [(f"  {one.which}", one.seq or f"#{one.id}", f"{one.tokens:,}") for one in plan.shown]
    show(table([("example", "record", "tokens"), *refs]))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
