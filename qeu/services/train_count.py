"""Count what each record of a data set would teach: lengths, fields, cuts, whose reasoning."""

import hashlib
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qeu.core.record import Record
from qeu.core.text import clean_value
from qeu.core.training_example import Encode, make_example
from qeu.core.training_variant import Donor, drops_reasoning, shuffle_reasonings, why_left_out
from qeu.services.train_order import TrainOrder
from qeu.store.changes import Progress
from qeu.store.datasets import Stopped
from qeu.store.queries import iterate_records, load_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# Lengths at which a person usually cuts.
LENGTHS = (512, 1024, 2048)
# A tokenizer is slow beside a database: small batches are heard to stop sooner.
_BATCH = 200


@dataclass
class Count:
    """What is kept of every example: two numbers, no text.

    `lengths` in tokens and `ids` of the records that can be learned from, in their order, of which
    `nothing_left` at the limit. `dropped` lost their reasoning by chance, `kept_apart` are of the
    split validation or test.
    """

    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    nothing_left: set[int] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    cuts: dict[int, Counter[str]] = field(default_factory=dict)
    learned: int = 0
    dropped: int = 0
    kept_apart: int = 0

    @property
    def learnable(self) -> "array[int]":
        """The records that have something to learn at the limit."""
        return array("q", (id_ for id_ in self.ids if id_ not in self.nothing_left))

    def tokens(self, limit: int) -> int:
        """Tokens of all examples that have something to learn, each cut at the limit."""
        pairs = zip(self.lengths, self.ids, strict=True)
        return sum(min(n, limit) for n, id_ in pairs if id_ not in self.nothing_left)


def count_examples(
    workspace: Workspace,
    ids: "array[int]",
    order: TrainOrder,
    encode: Encode,
    end_id: int,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Count:
    """Make every record's example and count it; raises `Stopped` when `stop` is set."""
    variant, limit = order.variant, order.training.max_length
    count = Count(cuts={at: Counter() for at in sorted({*LENGTHS, limit})})
    others = find_others(workspace, ids, order, stop)
    done = 0
    for batch in batches(workspace, ids, stop):
        donors = load_donors(workspace, batch, others)
        for stored in batch:
            record, other = stored.record, donors.get(others.get(stored.id, -1))
            if why := why_left_out(record, variant, other is not None):
                count.left_out[why] += 1
                continue
            example = make_example(record, variant, encode, end_id, other)
            for at, losses in count.cuts.items():
                losses[example.lost_at(at)] += 1
            count.lengths.append(example.tokens)
            count.ids.append(stored.id)
            count.fields += example.field_tokens()
            learned = example.learned_tokens(limit)
            count.learned += learned
            count.kept_apart += stored.split in ("validation", "test")
            if variant.reasoning != "none" and clean_value(record.reasoning):
                count.dropped += drops_reasoning(record.identity, variant)
            if not learned:
                count.nothing_left.add(stored.id)
        done += len(batch)
        progress(done, len(ids))
    return count


def find_others(
    workspace: Workspace, ids: "array[int]", order: TrainOrder, stop: threading.Event | None
) -> dict[int, int]:
    """{record: whose reasoning it gets}, by ids; empty where reasonings are not shuffled."""
    if order.variant.reasoning != "shuffled":
        return {}
    donors = (
        _as_donor(stored.id, stored.record)
        for batch in batches(workspace, ids, stop)
        for stored in batch
        if clean_value(stored.record.reasoning)
    )
    return shuffle_reasonings(donors, order.variant.seed)


def _as_donor(id_: int, record: Record) -> Donor:
    text = clean_value(record.reasoning).encode("utf-8", "surrogatepass")
    group = (record.category, record.language)
    return Donor(id_, group, record.identity, hashlib.sha256(text).hexdigest())


def load_donors(
    workspace: Workspace, batch: list[StoredRecord], others: dict[int, int]
) -> dict[int, Record]:
    """The records whose reasonings the batch gets, by id."""
    wanted = [others[stored.id] for stored in batch if stored.id in others]
    return {found.id: found.record for found in load_records(workspace, wanted)} if wanted else {}


def batches(
    workspace: Workspace, ids: Sequence[int], stop: threading.Event | None
) -> Iterator[list[StoredRecord]]:
    """The records of these ids, a small batch at a time; raises `Stopped` when `stop` is set."""
    for batch in iterate_records(workspace, ids, _BATCH):
        if stop and stop.is_set():
            raise Stopped("The count")
        yield batch
