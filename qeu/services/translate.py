"""Translate texts with a model: in pieces that fit, streamed, stoppable, checked, remembered.

A run computes on a thread of its own. Whoever started it calls `poll` in a loop and reads `live`.
What was translated well is kept in the workspace; a failed, stopped or wrong one never is.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.base import Backend, Piece, Row
from qeu.backends.catalog import is_hosted, provider_of, split_ref
from qeu.backends.engines import Engines
from qeu.backends.weights import Progress
from qeu.core.errors import QeuError, UsageError
from qeu.core.generation import Generation
from qeu.core.prompts import Prompt
from qeu.core.request import hash_json
from qeu.core.sampling import Sampling
from qeu.core.text import clean_value
from qeu.core.translate_prompts import (
    PROMPT_VERSION,
    TARGETS,
    ask_translation,
    split_text,
    tidy_translation,
)
from qeu.services.translated_text import (
    Translation,
    begin_translation,
    explain_unfit,
    find_card,
    find_fault,
    translation_warning,
)
from qeu.store.translations import StoredTranslation, add_translation, find_translation
from qeu.store.workspace import Workspace, now

log = logging.getLogger(__name__)

# Small models lose the thread in long texts, and a reader wants to see the beginning soon.
MOST_SOURCE_TOKENS = 1_000
# Tokens of a translation for one of its source, at most: a tokenizer made for English takes about
# three for a Japanese character.
GROWTH = 4
SHORTEST_ROOM = 64
# What a hosted model thinks before it writes counts as new tokens too.
THINKING_TOKENS = 2_048
MOST_NEW_TOKENS = 4_096
# The question's own tokens where nobody counts them before it is sent.
GUESSED_AROUND = 200
GREEDY = Sampling(greedy=True, repetition_penalty=1.0)


class TranslationRun:
    """Texts being translated by one model, one after the other; not reusable.

    `phase` is what the model is at: "loading" (`step`, `share`), "waiting" (for `ahead` runs, or
    `waits_s` seconds for a provider's limit) or "writing".
    """

    def __init__(
        self,
        engines: Engines,
        workspace: Workspace,
        texts: Mapping[str, str],
        target: str,
        model: str,
        *,
        run_anyway: bool = False,
        local_paths: bool = True,
        most_new_tokens: int = 0,
    ) -> None:
        """Begin; `most_new_tokens` of all texts together, 0 is no limit.

        Raises UsageError for an unknown target, QeuError for an unknown model and for one that is
        not fit (unless `run_anyway`). A public page passes `local_paths` False.
        """
        if target not in TARGETS:
            raise UsageError(
                f"Cannot translate into {target!r}. Choose one of: {', '.join(TARGETS)}."
            )
        self._card = find_card(model, local_paths)
        self.live = {
            key: begin_translation(key, text, target, model) for key, text in texts.items()
        }
        for one in self.live.values():
            unfit = translation_warning(model, one.source, target, local_paths)
            if unfit and one.state == "queued" and not run_anyway:
                raise QeuError(f"{explain_unfit(unfit)} Or run it anyway, and check what it says.")
        self._engines, self._workspace = engines, workspace
        self._adapter = split_ref(model)[1]
        self._hosted = is_hosted(self._card.id)
        self._left = most_new_tokens or 10**9
        self._stop, self._ended = threading.Event(), threading.Event()
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.phase, self.step, self.share, self.ahead, self.waits_s = (
            "loading",
            "start",
            0.0,
            0,
            0.0,
        )
        threading.Thread(target=self._work, name="qeu-translate", daemon=True).start()

    @property
    def finished(self) -> bool:
        """Whether nothing more will come and all news has been polled."""
        return self._ended.is_set() and self._news.empty()

    def stop(self, key: str | None = None) -> None:
        """End it soon; what was written is shown and not kept. Safe from any thread."""
        self._stop.set()

    def poll(self, timeout_s: float = 0.1) -> set[str]:
        """Wait up to `timeout_s` for news; the keys of the texts that changed."""
        changed: set[str] = set()
        try:
            changed.add(self._news.get(timeout=timeout_s))
            while True:
                changed.add(self._news.get_nowait())
        except queue.Empty:
            return changed

    def wait(self, timeout_s: float | None = None) -> bool:
        """Poll until all is finished; False if `timeout_s` passed first."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.finished:
            self.poll(0.05)
            if end is not None and time.monotonic() > end:
                return self.finished
        return True

    # -- computing side ----------------------------------------------------------------------

    def _work(self) -> None:
        waiting = [one for one in self.live.values() if one.state == "queued"]
        sentence = ""
        try:
            waiting = [one for one in waiting if not self._recall(one)]
            if waiting:
                model = self._load()
                all(self._translate(model, one) for one in waiting)
        except QeuError as error:
            sentence = str(error)
        except Exception as error:
            log.exception("a translation by %s failed", self._card.id)
            sentence = f"{self._card.id} failed: {type(error).__name__}: {error}"
        finally:
            self._end_rest(waiting, sentence)
            self._tell_all()
            self._ended.set()

    def _end_rest(self, waiting: Sequence[Translation], sentence: str) -> None:
        """End what has not ended: as stopped where somebody asked for that, else as failed."""
        stopped = self._stop.is_set()
        for one in waiting:
            if one.state in ("queued", "writing"):
                one.error = "" if stopped else sentence
                one.state = "stopped" if stopped else "failed"

    def _load(self) -> Backend:
        def tell(progress: Progress) -> None:
            self.step = progress.step
            self.share = progress.done / progress.total if progress.total else 0.0
            self._tell_all()

        self._tell_all()
        return self._engines.load(self._card.id, progress=tell, stop=self._stop)

    def _recall(self, one: Translation) -> bool:
        """Take the translation from the workspace, if it is there."""
        stored = find_translation(self._workspace, self._key(one), self._known_revision())
        if stored is not None:
            one.cached = True
            self._take_stored(one, stored)
        return stored is not None

    def _take_stored(self, one: Translation, stored: StoredTranslation) -> None:
        one.text, one.revision, one.at = stored.text, stored.revision, stored.at
        one.state = "done"
        self._news.put(one.key)

    def _known_revision(self) -> str | None:
        """The revision of a model in memory; None where it is not there, or does not say."""
        if self._card.id not in {model.model_id for model in self._engines.loaded()}:
            return None
        return getattr(self._engines.load(self._card.id), "revision", None)

    def _key(self, one: Translation) -> str:
        provider = provider_of(self._card.id)
        finder = AdapterFinder(self._engines.adapters, local_paths=self._engines.local_paths)
        adapter = self._adapter and finder.find(self._adapter).hash
        return hash_json(
            {
                "version": PROMPT_VERSION,
                "text": one.source_text,
                "source": one.source,
                "target": one.target,
                "model": self._card.id,
                "layout": self._card.layout,
                # a name is only a name: at another address it may stand for another model
                "address": self._engines.keyring.address(provider) if provider else None,
                "adapter_hash": adapter,
            }
        )

    def _translate(self, model: Backend, one: Translation) -> bool:
        """Translate one text piece by piece; False where it was stopped."""
        one.state = "writing"

        def ask(text: str) -> Prompt:
            return ask_translation(text, one.source, one.target, self._card.layout)

        around, count = _counter(model, ask)
        pieces = split_text(one.source_text, one.target, count, _most_source(model, around))
        one.pieces, done = len(pieces), ""
        for one.piece, piece in enumerate(pieces, start=1):
            room = self._room(model, around, count(piece.text))
            if room < 1:
                one.fault = "length"
                break
            sampling = replace(GREEDY, max_new_tokens=room)
            row = Row(ask(piece.text), sampling, self._adapter, self._stop)
            with self._turn() as mine:
                if not mine or self._stop.is_set():
                    return False
                generation = self._generate(model, row, one, done, piece.text)
            written = clean_value(tidy_translation(generation.answer, piece.text))
            one.text = done + written
            if generation.finish_reason == "error":
                raise QeuError(generation.error)
            if generation.finish_reason == "cancelled":
                return False
            if not written or generation.finish_reason != "stop":
                one.fault = generation.finish_reason if written else "empty"
                break
            done = one.text + piece.gap
        self._judge(one)
        return True

    def _generate(
        self, model: Backend, row: Row, one: Translation, done: str, text: str
    ) -> Generation:
        """One piece; its text so far is seen behind what is `done`."""
        written = ""

        def take(piece: Piece) -> None:
            nonlocal written
            written += piece.text
            self.phase = "waiting" if piece.waits_s else "writing"
            self.ahead, self.waits_s = 0, piece.waits_s
            one.text = done + tidy_translation(written, text)
            self._news.put(one.key)

        [generation] = model.generate([row], take)
        one.revision = generation.revision
        one.new_tokens += generation.new_tokens
        self._left -= generation.new_tokens
        return generation

    def _judge(self, one: Translation) -> None:
        """Keep a text with which nothing is wrong; else say what is."""
        one.fault = one.fault or find_fault(one)
        if not one.fault:
            key = self._key(one)
            stored = add_translation(self._workspace, key, one.text, one.model, one.revision)
            return self._take_stored(one, stored)
        one.state, one.at = "done", now()
        self._news.put(one.key)
        return None

    def _room(self, model: Backend, around: int, tokens: int) -> int:
        """How many new tokens a piece of so many tokens may take."""
        wanted = SHORTEST_ROOM + GROWTH * tokens + (THINKING_TOKENS if self._hosted else 0)
        room = min(wanted, MOST_NEW_TOKENS, self._left)
        return min(room, model.context - around - tokens) if model.context else room

    def _turn(self) -> AbstractContextManager[bool]:
        """This machine's processor for one piece; a hosted model needs none."""
        if self._hosted:
            return nullcontext(True)

        def tell(ahead: int) -> None:
            self.phase, self.ahead, self.waits_s = "waiting", ahead, 0.0
            self._tell_all()

        return self._engines.queue.turn(self._stop, tell)

    def _tell_all(self) -> None:
        for key in self.live:
            self._news.put(key)


def _counter(model: Backend, ask: Callable[[str], Prompt]) -> tuple[int, Callable[[str], int]]:
    """Tokens of the question around a text, and what counts those of a text in it."""
    around = model.prepare(ask("")).tokens
    if around:
        return around, lambda text: model.prepare(ask(text)).tokens - around
    # a server tells its tokens afterwards: three bytes to the token is more than most take
    return GUESSED_AROUND, lambda text: len(text.encode("utf-8", "replace")) // 3 + 1


def _most_source(model: Backend, around: int) -> int:
    """How many tokens of the source are translated at once, so that the translation has room."""
    if not model.context:
        return MOST_SOURCE_TOKENS
    room = (model.context - around - SHORTEST_ROOM) // (GROWTH + 1)
    return max(16, min(MOST_SOURCE_TOKENS, room))
