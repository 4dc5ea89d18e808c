"""Have the texts of an evaluation written: each is stored at once, and none is made twice."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qeu.backends.base import Row
from qeu.backends.catalog import is_hosted
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt
from qeu.core.request import Request
from qeu.core.sampling import Sampling
from qeu.services.evaluate_model import ModelUser, group_missing
from qeu.services.evaluate_setup import ReadyWay
from qeu.store.generations import KEPT_ENDS, find_generations, insert_generations

# Rows handed to an engine at once, base and adapters together; it makes batches of its own.
TOGETHER = 256
# How long a finished text may be lost with the process.
_FLUSH_S, _FLUSH_COUNT = 2.0, 16


@dataclass(frozen=True)
class Asked:
    """One text that is wanted, and the key that it is kept under."""

    way: ReadyWay
    prompt: Prompt
    sampling: Sampling
    key: str


def make_asked(way: ReadyWay, prompt: Prompt, sampling: Sampling, exact: bool) -> Asked:
    """The request for a text, with its key."""
    identity = way.identity
    request = Request(
        model=identity.model,
        revision=identity.revision,
        prompt=prompt,
        sampling=sampling,
        adapter=way.adapter,
        adapter_hash=identity.adapter_hash,
        base_url=identity.base_url,
        dtype=identity.dtype,
        exact=exact,
    )
    return Asked(way, prompt, sampling, request.key())


class Writer(ModelUser):
    """Writes texts with one model after the other; what another evaluation has written is taken."""

    def write(
        self, asked: Iterable[Asked], tell: Callable[[int], None] = lambda done: None
    ) -> dict[str, Generation]:
        """The texts by key, those that failed among them; fewer where it was stopped.

        Raises QeuError where an engine cannot go on at all: what was written is kept.
        """
        wanted = {one.key: one for one in asked}
        found = find_generations(self._workspace, list(wanted))
        tell(len(found))
        for missing in group_missing(wanted, found, lambda one: one.way.model):
            # each adapter in a batch costs small products of its own at every layer
            missing.sort(key=lambda one: one.way.adapter or "")
            for start in range(0, len(missing), TOGETHER):
                if self._stop.is_set():
                    return found
                self._run(missing[start : start + TOGETHER], found, tell)
        return found

    def _run(
        self, part: Sequence[Asked], found: dict[str, Generation], tell: Callable[[int], None]
    ) -> None:
        model = part[0].way.model
        engine = self._load(model)
        waiting: dict[str, Generation] = {}
        flushed = time.monotonic()

        def on_done(index: int, generation: Generation) -> None:
            nonlocal flushed
            if generation.finish_reason == "cancelled":
                return
            key = part[index].key
            found[key] = generation
            if generation.finish_reason in KEPT_ENDS:
                waiting[key] = generation
            tell(len(found))
            if len(waiting) >= _FLUSH_COUNT or time.monotonic() - flushed > _FLUSH_S:
                self._store(waiting)
                flushed = time.monotonic()

        rows = [
            Row(one.prompt, one.sampling, one.way.adapter, stop=self._stop, hold=self._stop)
            for one in part
        ]
        try:
            if is_hosted(model):
                engine.generate(rows, exact=self._exact, on_done=on_done)
            else:
                with self._turn() as mine:
                    if mine:
                        engine.generate(rows, exact=self._exact, on_done=on_done, turn=mine)
        finally:
            self._store(waiting)
        _refuse_trouble(part, found)

    def _store(self, waiting: dict[str, Generation]) -> None:
        if waiting:
            with self._workspace.change() as db:
                insert_generations(db, waiting)
            waiting.clear()


def _refuse_trouble(part: Sequence[Asked], found: Mapping[str, Generation]) -> None:
    """What will meet the next texts too ends the evaluation; a text's own failure does not."""
    for one in part:
        generation = found.get(one.key)
        if generation is not None and generation.trouble:
            raise QeuError(
                f"{generation.error} Texts that were written are kept: run it again to go on."
            )
