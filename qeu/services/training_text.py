"""The text a record trains with: every field in its place, its tokens, what a limit would cut."""

from collections.abc import Callable
from dataclasses import dataclass

from qeu.backends.base import Backend, Prepared
from qeu.core.prompts import (
    FieldSpan,
    Prompt,
    Rendered,
    Segment,
    field_spans,
    join_segments,
    render,
)
from qeu.core.record import Record
from qeu.core.roles import Role


@dataclass(frozen=True)
class TrainingText:
    """Prompt and completion as one text; offsets are code points.

    `tokens` None where no tokenizer was there to count; they include the end token. `kept` is
    where a limit would cut the text (its length: nothing is cut); `learned` where the completion
    begins, which is all that the loss looks at.
    """

    text: str
    spans: tuple[FieldSpan, ...]
    learned: int
    prompt_tokens: int | None = None
    tokens: int | None = None
    kept: int = 0
    notes: tuple[str, ...] = ()


def make_training_text(
    record: Record,
    layout: str,
    role: Role,
    target: str,
    model: Backend | None = None,
    max_tokens: int = 0,
) -> TrainingText:
    """Render a record as training does; with a `model` in its words, counted, cut at `max_tokens`.

    Raises QeuError for an unknown layout or target and for a record without instruction.
    """
    rendered = render(record, layout, role, target)
    if model is None:
        text, spans = _plain(rendered.prompt)
        whole, all_spans = _join(text, spans, rendered)
        return TrainingText(whole, all_spans, len(text), kept=len(whole))
    prepared = model.prepare(rendered.prompt)
    whole, spans = _join(prepared.text, prepared.spans, rendered)
    count = _counter(model)
    completion = rendered.completion_text
    answer_tokens = count(completion) + 1 if completion else 0
    tokens = prepared.tokens + answer_tokens
    kept = len(whole)
    if max_tokens and tokens > max_tokens:
        kept = _find_cut(prepared, completion, count, max_tokens)
    return TrainingText(
        whole, spans, len(prepared.text), prepared.tokens, tokens, kept, prepared.notes
    )


def _find_cut(
    prepared: Prepared, completion: str, count: Callable[[str], int], max_tokens: int
) -> int:
    """Where the text ends that has `max_tokens` tokens; within a chat's prompt about there."""
    room = max_tokens - prepared.tokens
    if room >= 0:
        return len(prepared.text) + _longest(completion, count, room)
    # a template's control tokens count as the characters they are made of: set right by the ratio
    plain = max(1, count(prepared.text))
    return _longest(prepared.text, count, round(max_tokens * plain / max(1, prepared.tokens)))


def _longest(text: str, count: Callable[[str], int], tokens: int) -> int:
    """The length of the longest beginning that has at most so many tokens."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return low


def _counter(model: Backend) -> Callable[[str], int]:
    """Tokens of a bare text: a tagged prompt's, without what the tokenizer puts in front."""

    def ids(text: str) -> tuple[int, ...]:
        segments = (Segment("output", text),)
        return model.prepare(Prompt("bonsai-v2", "answer", segments=segments)).token_ids

    one, other = ids("a"), ids("b")
    same = [x == y for x, y in zip(one, other, strict=False)]
    head = same.index(False) if False in same else len(same)
    return lambda text: len(ids(text)) - head if text else 0


def _join(
    text: str, spans: tuple[FieldSpan, ...], rendered: Rendered
) -> tuple[str, tuple[FieldSpan, ...]]:
    at = len(text)
    more = [FieldSpan(s.field, at + s.start, at + s.end) for s in field_spans(rendered.completion)]
    return text + rendered.completion_text, (*spans, *more)


def _plain(prompt: Prompt) -> tuple[str, tuple[FieldSpan, ...]]:
    """A prompt without a tokenizer: a chat as its turns, since only a model knows its template."""
    if prompt.layout != "chat":
        return prompt.text, prompt.spans
    segments: list[Segment] = []
    for message in prompt.messages:
        segments += [Segment("template", f"{message.role}: "), *message.segments]
        segments.append(Segment("template", "\n\n"))
    segments.append(Segment("template", "assistant: "))
    segments.append(Segment("marker", prompt.prefill))
    return join_segments(segments), field_spans(segments)
