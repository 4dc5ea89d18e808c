"""One row while it is generated: its tokens, its text so far, and why it ends."""

import random
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from qeu.backends.compute_queue import StopSign
from qeu.core.loops import tail_loop
from qeu.core.sampling import Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "\ufffd"


class TextStream:
    """Turns tokens into text as they come; half characters are held back, specials left out."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._ids: list[int] = []
        self._written = ""
        if self._backend is not None:
            from tokenizers.decoders import DecodeStream

            self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> str:
        """The text that this token completes, often one word, sometimes nothing yet."""
        if self._backend is not None:
            return self._stream.step(self._backend, token) or ""
        # tokenizers written in Python have no stream: decode all, hand out what is new
        self._ids.append(token)
        text = decode(self._tokenizer, self._ids)
        if text.endswith(_REPLACEMENT) or not text.startswith(self._written):
            return ""
        new, self._written = text[len(self._written) :], text
        return new


def decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    """All text of the tokens, special tokens left out, blanks untouched."""
    return tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


class LiveRow:
    """A row's state, written by the decode loop only.

    `finish_reason` is "" while it runs. Tokens count as new whether or not they show as text: the
    end token is among `token_ids`.
    """

    def __init__(
        self,
        index: int,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        end_ids: Collection[int] = (),
        stop_texts: Sequence[str] = (),
        stop: StopSign | None = None,
        adapter: str | None = None,
    ) -> None:
        self.index = index
        self.prompt_ids = prompt_ids
        self.sampling = sampling
        self.adapter = adapter
        self.random = random.Random(sampling.seed)
        self.token_ids: list[int] = []
        self._begun = 0  # of them, those that were given
        self.finish_reason = ""
        self.error = ""
        self.batch_size = 0
        self.started_at = self.first_at = self.last_at = 0.0
        self._tokenizer = tokenizer
        self._end_ids = frozenset(end_ids)
        self._stop_texts = tuple(text for text in stop_texts if text)
        self._stop = stop
        self._stream = TextStream(tokenizer)
        self._text = ""  # all that the stream has given
        self._emitted = 0  # of it, what has been handed out
        self._cut: int | None = None

    @property
    def running(self) -> bool:
        """Whether more tokens are wanted."""
        return not self.finish_reason

    @property
    def stop_requested(self) -> bool:
        """Whether somebody has asked this row to end."""
        return self._stop is not None and self._stop.is_set()

    @property
    def text(self) -> str:
        """The whole text, decoded at once; a stop text and what follows it are left out.

        Half a character at the end of a row that did not end by itself is left out too.
        """
        # The first stop text may only appear, or move, in the whole: tokens decode together.
        text = decode(self._tokenizer, self.token_ids)
        if self._cut is None:
            return text if self.finish_reason == "stop" else text.rstrip(_REPLACEMENT)
        found = [at for at in (text.find(stop) for stop in self._stop_texts) if at >= 0]
        return text[: min(found)] if found else text[: self._cut]

    @property
    def ttft_s(self) -> float:
        """Seconds from the start of computation to the first token; 0 if there is none."""
        return self.first_at - self.started_at if self._written_count else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens after the first, by the time they took; of a single one, by its own time."""
        count = self._written_count
        if count < 2:
            return count / self.ttft_s if self.ttft_s else 0.0
        return (count - 1) / max(self.last_at - self.first_at, 1e-9)

    @property
    def _written_count(self) -> int:
        return len(self.token_ids) - self._begun

    def go_on(self, begun: Sequence[int]) -> None:
        """Take tokens as written before the row starts; what they say comes with its first piece.

        The random numbers that were drawn for them are spent, so that the same seed goes on alike.
        """
        for token in begun:
            self.token_ids.append(token)
            self._text += "" if token in self._end_ids else self._stream.push(token)
            if not self.sampling.is_greedy:
                self.random.random()
        self._begun = len(self.token_ids)
        if begun and (begun[-1] in self._end_ids or self._found_stop_text()):
            self.finish_reason = "stop"

    def begin(self, batch_size: int) -> None:
        """The computation of the prompt starts now."""
        self.started_at = time.perf_counter()
        self.batch_size = batch_size

    def take(self, token: int) -> str:
        """Add a token and decide whether it was the last; returns text ready to be shown."""
        self.last_at = time.perf_counter()
        if not self._written_count:
            self.first_at = self.last_at
        self.token_ids.append(token)
        if token in self._end_ids:
            self.finish_reason = "stop"
            return self._flush()
        self._text += self._stream.push(token)
        if self._found_stop_text():
            self.finish_reason = "stop"
        elif tail_loop(self.token_ids) is not None:
            self.finish_reason = "loop"
        elif len(self.token_ids) >= self.sampling.max_new_tokens:
            self.finish_reason = "length"
        return self._flush()

    def end(self, reason: str, error: str = "") -> None:
        """End the row from outside; what is written stays. A finished row keeps its reason."""
        if self.running:
            self.finish_reason, self.error = reason, error

    def _found_stop_text(self) -> bool:
        for stop in self._stop_texts:
            at = self._text.find(stop, max(0, self._emitted - len(stop)))
            if at >= 0 and (self._cut is None or at < self._cut):
                self._cut = at
        return self._cut is not None

    def _flush(self) -> str:
        end = len(self._text)
        if self._cut is not None:
            end = self._cut
        elif self.running:
            # the beginning of a stop text is held back until it is one, or is not
            end -= max((_overlap(self._text, stop) for stop in self._stop_texts), default=0)
        new = self._text[self._emitted : max(end, self._emitted)]
        self._emitted += len(new)
        return new


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of `stop` that `text` ends with."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
