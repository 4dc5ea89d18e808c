"""The one place where a record becomes a prompt and a completion, field by field.

Preview, inference and training all call `render`; because every piece of text comes with the name
of its field, loss masks and colours need no search for markers. Exact strings: DESIGN of the
layouts, held by tests/core/test_prompts.py. Does not know tokenizers or chat templates.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.core.roles import ROLES, Role, reasoning_task
from qeu.core.text import clean_value

LAYOUTS = ("chat", "bonsai-v2", "bonsai-v1", "bonsai-v2-notes")
TARGETS = ("answer", "reasoning", "both", "reasoning_task")
END_OF_TEXT = "<|endoftext|>"
# Indentation that the notes' f-string put before every marker of its prompt.
NOTES_INDENT = "    "
# Inputs this short are left out: Alpaca files write "-" or "." for "no input".
SHORTEST_INPUT = 2

CHAT_REASONING_HEAD = "Reasoning:\n"
CHAT_ANSWER_HEAD = "\nAnswer:\n"
_CHAT_ANSWER = re.compile(r"(?im)^[ \t]*(?:\*\*|#+ *)?answer(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*\n?")
_CHAT_REASONING = re.compile(
    r"(?i)\A\s*(?:\*\*|#+ *)?reasoning(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*\n?"
)
_MARKERS = ("system", "prompt", "instruction", "context", "reasoning", "response", "endoftext")
_FORGED_MARKER = re.compile(r"<\|(?=(?:" + "|".join(_MARKERS) + r")\|>)")


@dataclass(frozen=True)
class Segment:
    """A piece of text and the field it belongs to.

    Fields: system, task, instruction, input, reasoning, output; `marker` is layout of ours,
    `template` layout of a model's own chat template.
    """

    field: str
    text: str


@dataclass(frozen=True)
class FieldSpan:
    """Where a field stands in a text: code-point offsets [start, end)."""

    field: str
    start: int
    end: int


@dataclass(frozen=True)
class Message:
    """One turn of a chat: `role` is system, user or assistant."""

    role: str
    segments: tuple[Segment, ...]

    @property
    def content(self) -> str:
        """The turn's whole text."""
        return join_segments(self.segments)


@dataclass(frozen=True)
class Prompt:
    """What a model is given: tagged layouts have `segments`, the chat layout has `messages`.

    `prefill` is text that the answer is made to begin with (chat, target `both`).
    `stop` are texts that end the generation; they are not part of the result.
    """

    layout: str
    target: str
    segments: tuple[Segment, ...] = ()
    messages: tuple[Message, ...] = ()
    prefill: str = ""
    stop: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The exact text of a tagged layout; a chat's is known to its model's template only."""
        return join_segments(self.segments)

    @property
    def spans(self) -> tuple[FieldSpan, ...]:
        """The fields within `text`."""
        return field_spans(self.segments)


@dataclass(frozen=True)
class Rendered:
    """A prompt and the completion that belongs to it (empty where the record has none yet)."""

    prompt: Prompt
    completion: tuple[Segment, ...] = ()

    @property
    def completion_text(self) -> str:
        """What a model would have to write after the prompt, without its end token."""
        return join_segments(self.completion)


def join_segments(segments: Iterable[Segment]) -> str:
    """The text that the segments make up."""
    return "".join(segment.text for segment in segments)


def field_spans(segments: Iterable[Segment]) -> tuple[FieldSpan, ...]:
    """The segments' places in their joined text; empty segments have none."""
    spans, at = [], 0
    for segment in segments:
        if segment.text:
            spans.append(FieldSpan(segment.field, at, at + len(segment.text)))
        at += len(segment.text)
    return tuple(spans)


def render(
    record: Record,
    layout: str,
    role: Role,
    target: str,
    logician: Role = ROLES["logician"],
    task: str = "",
) -> Rendered:
    """Turn a record into prompt and completion for one layout, role and target.

    Targets: `answer` (with the record's reasoning, or none), `reasoning` (the slot way), `both`,
    `reasoning_task` (the logician's way: `logician` speaks whatever `role` says, unless `role`
    is itself an edited logician). `task` replaces the shipped sentences that ask for a reasoning.
    Raises QeuError for an unknown layout or target and for a record without instruction.
    """
    if layout not in LAYOUTS:
        raise QeuError(f"Unknown prompt layout {layout!r}. Choose one of: {', '.join(LAYOUTS)}.")
    if target not in TARGETS:
        raise QeuError(f"Unknown target {target!r}. Choose one of: {', '.join(TARGETS)}.")
    values = _Values.of(record, layout)
    if not values.instruction:
        raise QeuError("The question is empty. Write an instruction first.")
    task = clean_value(task) or reasoning_task(record.category)
    if target == "reasoning_task":
        speaker = role if role.id == "logician" else logician
        system = _value(speaker.text, layout)
        return (
            _chat_task(values, system, task)
            if layout == "chat"
            else _tagged_task(values, system, task, layout)
        )
    system = _value(role.text, layout)
    if layout == "chat":
        return _chat(values, system, target, task)
    return _tagged(values, system, target, layout)


def split_completion(text: str, layout: str, target: str) -> tuple[str, str]:
    """Split what a model wrote into (reasoning, answer), both stripped; no words are lost.

    `both` and `reasoning` without the sign that starts the answer: all of it is reasoning, the
    answer is "". `reasoning_task`: what stands after `<|response|>` is the reasoning, and what
    stands before it came too early to be the result: it counts only where nothing follows.
    """
    if target == "answer":
        return "", text.strip()
    if layout != "chat":
        before, _, after = (part.strip() for part in text.partition("<|response|>"))
        return (after or before, "") if target == "reasoning_task" else (before, after)
    text = _CHAT_REASONING.sub("", text, count=1)
    if target != "both":
        return text.strip(), ""
    head = _CHAT_ANSWER.search(text)
    if head is None:
        return text.strip(), ""
    return text[: head.start()].strip(), text[head.end() :].strip()


