"""What a way of an evaluation is asked, and what it is measured on, record by record."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from qeu.core.eval_spec import Way
from qeu.core.prompts import CHAT_ANSWER_HEAD, Message, Prompt, Rendered, Segment, render
from qeu.core.record import Record
from qeu.core.roles import Role, role_for

# Longer ones would take the room of the question.
MOST_EXAMPLE_CHARACTERS = 700


@dataclass(frozen=True)
class Given:
    """A text that is foretold: a completion behind a prompt.

    `ends`: whether the model's end token belongs to it.
    """

    prompt: Prompt
    completion: str
    ends: bool = True


@dataclass(frozen=True)
class Asking:
    """A way with all that it leaves open decided: layout, role, and what it writes first."""

    way: Way
    layout: str
    role: Role
    target: str

    @property
    def writes_reasoning(self) -> bool:
        """Whether the reasoning is its own."""
        return self.way.reasoning == "own"

    @property
    def answers_later(self) -> bool:
        """Whether it writes a reasoning only, and is asked again for the answer behind it."""
        return self.target in ("reasoning", "reasoning_task")

    def first(self, record: Record, reasoning: str, examples: Sequence[Record] = ()) -> Prompt:
        """What it is asked first; `reasoning` is what is given to it, "" for none."""
        shown = replace(record, reasoning="" if self.writes_reasoning else reasoning)
        return self._render(shown, self.target, examples).prompt

    def second(self, record: Record, reasoning: str, examples: Sequence[Record] = ()) -> Prompt:
        """What it is asked for the answer, behind the reasoning that it wrote."""
        return self._render(replace(record, reasoning=reasoning), "answer", examples).prompt

    def answer(self, record: Record, reasoning: str, examples: Sequence[Record] = ()) -> Given:
        """The record's answer behind this reasoning, in the form in which it is really asked."""
        if self.target == "both" and self.layout == "chat":
            asked = self._render(record, "both", examples).prompt
            head = f"{asked.prefill}{reasoning.strip()}{CHAT_ANSWER_HEAD}"
            return Given(replace(asked, prefill=head), record.output.strip())
        rendered = self._render(replace(record, reasoning=reasoning), "answer", examples)
        return Given(rendered.prompt, rendered.completion_text)

    def reasoning(self, record: Record, examples: Sequence[Record] = ()) -> Given:
        """The record's reasoning where this way writes its own, up to the answer's mark."""
        target = self.target if self.target != "answer" else "both"
        rendered = self._render(record, target, examples)
        if target != "both":
            return Given(rendered.prompt, rendered.completion_text)
        words = [segment.text for segment in rendered.completion if segment.field != "output"]
        return Given(rendered.prompt, "".join(words), ends=False)

    def _render(self, record: Record, target: str, examples: Sequence[Record]) -> Rendered:
        role = role_for(self.role, record.category)
        rendered = render(record, self.layout, role, target)
        if not examples or self.layout != "chat":
            return rendered
        turns: list[Message] = []
        for example in examples:
            if target == "answer" and self.way.reasoning == "none":
                example = replace(example, reasoning="")
            shown = render(example, self.layout, role, target)
            done = shown.prompt.prefill + shown.completion_text
            turns += [shown.prompt.messages[-1], Message("assistant", (Segment("marker", done),))]
        own = rendered.prompt.messages
        prompt = replace(rendered.prompt, messages=(*own[:-1], *turns, own[-1]))
        return replace(rendered, prompt=prompt)


class ExamplePool:
    """Records that may stand as worked examples before another one's question."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._usable = [
            (one, one.identity)
            for one in records
            if one.output.strip()
            and one.instruction.strip()
            and len(one.question) + len(one.output) + len(one.reasoning) <= MOST_EXAMPLE_CHARACTERS
        ]

    def choose(self, record: Record, count: int) -> tuple[Record, ...]:
        """So many examples for a record, the same on every machine; fewer where there are none.

        First of its category and language, then of its language, then any; never its own question.
        """
        identity = record.identity if count else ""

        def order(pair: tuple[Record, str]) -> tuple[bool, bool, bytes]:
            one, other = pair
            draw = hashlib.sha256(f"{identity}/{other}".encode()).digest()
            return one.language != record.language, one.category != record.category, draw

        usable = (pair for pair in self._usable if pair[0].question != record.question)
        return tuple(one for one, _ in nsmallest(count, usable, key=order))
