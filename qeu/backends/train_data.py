"""What a run learns from: frozen records made into examples, and those into the trainer's rows."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qeu.core.errors import QeuError
from qeu.core.prompts import Rendered
from qeu.core.record import Record
from qeu.core.training_example import Encode, Encoded, TrainingExample, make_example
from qeu.core.training_variant import Variant

if TYPE_CHECKING:
    from datasets import Dataset

# A record, and another one whose reasoning it gets where that is shuffled.
Pair = tuple[Record, Record | None]


@dataclass(frozen=True)
class Learned:
    """A record, its example cut at the run's length, and the texts that end a generation."""

    record: Record
    example: TrainingExample
    stop: tuple[str, ...]

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The tokens that the completion stands behind; cut where the example is."""
        parts = self.example.parts
        return tuple(i for i, p in zip(self.example.input_ids, parts, strict=True) if p == "prompt")


class _Watched:
    """An `encode` that keeps what it was last given."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self.rendered: Rendered | None = None

    def __call__(self, rendered: Rendered) -> Encoded:
        self.rendered = rendered
        return self._encode(rendered)


def read_examples(
    pairs: Iterable[Pair],
    variant: Variant,
    encode: Encode,
    end_id: int,
    limit: int,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Learned]:
    """The examples of the records, each cut at `limit` tokens; ends early where it is stopped.

    Those with nothing left to learn are left out, as the plan counted them.
    """
    watched = _Watched(encode)
    for record, other in pairs:
        if is_stopped():
            return
        example = make_example(record, variant, watched, end_id, other).cut(limit)
        if example.learned_tokens():
            assert watched.rendered is not None
            yield Learned(record, example, watched.rendered.prompt.stop)


def make_rows(examples: Iterable[TrainingExample], limit: int, packing: bool) -> "Dataset":
    """The rows of one pass: `input_ids` and `labels`, packed with `seq_lengths` of their texts.

    Packed over the whole set at once, since packing it in parts would make more rows than the plan
    counts. Raises QeuError where there is not one example.
    """
    import numpy
    import pyarrow as pa
    from datasets import Dataset, disable_progress_bars
    from datasets.table import InMemoryTable
    from trl import pack_dataset

    ids, labels, ends = array("i"), array("i"), array("i", [0])
    for example in examples:
        ids.extend(example.input_ids)
        labels.extend(example.labels)
        ends.append(len(ids))
    count = len(ends) - 1
    if not count:
        raise QeuError(
            "Not one of the run's records can be learned from at this length. "
            "Order a new run with other records, another target, or a greater max_length."
        )
    # lists of Python numbers would take ten times the memory
    starts = pa.array(numpy.frombuffer(ends, numpy.int32))
    columns = {
        name: pa.ListArray.from_arrays(starts, pa.array(numpy.frombuffer(values, numpy.int32)))
        for name, values in (("input_ids", ids), ("labels", labels))
    }
    dataset = Dataset(InMemoryTable(pa.table(columns)))
    if not packing:
        return dataset
    disable_progress_bars()
    return pack_dataset(dataset, limit, "bfd", {"batch_size": count})


def longest_rows(rows: "Dataset", count: int) -> list[int]:
    """Places of the rows with the most tokens, for a batch that needs the most memory."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(rows.data.column("input_ids")).to_pylist()
    return sorted(range(len(lengths)), key=lambda at: -lengths[at])[:count]
