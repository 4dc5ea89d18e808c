"""An engine for tests of bulk jobs: what it writes is a function of the prompt, and it may fail."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from qeu.backends.base import EchoBackend, EngineIdentity, Row
from qeu.core.generation import Generation
from qeu.core.prompts import split_completion


class JobModel(EchoBackend):
    """Writes what `write(prompt text)` says: a text, or a Generation whose fields replace ours.

    `asked` are the prompts in the order they were answered.
    """

    revision, dtype = "r1", "float32"

    def __init__(self, name: str, write: Callable[[str], str | Generation]) -> None:
        self.name, self.write = name, write
        self.asked: list[str] = []
        self.together: list[int] = []
        self._lock = threading.Lock()

    def identify(self, adapter: str | None) -> EngineIdentity:
        """Itself."""
        return EngineIdentity(
            self.name, self.revision, self.dtype, adapter and f"hash of {adapter}"
        )

    def generate(
        self,
        rows: Sequence[Row],
        emit: object = None,
        *,
        exact: bool = False,
        on_done: Callable[[int, Generation], None] | None = None,
        turn: object = None,
    ) -> list[Generation]:
        """Row by row; each is told of as soon as it is done."""
        self.together.append(len(rows))
        found = []
        for index, row in enumerate(rows):
            generation = self._one(row, exact, len(rows))
            if on_done:
                on_done(index, generation)
            found.append(generation)
        return found

    def _one(self, row: Row, exact: bool, batch: int) -> Generation:
        prompt = self.prepare(row.prompt).text
        silent = super()._echo(0, replace(row, stop=None), None, exact, batch)
        if any(sign is not None and sign.is_set() for sign in (row.stop, row.hold)):
            return replace(silent, text="", finish_reason="cancelled")
        with self._lock:
            self.asked.append(prompt)
        written = self.write(prompt)
        if isinstance(written, Generation):
            return written
        reasoning, answer = split_completion(written, row.prompt.layout, row.prompt.target)
        return replace(
            silent, text=written, reasoning=reasoning, answer=answer, finish_reason="stop",
            new_tokens=len(written.split()), model=self.name,
        )  # fmt: skip


def failed(sentence: str, trouble: str = "", again_at: str = "") -> Generation:
    """A generation that failed."""
    return Generation(
        "", "", "", "error", 0, 0, 0.0, 0.0, "m", "", None, None, "chat", "reasoning", 7, None,
        error=sentence, trouble=trouble, again_at=again_at,
    )  # fmt: skip