@dataclass(frozen=True)
class _Values:
    """The record's values as they may enter a prompt of this layout."""

    instruction: str
    input: str
    reasoning: str
    output: str

    @classmethod
    def of(cls, record: Record, layout: str) -> "_Values":
        given_input = _value(record.input, layout)
        return cls(
            _value(record.instruction, layout),
            given_input if len(given_input) >= SHORTEST_INPUT else "",
            _value(record.reasoning, layout),
            _value(record.output, layout),
        )

    def question(self) -> list[Segment]:
        """Instruction and input as one text, a blank line between."""
        found = [Segment("instruction", self.instruction)]
        if self.input:
            found += [Segment("marker", "\n\n"), Segment("input", self.input)]
        return found


def _value(text: str, layout: str) -> str:
    """A value cleaned, and unable to pose as a marker: `<|response|>` becomes `< |response|>`."""
    text = clean_value(text)
    return text if layout == "chat" else _FORGED_MARKER.sub("< |", text)


def _tagged(values: _Values, system: str, target: str, layout: str) -> Rendered:
    lines = _head(values, system, layout)
    if target == "answer":
        if values.reasoning:
            lines.append([_tag("reasoning"), Segment("reasoning", values.reasoning)])
        lines.append([_tag("response")])
        completion = (Segment("output", values.output),) if values.output else ()
        return Rendered(_tagged_prompt(lines, layout, target), completion)
    lines.append([_tag("reasoning")])
    stop = ("<|response|>",) if target == "reasoning" else ()
    completion = ()
    if target == "reasoning" and values.reasoning:
        completion = (Segment("reasoning", values.reasoning),)
    elif target == "both" and (values.reasoning or values.output):
        completion = (
            Segment("reasoning", values.reasoning),
            Segment("marker", _break(layout) + "<|response|>"),
            Segment("output", values.output),
        )
    return Rendered(_tagged_prompt(lines, layout, target, stop), completion)


def _tagged_task(values: _Values, system: str, task: str, layout: str) -> Rendered:
    question = values.question()
    asked = replace(values, instruction=_value(task, layout), input="")
    lines = _head(asked, system, layout, question)
    lines.append([_tag("reasoning")])
    completion = ()
    if values.reasoning:
        marker = Segment("marker", _break(layout) + "<|response|>")
        completion = (marker, Segment("reasoning", values.reasoning))
    return Rendered(_tagged_prompt(lines, layout, "reasoning_task"), completion)


def _head(
    values: _Values, system: str, layout: str, context: list[Segment] | None = None
) -> list[list[Segment]]:
    """The lines before the reasoning; with `context` the instruction is a task about it."""
    lines = [[_tag("system"), Segment("system", system)]]
    instruction = Segment("instruction" if context is None else "task", values.instruction)
    if context is None:
        context = [Segment("input", values.input)] if values.input else []
    if layout == "bonsai-v1":
        gap = [Segment("marker", "\n\n")] if context else []
        lines.append([_tag("prompt"), instruction, *gap, *context])
    else:
        lines.append([_tag("instruction"), instruction])
        if context:
            lines.append([_tag("context"), *context])
    return lines


def _tagged_prompt(
    lines: list[list[Segment]], layout: str, target: str, stop: tuple[str, ...] = ()
) -> Prompt:
    segments = [Segment("marker", _break(layout))] if layout == "bonsai-v2-notes" else []
    segments += lines[0]
    for _, line in pairwise(lines):
        segments += [Segment("marker", _break(layout)), *line]
    return Prompt(layout, target, segments=tuple(segments), stop=stop)


def _break(layout: str) -> str:
    return "\n" + NOTES_INDENT if layout == "bonsai-v2-notes" else "\n"


def _tag(name: str) -> Segment:
    return Segment("marker", f"<|{name}|>")


def _chat(values: _Values, system: str, target: str, task: str) -> Rendered:
    question = values.question()
    messages = [Message("system", (Segment("system", system),))] if system else []
    if target == "answer":
        if values.reasoning:
            question += [
                Segment("marker", "\n\nFollow this reasoning:\n"),
                Segment("reasoning", values.reasoning),
            ]
        messages.append(Message("user", tuple(question)))
        completion = (Segment("output", values.output),) if values.output else ()
        return Rendered(Prompt("chat", target, messages=tuple(messages)), completion)
    if target == "reasoning":
        asked = [Segment("task", task), Segment("marker", "\n\n"), *question]
        messages.append(Message("user", tuple(asked)))
        completion = (Segment("reasoning", values.reasoning),) if values.reasoning else ()
        return Rendered(Prompt("chat", target, messages=tuple(messages)), completion)
    question += [
        Segment("marker", "\n\n"),
        Segment(
            "task",
            'First write your reasoning after "Reasoning:", without giving the answer away. '
            'Then write the answer after "Answer:".',
        ),
    ]
    messages.append(Message("user", tuple(question)))
    completion = ()
    if values.reasoning or values.output:
        completion = (
            Segment("reasoning", values.reasoning),
            Segment("marker", CHAT_ANSWER_HEAD),
            Segment("output", values.output),
        )
    return Rendered(
        Prompt("chat", target, messages=tuple(messages), prefill=CHAT_REASONING_HEAD), completion
    )


def _chat_task(values: _Values, system: str, task: str) -> Rendered:
    rendered = _chat(values, system, "reasoning", task)
    return replace(rendered, prompt=replace(rendered.prompt, target="reasoning_task"))
