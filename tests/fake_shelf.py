"""A shelf whose models are written down by the test: what they write, and where they fail."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from qeu.backends.base import EchoBackend, Piece, Row
from qeu.backends.catalog import find_model
from qeu.backends.compute_queue import StopSign
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt, split_completion


@dataclass(frozen=True)
class Step:
    """How far a load is."""

    step: str
    done: int
    total: int


class ScriptedBackend(EchoBackend):
    """Writes `words` to every row, one by one, all rows in step, as the engine's batches do.

    `before_word(row, count)` runs before a word is written: tests stop, wait or raise in it.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        before_word: Callable[[int, int], None] | None = None,
        context: int = 1_000,
    ) -> None:
        self.name, self.words, self.context = name, list(words), context
        self.before_word = before_word or (lambda row, count: None)
        self.batches: list[list[Row]] = []
        self.refuses: Callable[[Prompt], str | None] = lambda prompt: None

    def prepare(self, prompt: Prompt):
        """One token a character; `refuses` may name a reason not to."""
        if sentence := self.refuses(prompt):
            raise QeuError(sentence)
        return super().prepare(prompt)

    def generate(
        self,
        rows: Sequence[Row],
        emit: Callable[[Piece], None] | None = None,
        *,
        exact: bool = False,
        on_done: Callable[[int, Generation], None] | None = None,
        turn: object = None,
    ) -> list[Generation]:
        """All rows a word at a time."""
        self.batches.append(list(rows))
        emit = emit or (lambda piece: None)
        texts, reasons, counts = [""] * len(rows), [""] * len(rows), [0] * len(rows)
        for index in range(len(rows)):
            emit(Piece(index, "", 0, 0.0))
        for count, word in enumerate(self.words, start=1):
            if all(reasons):
                break
            for index, row in enumerate(rows):
                if reasons[index]:
                    continue
                self.before_word(index, count)
                if row.stop and row.stop.is_set():
                    reasons[index] = "cancelled"
                elif count > row.sampling.max_new_tokens:
                    reasons[index] = "length"
                else:
                    texts[index] += word
                    counts[index] = count
                    emit(Piece(index, word, count, count / 10))
        found = [
            self._ended(row, text, reason or "stop", count, exact, len(rows))
            for row, text, reason, count in zip(rows, texts, reasons, counts, strict=True)
        ]
        for index, generation in enumerate(found):
            if on_done:
                on_done(index, generation)
        return found

    def _ended(
        self, row: Row, text: str, reason: str, count: int, exact: bool, batch: int
    ) -> Generation:
        silent = replace(row, stop=None)
        echoed = super()._echo(0, silent, None, exact, batch)
        reasoning, answer = split_completion(text, row.prompt.layout, row.prompt.target)
        return replace(
            echoed,
            text=text,
            reasoning=reasoning,
            answer=answer,
            finish_reason=reason,
            new_tokens=count,
            tokens_per_s=10.0,
            model=self.name,
        )


@dataclass
class FakeQueue:
    """One computes at a time; `turns` counts them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: int = 0
    waiting: int = 0

    @contextmanager
    def turn(self, stop: StopSign, on_place: Callable[[int], None]) -> Iterator[bool]:
        """Wait for the lock, telling how many are before; False where it was stopped."""
        on_place(self.waiting + self.lock.locked())
        self.waiting += 1
        try:
            while not self.lock.acquire(timeout=0.005):
                if stop.is_set():
                    yield False
                    return
        finally:
            self.waiting -= 1
        try:
            self.turns += 1
            yield True
        finally:
            self.lock.release()


class FakeShelf:
    """Models by name; a name that is not given is looked up in the catalog, and writes "Hi"."""

    def __init__(self, *models: ScriptedBackend, free: int = 10**9, size: int = 1) -> None:
        self.models = {model.name: model for model in models}
        self.queue = FakeQueue()
        self.free, self.size = free, size
        self.calls: list[tuple[str, str]] = []
        self.on_load: Callable[[str, StopSign], None] = lambda name, stop: None
        self.steps: tuple[Step, ...] = ()
        self.in_memory: set[str] = set()
        self.adapters, self.local_paths = Path("no-adapters-here"), True

    def load(
        self, model_id, *, exact=False, precision=None, progress=None, stop=None
    ) -> ScriptedBackend:
        """The model, after its steps were told."""
        if model_id not in self.models:
            self.models[find_model(model_id).id] = ScriptedBackend(model_id, ["Hi", " there."])
        if model_id in self.in_memory:
            return self.models[model_id]
        self.calls.append(("load", model_id))
        for step in self.steps:
            if progress:
                progress(step)
        self.on_load(model_id, stop)
        self.in_memory.add(model_id)
        return self.models[model_id]

    def unload(self, model_id: str, **which: object) -> None:
        """Forget that it is in memory."""
        self.calls.append(("unload", model_id))
        self.in_memory.discard(model_id)

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """The same for every model that is not in memory."""
        if model_id not in self.models:
            find_model(model_id)
        return 0 if model_id in self.in_memory else self.size

    def free_bytes(self) -> int:
        """What the test said."""
        return self.free
