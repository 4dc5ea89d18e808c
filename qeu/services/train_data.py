"""Which records a run learns from and which it is watched by; freeze them into its folder."""

import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qeu.core.record import Record
from qeu.core.request import hash_json
from qeu.core.text import clean_value
from qeu.core.training_example import Encode, make_example
from qeu.core.training_variant import Variant, why_left_out
from qeu.core.twins import parse_twins
from qeu.services.train_count import batches, count_examples, find_others, load_donors
from qeu.services.train_order import TrainOrder
from qeu.store.datasets import Dataset
from qeu.store.matching import matching_ids
from qeu.store.queries import load_records
from qeu.store.run_folders import TRAIN, VALIDATION, FrozenRecord, RunFolder
from qeu.store.workspace import Workspace

Stop = threading.Event | None


@dataclass(frozen=True)
class Watched:
    """Validation records of a run: `ids` are watched, of `found` that there are.

    `repeated` ask what a training record asks, so that they would be known by heart.
    """

    ids: tuple[int, ...] = ()
    found: int = 0
    repeated: int = 0


def keep_common(
    workspace: Workspace,
    ids: "array[int]",
    order: TrainOrder,
    encode: Encode,
    end_id: int,
    stop: Stop = None,
) -> "array[int]":
    """Those of the records that the order, or every one of its twins, can learn from."""
    variants = _twin_variants(order) or [order.variant]
    # whose reasoning a record gets depends on who else is there: narrowed until nothing changes
    again = any(variant.reasoning == "shuffled" for variant in variants)
    while True:
        kept = ids
        for variant in variants:
            one = replace(order, variant=variant)
            count = count_examples(workspace, kept, one, encode, end_id, stop=stop)
            kept = count.learnable
        if len(kept) == len(ids) or not again:
            return kept
        ids = kept


def choose_watched(
    workspace: Workspace,
    dataset: Dataset,
    order: TrainOrder,
    train_ids: Sequence[int],
    encode: Encode,
    end_id: int,
    stop: Stop = None,
) -> Watched:
    """At most `watch.rows` records of split validation, the same choice for the same records.

    The order's filter holds but for its split and ids, which name what is learned from. Chosen by
    the hash that is a record's identity: evenly from all of them, wherever they stand.
    """
    where = replace(order.where, split=("validation",), ids=())
    ids = matching_ids(workspace, dataset, where)
    learned = set(train_ids)
    found = array("q", (id_ for id_ in ids if id_ not in learned))
    if not found or not order.watch.rows:
        return Watched(found=len(found))
    asked = {
        _question(one.record) for batch in batches(workspace, train_ids, stop) for one in batch
    }
    fresh = [
        (one.record.identity, one.id)
        for batch in batches(workspace, found, stop)
        for one in batch
        if _question(one.record) not in asked
    ]
    fresh.sort()
    chosen: list[int] = []
    variants = _twin_variants(order) or [order.variant]
    limit = order.training.max_length
    for _, id_ in fresh:
        if len(chosen) == order.watch.rows:
            break
        for one in load_records(workspace, [id_]):
            if all(_can_be_watched(one.record, v, encode, end_id, limit) for v in variants):
                chosen.append(id_)
    return Watched(tuple(chosen), len(found), len(found) - len(fresh))


def freeze_records(
    folder: RunFolder,
    workspace: Workspace,
    order: TrainOrder,
    train_ids: "array[int]",
    watched: Sequence[int],
    stop: Stop = None,
) -> None:
    """Write what the run learns from and is watched by, as the records are now."""
    others = find_others(workspace, train_ids, order, stop)
    folder.freeze(TRAIN, _frozen(workspace, order, train_ids, others, stop))
    # a placebo is watched on true reasonings, as its twins are: whoever learned nothing from the
    # reasonings foretells them no better
    true = order.variant.reasoning == "shuffled"
    folder.freeze(
        VALIDATION,
        (
            FrozenRecord(one.record, one.record if true else None)
            for batch in batches(workspace, watched, stop)
            for one in batch
        ),
    )


def hash_frozen(records: Iterable[FrozenRecord]) -> tuple[str, int]:
    """(SHA-256 of the records' identities in order, how many); with whose reasoning they get."""
    identities, others = [], []
    for one in records:
        identities.append(one.record.identity)
        others.append(one.other.identity if one.other else "")
    data: dict[str, object] = {"records": identities}
    if any(others):
        data["others"] = others
    return (hash_json(data) if identities else ""), len(identities)


def _frozen(
    workspace: Workspace,
    order: TrainOrder,
    ids: "array[int]",
    others: dict[int, int],
    stop: Stop,
) -> Iterator[FrozenRecord]:
    for batch in batches(workspace, ids, stop):
        donors = load_donors(workspace, batch, others)
        for one in batch:
            other = donors.get(others.get(one.id, -1))
            # somebody may have emptied a field since the records were counted
            if not why_left_out(one.record, order.variant, other is not None):
                yield FrozenRecord(one.record, other)


def _can_be_watched(
    record: Record, variant: Variant, encode: Encode, end_id: int, limit: int
) -> bool:
    variant = replace(variant, reasoning_dropout=0.0)
    if why_left_out(record, variant, has_other=True):
        return False
    return bool(make_example(record, variant, encode, end_id, record).learned_tokens(limit))


def _twin_variants(order: TrainOrder) -> list[Variant]:
    """The variants of an order's twins; the seed only counts where something is drawn."""
    found = {}
    for twin in parse_twins(order.twins):
        variant = twin.variant_of(order.variant)
        drawn = variant.reasoning == "shuffled" or variant.reasoning_dropout
        found[(twin.kind, twin.seed if drawn else 0)] = variant
    return list(found.values())


def _question(record: Record) -> int:
    """The question as a number: a set of them fits into memory, however long the questions are."""
    return hash((clean_value(record.instruction), clean_value(record.input)))
