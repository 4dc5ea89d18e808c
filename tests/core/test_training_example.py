"""A record as ids and labels: what is learned, by which part, and what a cut takes."""

from dataclasses import replace
from itertools import groupby

import pytest

from qeu.core.errors import QeuError
from qeu.core.prompts import FieldSpan, Rendered, field_spans
from qeu.core.record import Record
from qeu.core.training_example import (
    NOT_LEARNED,
    Encoded,
    TrainingExample,
    make_example,
    token_fields,
)
from qeu.core.training_variant import Variant

END = 0
RECORD = Record("Sort these.", "7, 3 and 5", "Look at the tens.", "3, 5, 7", seq="1EN")
OTHER = Record("Add them.", "", "Begin at the right.", "12", seq="2EN")
BOTH = Variant(layout="bonsai-v2", target="both")


def letters(rendered: Rendered) -> Encoded:
    """Each character is a token, its number the id."""
    prompt, completion = rendered.prompt.text, rendered.completion_text
    fields = token_fields(range(len(prompt)), rendered.prompt.spans)
    if completion:
        fields += token_fields(range(len(completion)), field_spans(rendered.completion))
    return Encoded(tuple(map(ord, prompt + completion)), fields, len(prompt))


def make(variant: Variant = BOTH, record: Record = RECORD, other: Record | None = None):
    return make_example(record, variant, letters, END, other)


def learned(example: TrainingExample) -> str:
    """What is learned, the end as $."""
    ids = [label for label in example.labels if label != NOT_LEARNED]
    return "".join(chr(i) if i != END else "$" for i in ids)


def test_ids_are_prompt_completion_and_end():
    example = make()
    text = "".join(map(chr, example.input_ids[:-1]))
    assert text.endswith("<|reasoning|>Look at the tens.\n<|response|>3, 5, 7")
    assert "7, 3 and 5" in text
    assert example.input_ids[-1] == END
    assert len(example.labels) == len(example.parts) == len(example.fields) == example.tokens
    pairs = zip(example.labels, example.input_ids, strict=True)
    assert all(label in (i, NOT_LEARNED) for label, i in pairs)


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        (("reasoning", "output"), "both", "Look at the tens.\n<|response|>3, 5, 7$"),
        (("reasoning",), "both", "Look at the tens.\n<|response|>"),
        (("output",), "both", "3, 5, 7$"),
        (("reasoning", "output"), "answer", "3, 5, 7$"),
        (("reasoning", "output"), "reasoning", "Look at the tens.$"),
        (("reasoning",), "reasoning_task", "\n<|response|>Look at the tens.$"),
        (("reasoning",), "answer", ""),
    ],
)
def test_each_part_is_learned_with_what_closes_it(loss, target, expected):
    assert learned(make(replace(BOTH, loss_on=loss, target=target))) == expected


def test_the_prompt_is_learned_only_where_it_is_asked_for():
    example = make(replace(BOTH, loss_on=("prompt", "reasoning", "output")))
    assert example.labels == example.input_ids
    only = make(replace(BOTH, loss_on=("prompt",)))
    assert learned(only).startswith("<|system|>")
    assert learned(only).endswith("<|reasoning|>")


def test_tokens_are_counted_by_field_wherever_it_stands():
    given = make(replace(BOTH, target="answer")).field_tokens()
    written = make().field_tokens()
    assert given["reasoning"] == written["reasoning"] == len(RECORD.reasoning)
    assert written["output"] == len(RECORD.output)
    assert written["input"] == len(RECORD.input)
    assert written["end"] == 1
    assert sum(written.values()) == make().tokens


def test_a_token_over_a_border_belongs_to_where_it_begins():
    spans = (FieldSpan("reasoning", 0, 5), FieldSpan("marker", 5, 6), FieldSpan("output", 6, 9))
    assert token_fields((0, 4, 6, 8), spans) == ("reasoning", "reasoning", "output", "output")
    assert token_fields((5, 9), spans) == ("marker", "output")


def test_the_reasoning_is_its_own_anothers_or_none():
    own, none = make(), make(replace(BOTH, reasoning="none"))
    placebo = make(replace(BOTH, reasoning="shuffled"), other=OTHER)
    assert own.reasoning_from == own.record == RECORD.identity
    assert (none.reasoning_from, placebo.reasoning_from) == ("", OTHER.identity)
    assert learned(none) == "\n<|response|>3, 5, 7$"
    assert learned(placebo) == "Begin at the right.\n<|response|>3, 5, 7$"
    assert placebo.record == RECORD.identity


def test_the_shuffled_reasoning_without_another_record_is_not_its_own():
    assert "Look" not in learned(make(replace(BOTH, reasoning="shuffled")))


def test_dropping_takes_the_reasoning_of_all_at_one():
    assert learned(make(replace(BOTH, reasoning_dropout=1.0))) == "\n<|response|>3, 5, 7$"


def test_an_empty_completion_has_no_end_to_learn():
    variant = Variant(target="answer", loss_on=("prompt", "output"))
    example = make(variant, replace(RECORD, output=""))
    assert example.labels[-1] == NOT_LEARNED
    assert example.input_ids[-1] == END


def test_what_a_cut_loses_from_nothing_to_all():
    example = make()
    end = example.tokens
    prompt = example.parts.index("reasoning")
    answer = example.parts.index("output")
    cuts = groupby(range(1, end + 2), example.lost_at)
    runs = [(name, next(found)) for name, found in cuts]
    assert runs == [
        ("nothing_left", 1),
        ("answer_lost", prompt + 1),
        ("answer_cut", answer + 1),
        ("nothing", end),
    ]


def test_without_an_answer_the_reasoning_is_what_is_cut():
    example = make(replace(BOTH, target="reasoning"))
    start = example.parts.index("reasoning")
    assert example.lost_at(start) == "nothing_left"
    assert example.lost_at(start + 1) == "reasoning_cut"
    assert example.lost_at(example.tokens - 1) == "reasoning_cut"


def test_losing_what_is_not_learned_is_no_loss():
    example = make(replace(BOTH, loss_on=("reasoning",)))
    answer = example.parts.index("output")
    assert example.lost_at(answer) == "nothing"
    assert example.lost_at(answer - 1) == "reasoning_cut"
    only = make(replace(BOTH, loss_on=("prompt",)))
    assert only.lost_at(5) == "prompt_cut"
    assert only.lost_at(1) == "nothing_left"


def test_a_cut_example_is_its_beginning():
    whole = make()
    cut = whole.cut(100)
    assert (cut.tokens, len(cut.labels), len(cut.parts), len(cut.fields)) == (100,) * 4
    assert whole.input_ids[:100] == cut.input_ids
    at = whole.parts.index("output") + 2
    assert whole.cut(at).learned_tokens() == whole.learned_tokens(at) > 0


def test_a_record_without_instruction_is_refused():
    with pytest.raises(QeuError, match="instruction"):
        make(record=replace(RECORD, instruction=" "))
