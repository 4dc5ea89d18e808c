"""What every engine can do: prompts in, streamed pieces and finished generations out."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from qeu.backends.compute_queue import Turn
from qeu.core.errors import QeuError
from qeu.core.generation import Generation, Parameter, Receipt
from qeu.core.prompts import FieldSpan, Prompt, split_completion
from qeu.core.sampling import Sampling

OnDone = Callable[[int, Generation], None]


class EngineGone(QeuError):
    """An engine cannot be reached now; another time it may be."""


@dataclass(frozen=True)
class Row:
    """One prompt with its own settings; `adapter` None is the base model itself.

    `stop` may be set from any thread at any time and ends this row only. So does `hold`, but a row
    that was sent to a server goes on then; engines of this machine look at `stop` alone.
    `begun` are tokens that the text begins with; only engines of this machine can go on from them.
    """

    prompt: Prompt
    sampling: Sampling
    adapter: str | None = None
    stop: threading.Event | None = None
    hold: threading.Event | None = None
    begun: tuple[int, ...] = ()


@dataclass(frozen=True)
class Piece:
    """News of one row: `text` is new text to append, counts are totals so far.

    `finish_reason` is set on the row's last piece: the others of its batch may go on.
    `new_tokens` 0 with empty text means that computation of the prompt has begun, or, with
    `waits_s` above 0, that a hosted engine waits that many seconds for its provider's limit.
    """

    row: int
    text: str
    new_tokens: int
    seconds: float
    finish_reason: str = ""
    waits_s: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """A prompt as a model will read it.

    `text` includes the template's special tokens; `spans` name the fields within it
    ("template" where the model's own chat template speaks). `notes` say where a role text went
    if the template has no place for it. `stop` are texts that end the generation beside those of
    the prompt (a model without a chat template would go on with the next turn).
    """

    text: str
    spans: tuple[FieldSpan, ...]
    token_ids: tuple[int, ...]
    notes: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Length of the prompt in this model's tokens."""
        return len(self.token_ids)


@dataclass(frozen=True)
class EngineIdentity:
    """The engine as part of a cache key; `base_url` None is a local model."""

    model: str
    revision: str
    dtype: str
    adapter_hash: str | None = None
    base_url: str | None = None


class Backend(Protocol):
    """An engine with one loaded base model (or one hosted model)."""

    name: str
    context: int

    def prepare(self, prompt: Prompt) -> Prepared:
        """Render and tokenize without computing anything."""
        ...

    def generate(
        self,
        rows: Sequence[Row],
        emit: Callable[[Piece], None] | None = None,
        *,
        exact: bool = False,
        on_done: OnDone | None = None,
        turn: "Turn | None" = None,
    ) -> list[Generation]:
        """Run all rows together; one generation a row, in their order.

        A row that fails has finish reason "error" and a sentence; the others go on.
        `emit` is called on the computing thread and must be quick; so is `on_done`, with each
        row's number and generation as soon as it has ended, which may be long before the last.
        With `turn` an engine of this machine gives way between its steps to others who wait.
        """
        ...

    def identify(self, adapter: str | None) -> EngineIdentity:
        """What a text depends on beside its request; raises QeuError for an unknown adapter."""
        ...


class EchoBackend:
    """Tests only: writes the prompt back, a word at a time, through the same shapes."""

    name = "echo"
    context = 1_000

    def prepare(self, prompt: Prompt) -> Prepared:
        """One token a character."""
        text = prompt.text or "\n".join(m.content for m in prompt.messages)
        return Prepared(text, (FieldSpan("template", 0, len(text)),), tuple(map(ord, text)))

    def generate(
        self,
        rows: Sequence[Row],
        emit: Callable[[Piece], None] | None = None,
        *,
        exact: bool = False,
        on_done: OnDone | None = None,
        turn: "Turn | None" = None,
    ) -> list[Generation]:
        """Echo every row, honouring `max_new_tokens` (words) and each row's stop."""
        found = []
        for index, row in enumerate(rows):
            found.append(self._echo(index, row, emit, exact, len(rows)))
            if on_done:
                on_done(index, found[-1])
        return found

    def identify(self, adapter: str | None) -> EngineIdentity:
        """Always the same one."""
        return EngineIdentity("echo", "0", "none", adapter)

    def _echo(
        self,
        index: int,
        row: Row,
        emit: Callable[[Piece], None] | None,
        exact: bool,
        batch: int,
    ) -> Generation:
        prepared = self.prepare(row.prompt)
        words = prepared.text.split()
        limit, text, reason = row.sampling.max_new_tokens, "", "stop"
        for count, word in enumerate(words, start=1):
            if row.stop and row.stop.is_set():
                reason = "cancelled"
                break
            if count > limit:
                reason = "length"
                break
            text += word + " "
            if emit:
                emit(Piece(index, word + " ", count, 0.0))
        reasoning, answer = split_completion(text, row.prompt.layout, row.prompt.target)
        asked = row.sampling.to_json()
        receipt = Receipt(
            tuple(Parameter(name, value, value) for name, value in asked.items()),
            "echo",
            "none",
            "cpu",
            batch,
            exact,
            {},
        )
        return Generation(
            text,
            reasoning,
            answer,
            reason,
            prepared.tokens,
            min(len(words), limit),
            0.0,
            0.0,
            "echo",
            "0",
            row.adapter,
            None,
            row.prompt.layout,
            row.prompt.target,
            row.sampling.seed,
            receipt,
            prompt_text=prepared.text,
        )
