"""A training run's plan as tables that can be read."""

from typing import TYPE_CHECKING

from qeu.cli.screen import show, table
from qeu.cli.train_watch import say_time

if TYPE_CHECKING:
    from qeu.services.train_plan import TrainPlan

_WHY = {
    "no_instruction": "no instruction",
    "no_reasoning": "no reasoning, where it is to be learned",
    "no_output": "no output, where it is to be learned",
    "no_other": "no other record to take a reasoning from",
    "nothing_left": "nothing left to learn at this length",
    "not_in_twins": "not all twins can learn from it",
}
_LOST = {
    "nothing": "whole",
    "prompt_cut": "prompt cut",
    "reasoning_cut": "reasoning cut",
    "answer_cut": "answer cut",
    "answer_lost": "answer lost",
    "nothing_left": "nothing left",
}


def show_plan(plan: "TrainPlan") -> None:
    """Everything that is known before the start."""
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
        about = "" if plan.time_s is None else f"about {say_time(plan.time_s)}. "
        show(f"time: {about}{plan.time_source}")
        show(f"watched: {plan.validation:,} validation records, {order.watch.samples:,} answered")
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
