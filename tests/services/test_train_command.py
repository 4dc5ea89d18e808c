"""The command of an order: what a shell and our own parser make of it is the order again."""

import argparse
import shlex
from dataclasses import fields, replace

import pytest

from qeu.cli.main import build_parser
from qeu.cli.train_options import read_order
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.train_presets import PRESETS
from qeu.core.train_switches import (
    LORA_OPTIONS,
    TRAINING_OPTIONS,
    TRAINING_SWITCHES,
    VARIANT_OPTIONS,
    WATCH_OPTIONS,
)
from qeu.core.training_variant import Variant
from qeu.services.train_command import to_argv, to_command, to_twins_command
from qeu.services.train_order import TrainOrder, with_preset
from qeu.store.filters import Filter
from tests.services.train_orders import draw_order

PLAIN = TrainOrder("poems", "smollm2-135m", "demo")


PARSER = build_parser()


def parse(argv: list[str]) -> argparse.Namespace:
    """What the command line reads; the words before are not ours."""
    assert argv[:3] == ["python", "-m", "qeu"]
    return PARSER.parse_args(argv[3:])


def test_a_plain_order_is_a_short_command():
    expected = "python -m qeu train --dataset=demo --base=smollm2-135m --name=poems"
    assert to_command(PLAIN) == expected


def test_every_order_comes_back():
    orders = [draw_order(seed) for seed in range(150)]
    for order in orders:
        assert read_order(parse(to_argv(order))) == order
        assert shlex.split(to_command(order)) == to_argv(order)
    assert len({order.training for order in orders}) > 140


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_preset_comes_back(preset):
    order = with_preset(PLAIN, preset)
    assert read_order(parse(to_argv(order))) == order
    given = parse([*to_argv(PLAIN), "--preset", preset.id])
    # the base was named, so it stays
    assert read_order(given) == replace(order, base=PLAIN.base)


def test_every_setting_has_an_option():
    """A field that somebody adds must not be lost on its way."""
    by_hand = {"role", "loss_on", "alpha", "target_modules", "double_quantization", "steps"}
    for settings, options in (
        (Variant, VARIANT_OPTIONS),
        (LoraSettings, LORA_OPTIONS),
        (TrainingSettings, TRAINING_OPTIONS | TRAINING_SWITCHES),
        (WatchSettings, WATCH_OPTIONS),
    ):
        assert {f.name for f in fields(settings)} - set(options) <= by_hand
        assert set(options) <= {f.name for f in fields(settings)}


def test_the_filter_is_told_value_by_value():
    order = replace(PLAIN, where=Filter(search="-x", split=("train", ""), ids=(3, 4)))
    assert to_argv(order)[-4:] == ["--split=train", "--split=", "--search=-x", "--ids=3,4"]


def test_twins_are_ordered_by_two_words_more():
    words = shlex.split(to_twins_command(PLAIN, ("own", "none"), (0, 1)))
    args = parse(words)
    assert (args.twins, args.seeds) == (("own", "none"), (0, 1))
    assert read_order(args) == PLAIN
