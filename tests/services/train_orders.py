"""Orders in great number, every switch of them drawn: what is written is held to what is read."""

import random
from dataclasses import replace

from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import BY_CATEGORY, ROLES, Role
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
from qeu.core.training_variant import Variant
from qeu.services.train_order import TrainOrder
from qeu.store.filters import Filter
from qeu.store.records import FACETS

# Names and texts that a shell, argparse and YAML each have ideas of their own about.
TEXTS = (
    "a", "-x", "--lr", "two words", "it's", '"q"', "$HOME `ls`", "質問", "a=b", "true", "no",
    "2024", "1e3", "null", "~", "a: b", "# no", "@file", "-", "line\nbreak", "\ttab", "*x", "&x",
    "{a}", "\\n",
)  # fmt: skip
FLOATS = (0.0, 2e-4, 1e-05, 0.1, 1.0, 0.30000000000000004, 1e-9)


def draw_order(seed: int) -> TrainOrder:
    """One order; most of its switches are not the usual ones."""
    rng = random.Random(seed)
    whole = lambda: rng.randint(0, 10**6)  # noqa: E731
    some = lambda all_: tuple(rng.sample(all_, rng.randint(1, len(all_))))  # noqa: E731
    role = rng.choice([*ROLES.values(), BY_CATEGORY])
    if rng.random() < 0.3:
        role = Role(role.id, rng.choice(TEXTS))
    variant = Variant(
        rng.choice(LAYOUTS), rng.choice(TARGETS), role, some(LOSS_PARTS),
        rng.choice(REASONING_SOURCES), rng.choice(FLOATS), whole(),
    )  # fmt: skip
    lora = LoraSettings(
        whole(), whole(), rng.choice(FLOATS), some(("q_proj", "fc1", "Wqkv")),
        rng.choice(QUANTIZATIONS), rng.random() < 0.5,
    )  # fmt: skip
    if rng.random() < 0.5:
        lora = replace(lora, alpha=2 * lora.rank, target_modules=())
    training = TrainingSettings(
        whole(), rng.choice(FLOATS), rng.choice(SCHEDULES), whole(), whole(), whole(), whole(),
        rng.random() < 0.5, rng.choice(OPTIMIZERS), rng.choice(FLOATS), rng.choice(DTYPES),
        whole(), rng.choice(FLOATS), rng.random() < 0.5,
    )  # fmt: skip
    epochs = rng.choice((0.0, 0.0, 2.5, 3.0))
    if epochs:  # how many steps those are follows from the records
        training = replace(training, steps=TrainingSettings().steps)
    facets = {name: some(TEXTS) for name in FACETS if rng.random() < 0.3}
    where = Filter(
        search=rng.choice(("", *TEXTS)), check=rng.choice(("", "any")),
        ids=rng.choice(((), (1,), (1, 2**40))), **facets,
    )  # fmt: skip
    watch = WatchSettings(whole(), whole(), whole(), rng.choice(BEST_MEASURES), whole())
    return TrainOrder(
        rng.choice(TEXTS), rng.choice(TEXTS), rng.choice(TEXTS), where, variant, lora, training,
        epochs, watch, rng.choice(((), ("own-s0", "none-s0"))),
    )  # fmt: skip
