"""What a person should know about the data of a run before it starts: problems, and notes."""

import math
from array import array
from collections.abc import Iterator

from qeu.services.train_count import Count
from qeu.services.train_data import Watched
from qeu.services.train_order import TrainOrder
from qeu.store.datasets import Dataset

# The share of examples that the proposed length keeps whole.
KEPT = 0.99


def length_to_keep(lengths: "array[int]") -> int:
    """The smallest length at which KEPT of the examples stay whole; 0 without any."""
    ordered = sorted(lengths)
    return ordered[math.ceil(KEPT * len(ordered)) - 1] if ordered else 0


def data_problems(dataset: Dataset, matched: int, examples: int) -> list[str]:
    """A sentence where there is too little to learn from."""
    if not matched:
        return [
            f"No record of {dataset.name!r} is chosen: it is empty, or the filter lets none "
            "through. Import records, or widen the filter."
        ]
    if not examples:
        return [
            f"None of the {matched:,} records can be learned from; the counts say why. "
            "Mend the records, choose another target, or raise max_length."
        ]
    if examples == 1:
        return [
            f"Only one of the {matched:,} records can be learned from, and an adapter would merely "
            "repeat it. Choose more."
        ]
    return []


def watch_problems(order: TrainOrder, watched: Watched) -> list[str]:
    """A sentence where the kept step is to be chosen by records that are not there."""
    if order.watch.best == "last" or watched.ids:
        return []
    return [
        f"best is {order.watch.best}, which needs records of split validation, and none can be "
        "watched. Split the data set first, or choose last."
    ]


def plan_notes(order: TrainOrder, count: Count, watched: Watched) -> Iterator[str]:
    """What does not keep a run from starting, and had better be known."""
    if count.kept_apart:
        yield (
            f"{count.kept_apart:,} of the records are of split validation or test and would be "
            "learned from. Keep to split train."
        )
    if order.watch.rows and not watched.ids:
        yield (
            "No record of split validation can be watched, so that only the training loss will be "
            "seen. Split the data set first."
        )
    if watched.repeated:
        yield (
            f"{watched.repeated:,} of the {watched.found:,} validation records ask what a training "
            "record asks, and are not watched."
        )
    keep = length_to_keep(count.lengths)
    if keep > order.training.max_length:
        yield (
            f"Set max_length to {keep:,} to keep {KEPT:.0%} of the examples whole; "
            f"it is {order.training.max_length:,}."
        )
