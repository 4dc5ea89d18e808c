"""A record as something to learn from: token ids, labels, tokens by field, what a cut would lose.

The ids are those of the prompt, of the completion, and the model's end token, each encoded for
itself as the engine joins them when it generates. Knows no tokenizer and no torch: whoever calls
brings an `encode`. Whether a record can be learned from at all: training_variant.py.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qeu.core.prompts import FieldSpan, Rendered, render
from qeu.core.record import Record
from qeu.core.roles import role_for
from qeu.core.training_variant import Variant, drops_reasoning

# What the trainer's loss leaves out.
NOT_LEARNED = -100
# What a cut loses, from nothing to everything; an example is counted under the last that holds.
LOSSES = (
    "nothing", "prompt_cut", "reasoning_cut", "answer_cut", "answer_lost", "nothing_left",
)  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """Prompt and completion as tokens: `ids` and, for each, its field.

    `learned` is the number of the completion's first token. The end token is not among them.
    """

    ids: tuple[int, ...]
    fields: tuple[str, ...]
    learned: int


Encode = Callable[[Rendered], Encoded]


@dataclass(frozen=True)
class TrainingExample:
    """What the trainer gets of one record: `input_ids` and `labels` of equal length.

    `parts` says to what each token belongs: prompt, reasoning or output (of the completion; its
    marks and the end token belong to the part that they close). `fields` names each token's field
    (`marker` and `template` are layout, `end` the end token). `record` and `reasoning_from` are
    identities of records, the latter "" where there is no reasoning in it.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    parts: tuple[str, ...]
    fields: tuple[str, ...]
    record: str
    reasoning_from: str

    @property
    def tokens(self) -> int:
        """The length that a limit is held against."""
        return len(self.input_ids)

    def field_tokens(self) -> Counter[str]:
        """Tokens by field; a reasoning counts wherever it stands."""
        return Counter(self.fields)

    def learned_tokens(self, length: int | None = None) -> int:
        """Tokens with a loss; within the first `length` ones if given.

        The first token of a text is foretold by nothing, so it is never one of them.
        """
        return sum(label != NOT_LEARNED for label in self.labels[1:length])

    def cut(self, length: int) -> "TrainingExample":
        """Its first `length` tokens."""
        return replace(
            self,
            input_ids=self.input_ids[:length],
            labels=self.labels[:length],
            parts=self.parts[:length],
            fields=self.fields[:length],
        )

    def lost_at(self, length: int) -> str:
        """What a cut at `length` tokens takes from what is learned, as one of LOSSES.

        A loss of text that has no label is none: "nothing", however long the text is.
        """
        lost = self._labelled(length, None)
        if not lost:
            return "nothing"
        if not self.learned_tokens(length):
            return "nothing_left"
        if "output" in lost:
            return "answer_cut" if "output" in self._labelled(1, length) else "answer_lost"
        return "reasoning_cut" if "reasoning" in lost else "prompt_cut"

    def _labelled(self, start: int, end: int | None) -> set[str]:
        """The parts that have a label within [start, end)."""
        pairs = zip(self.parts[start:end], self.labels[start:end], strict=True)
        return {part for part, label in pairs if label != NOT_LEARNED}


def make_example(
    record: Record, variant: Variant, encode: Encode, end_id: int, other: Record | None = None
) -> TrainingExample:
    """The example of a record; `other` is whose reasoning it gets where that is shuffled.

    It is not cut, and not tested for being worth learning: `why_left_out` does. Raises QeuError
    for a record without instruction.
    """
    shown, source = _with_reasoning(record, variant, other)
    role = role_for(variant.role, record.category)
    rendered = render(shown, variant.layout, role, variant.target)
    encoded = encode(rendered)
    # the mark between reasoning and answer closes the reasoning: it is learned with it
    completion = ["output" if f == "output" else "reasoning" for f in encoded.fields]
    parts = ["prompt"] * encoded.learned + completion[encoded.learned :]
    # the end closes whatever was written last; after an empty completion it closes the prompt
    parts.append(parts[-1] if parts else "prompt")
    has_completion = len(encoded.ids) > encoded.learned
    ids = [*encoded.ids, end_id]
    learned = [part in variant.loss_on for part in parts]
    learned[-1] = learned[-1] and has_completion
    return TrainingExample(
        input_ids=tuple(ids),
        labels=tuple(i if yes else NOT_LEARNED for i, yes in zip(ids, learned, strict=True)),
        parts=tuple(parts),
        fields=(*encoded.fields, "end"),
        record=record.identity,
        reasoning_from=source,
    )


def token_fields(starts: Sequence[int], spans: Sequence[FieldSpan]) -> tuple[str, ...]:
    """The field of each token, by the code point at which it starts.

    A token over a border belongs to the field where it begins; `spans` cover the whole text.
    """
    borders = [span.start for span in spans]
    return tuple(spans[max(0, bisect_right(borders, at) - 1)].field for at in starts)


def _with_reasoning(record: Record, variant: Variant, other: Record | None) -> tuple[Record, str]:
    """The record as it is shown, and the identity of whose reasoning it has ("" for none)."""
    if variant.reasoning == "none" or drops_reasoning(record.identity, variant):
        return replace(record, reasoning=""), ""
    if variant.reasoning == "own":
        return record, record.identity if record.reasoning.strip() else ""
    if other is None:
        return replace(record, reasoning=""), ""
    return replace(record, reasoning=other.reasoning), other.identity
