"""One hosted row as the asking thread sees it: its text, its end, and the generation it makes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import qeu
from qeu.backends.base import Piece, Prepared, Row
from qeu.backends.hosted_chunks import Chunk, Usage
from qeu.backends.hosted_errors import Trouble, broke_off, failed_midway
from qeu.backends.hosted_text import HostedText
from qeu.backends.hosted_worker import Sending
from qeu.core.generation import Generation, Receipt
from qeu.core.prompts import split_completion
from qeu.core.text import one_line

# Providers' words for the end of a text. What is not here counts as a plain stop, with a note.
_ENDS = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "end_turn": "stop",
    "length": "length", "max_tokens": "length", "content_filter": "error",
}  # fmt: skip


@dataclass
class HostedRow:
    """A row's state, touched by the asking thread only; `error` without `sending`: never sent."""

    index: int
    row: Row
    prepared: Prepared | None = None
    sending: Sending | None = None
    text: HostedText | None = None
    error: str = ""
    trouble: str = ""
    again_at: str = ""
    finish: str = ""
    said_finish: str = ""
    usage: Usage | None = None
    fingerprint: str = ""
    pieces: int = 0
    thinking_pieces: int = 0
    whole: bool = False
    asked_at: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing more is awaited."""
        return bool(self.finish)

    @property
    def sent_at(self) -> float:
        """When its last request began to leave this machine; 0 if none did."""
        call = self.sending.call if self.sending else None
        return call.sent_at if call else 0.0

    @property
    def new_tokens(self) -> int:
        """Tokens as the provider counts them, else pieces of the stream."""
        return self.usage.new if self.usage else self.pieces

    def begin(self, *, bare_end: bool) -> None:
        """A request goes out; an earlier one, if any, brought no text."""
        assert self.sending is not None
        request = self.sending.request
        assert request is not None
        limit = self.sending.sampling.max_new_tokens
        # a text that is continued may hold tags of its own
        chat = request.path == "chat"
        self.text = HostedText(limit, request.stops, think_tags=chat, bare_end=bare_end)

    def take(self, chunk: Chunk, who: str) -> Piece | None:
        """Add a piece of the stream; what to tell of it."""
        assert self.text is not None
        self.usage = chunk.usage or self.usage
        self.said_finish = chunk.finish or self.said_finish
        self.fingerprint = chunk.fingerprint or self.fingerprint
        if chunk.whole:
            self.whole = True
            self.notes.append(f"{who} does not stream: the answer came in one piece.")
        if chunk.error:
            return self.end("error", failed_midway(who, one_line(chunk.error, 300).rstrip(".")))
        if not chunk.content and not chunk.thinking:
            return None
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        added = self.text.push(chunk.content, chunk.thinking)
        self.pieces += 1
        self.thinking_pieces += bool(added.thinking)
        self._note_moved()
        if self.text.ended:
            return self.end(self.text.ended, shown=added.text)
        return self._piece(added.text)

    def complete(self, who: str) -> Piece:
        """The stream came to its end: a good one, if the server said why."""
        reason = _ENDS.get(self.said_finish, "stop")
        if not self.said_finish and self.usage is None and not self.whole:
            return self.end("error", broke_off(who))
        if reason == "error":
            return self.end(
                "error",
                f"A filter of {who} ended the text. What came is kept. Word the question anew.",
            )
        if self.said_finish and self.said_finish not in _ENDS:
            self.notes.append(
                f"{who} gave {one_line(self.said_finish, 40)!r} as the reason to end."
            )
        return self.end(reason)

    def fail(self, trouble: Trouble) -> Piece:
        """End the row with what went wrong."""
        self.trouble, self.again_at = trouble.kind, trouble.again_at
        return self.end("error", trouble.sentence)

    def end(self, reason: str, error: str = "", shown: str = "") -> Piece:
        """End the row; what was held back becomes text. `shown` was added just before."""
        if self.text is not None:
            shown += self.text.finish().text
            self._note_moved()
        self.finish, self.error = reason, error
        return self._piece(shown, reason)

    def _note_moved(self) -> None:
        """What was shown as text turned out to be thinking: so did its pieces."""
        if self.text is not None and self.text.moved and not self.thinking_pieces:
            self.thinking_pieces = self.pieces

    def _piece(self, text: str, reason: str = "") -> Piece:
        seconds = self.last_at - self.sent_at if self.last_at and self.sent_at else 0.0
        count = self.new_tokens if reason else self.pieces
        return Piece(self.index, text, count, seconds, reason)

    def generation(
        self, name: str, kind: str, host: str, versions: Mapping[str, str]
    ) -> Generation:
        """What it leaves behind."""
        row, text = self.row, self.text.text if self.text else ""
        reasoning, answer = split_completion(text, row.prompt.layout, row.prompt.target)
        usage, now = self.usage, time.perf_counter()
        ttft_s = self.first_at - self.sent_at if self.first_at and self.sent_at else 0.0
        return Generation(
            text=text,
            reasoning=reasoning,
            answer=answer,
            finish_reason=self.finish,
            prompt_tokens=usage.prompt if usage else 0,
            new_tokens=self.new_tokens,
            ttft_s=ttft_s,
            tokens_per_s=self._tokens_per_s(ttft_s),
            model=name,
            revision="",
            adapter=row.adapter,
            adapter_hash=None,
            layout=row.prompt.layout,
            target=row.prompt.target,
            seed=row.sampling.seed,
            receipt=self._receipt(kind, host, versions),
            error=self.error,
            wait_s=max(0.0, (self.sent_at or now) - self.asked_at) if self.asked_at else 0.0,
            prompt_text=self.prepared.text if self.prepared else "",
            thinking=self.text.thinking if self.text else "",
            thinking_tokens=self._thinking_tokens(),
            trouble=self.trouble,
            again_at=self.again_at,
        )

    def _thinking_tokens(self) -> int:
        if self.usage and self.usage.thinking is not None:
            return self.usage.thinking
        return min(self.thinking_pieces, self.new_tokens)

    def _tokens_per_s(self, ttft_s: float) -> float:
        if self.new_tokens < 2:
            return self.new_tokens / ttft_s if ttft_s else 0.0
        # pieces may hold several tokens: a stream of one piece has no time of its own
        seconds = self.last_at - self.first_at
        return (self.new_tokens - 1) / seconds if seconds > 0 else 0.0

    def _receipt(self, kind: str, host: str, versions: Mapping[str, str]) -> Receipt | None:
        request = self.sending.request if self.sending else None
        if request is None:
            return None
        notes = [*request.notes, *self.notes]
        if self.usage is None and self.pieces:
            notes.append("The number of tokens was not told: pieces of the stream are counted.")
        if self.finish == "length" and self.text and self.text.thinking and not self.text.text:
            notes.append(
                "All new tokens went into the model's own thinking. Ask for more new tokens."
            )
        known = {"qeu": qeu.__version__, **versions}
        if self.fingerprint:
            known["system_fingerprint"] = self.fingerprint
        return Receipt(request.parameters, kind, "", host, 1, False, known, tuple(notes))
