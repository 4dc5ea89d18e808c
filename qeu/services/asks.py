"""One text wanted from one model, what is known of it so far, and how it is written down."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qeu.backends.base import Prepared
from qeu.backends.catalog import find_layout, split_ref
from qeu.core.contract import Check, check_answer, check_reasoning
from qeu.core.generation import Generation
from qeu.core.prompts import FieldSpan, Prompt, render, split_completion
from qeu.core.record import Record
from qeu.core.roles import ROLES, Role
from qeu.core.sampling import Sampling


@dataclass(frozen=True)
class Ask:
    """One text wanted from one model.

    `key` names it among its run ("left", "creator", …); `model` is `NAME` or `NAME@ADAPTER`;
    `layout` empty takes the model's own; `expected_language` empty takes what the role implies.
    `own_layout` is what the model's adapter learned, "" where nobody knows. `begun` are tokens that
    the text begins with, as the next-token view put them there.
    """

    key: str
    model: str
    record: Record
    role: Role
    target: str
    sampling: Sampling
    layout: str = ""
    use_reasoning: bool = True
    expected_language: str = ""
    logician: Role = ROLES["logician"]
    own_layout: str = ""
    begun: tuple[int, ...] = ()

    @property
    def model_name(self) -> str:
        """The base model, without adapter."""
        return split_ref(self.model)[0]

    def chosen_layout(self) -> str:
        """The layout that will be used."""
        return self.layout or self.own_layout or find_layout(self.model_name)

    def prompt(self) -> Prompt:
        """The prompt as `render` makes it; raises QeuError for an empty question."""
        record = self.record if self.use_reasoning else replace(self.record, reasoning="")
        rendered = render(record, self.chosen_layout(), self.role, self.target, self.logician)
        return rendered.prompt


@dataclass
class Live:
    """What is known of one ask so far; times in seconds since its computation began.

    Phases: queued → loading → waiting (others compute) → reading (the prompt) → writing →
    done | failed. `ended` is the finish reason once the text is complete, which may be before
    `generation` is there: that comes with the whole batch. `ahead` counts the runs before this
    one while waiting; `waits_s` is how long a hosted engine waits for its provider's limit.
    """

    ask: Ask
    phase: str = "queued"
    text: str = ""
    new_tokens: int = 0
    ttft_s: float = 0.0
    seconds: float = 0.0
    ahead: int = 0
    waits_s: float = 0.0
    loading: str = ""
    loaded_share: float = 0.0
    context: int = 0
    prepared: Prepared | None = None
    generation: Generation | None = None
    error: str = ""
    ended: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ("done", "failed")

    @property
    def tokens_over(self) -> int:
        """By how many tokens the prompt and one new token exceed the model's context; 0 if none."""
        if self.prepared is None or not self.context:
            return 0
        return max(0, self.prepared.tokens + 1 - self.context)

    @property
    def tokens_per_s(self) -> float:
        """Speed after the first token; 0 while there is too little to tell."""
        if self.generation:
            return self.generation.tokens_per_s
        span = self.seconds - self.ttft_s
        return (self.new_tokens - 1) / span if self.new_tokens > 1 and span > 0 else 0.0

    def end(self, generation: Generation) -> None:
        """Take in the last there is."""
        self.generation, self.text = generation, generation.text
        self.new_tokens, self.ttft_s = generation.new_tokens, generation.ttft_s
        self.phase = "failed" if generation.finish_reason == "error" else "done"
        self.error = generation.error

    def parts(self) -> tuple[str, str]:
        """(reasoning, answer) of the text so far."""
        return split_completion(self.text, self.ask.chosen_layout(), self.ask.target)

    def checks(self) -> dict[str, tuple[Check, ...]]:
        """The checks of each part that the model itself wrote, as they stand now."""
        return check_parts(self.ask, self.text, final=self.finished)


def check_parts(ask: Ask, text: str, final: bool = True) -> dict[str, tuple[Check, ...]]:
    """Checks by part ("reasoning", "answer") of a text that was written for `ask`."""
    reasoning, answer = split_completion(text, ask.chosen_layout(), ask.target)
    found: dict[str, tuple[Check, ...]] = {}
    record = ask.record
    if ask.target != "answer" and (reasoning or final):
        found["reasoning"] = check_reasoning(
            reasoning,
            category=record.category,
            question=record.question,
            reference=record.output,
            expected_language=ask.expected_language or "en",
            final=final,
        )
    if ask.target == "answer" or (ask.target == "both" and (answer or final)):
        # A translator's language is the task's business; the other roles answer in English.
        expected = ask.expected_language or (None if ask.role.id == "translator" else "en")
        found["answer"] = check_answer(answer, expected_language=expected, final=final)
    return found


def broken_generation(live: Live, finish_reason: str, error: str) -> Generation:
    """What is known of an ask that its engine gave no generation for: stopped early, or failed."""
    ask = live.ask
    model, adapter = split_ref(ask.model)
    reasoning, answer = live.parts()
    return Generation(
        text=live.text,
        reasoning=reasoning,
        answer=answer,
        finish_reason=finish_reason,
        prompt_tokens=live.prepared.tokens if live.prepared else 0,
        new_tokens=live.new_tokens,
        ttft_s=live.ttft_s,
        tokens_per_s=live.tokens_per_s,
        model=model,
        revision="",
        adapter=adapter,
        adapter_hash=None,
        layout=ask.chosen_layout(),
        target=ask.target,
        seed=ask.sampling.seed,
        receipt=None,
        error=error,
        prompt_text=live.prepared.text if live.prepared else "",
    )


def side_json(live: Live) -> dict[str, object]:
    """One side as the command line prints it and the history stores it."""
    nothing = live.phase == "failed" and not live.text
    found = {} if nothing else live.checks()
    checks = {part: [check.to_json() for check in checks] for part, checks in found.items()}
    generation = live.generation or broken_generation(live, "cancelled", "")
    spans = live.prepared.spans if live.prepared else ()
    fields = [[span.field, span.start, span.end] for span in spans]
    return generation.to_json() | {"checks": checks, "prompt_fields": fields}


def restore_live(ask: Ask, stored: Mapping[str, object]) -> Live:
    """A side as it stood at its end, from what `side_json` had made of it."""
    extra = ("checks", "prompt_fields")
    generation = Generation.from_json({k: v for k, v in stored.items() if k not in extra})
    spans = tuple(FieldSpan(*field) for field in stored.get("prompt_fields", ()))  # type: ignore
    failed = generation.finish_reason == "error"
    return Live(
        ask,
        phase="failed" if failed else "done",
        text=generation.text,
        new_tokens=generation.new_tokens,
        ttft_s=generation.ttft_s,
        prepared=Prepared(generation.prompt_text, spans, ()),
        generation=generation,
        error=generation.error,
    )
