"""What a completion request gets back: its checks, its events one by one, or its whole body."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.wire_shapes import (
    CREATED,
    THINKING_FIELDS,
    Kind,
    choice,
    chunk,
    encode,
    error_body,
    logprobs_of,
    rejection,
    usage,
)

Body = Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """The words and thoughts that one request gets, cut as its `max_tokens` and `stop` say."""

    kind: Kind
    model: str
    chat: bool
    prompt_tokens: int
    words: tuple[str, ...]
    thinking: tuple[str, ...]
    finish: str
    logprobs: bool
    with_usage: bool
    thinking_field: str

    @property
    def counts(self) -> dict[str, object]:
        """Its usage."""
        return usage(self.kind, self.prompt_tokens, len(self.words), len(self.thinking))

    def events(self) -> Iterator[tuple[bool, bytes]]:
        """(whether it carries something of the text, the line's JSON) of every event, in order."""
        if not self.chat:
            yield from self._text_events()
            return
        groq = self.kind == "groq"
        first = {"role": "assistant", "content": ""}
        more = {"x_groq": {"id": "req_0", "seed": 1}} if groq else {}
        yield False, encode(chunk(self.model, [choice(first)], **more))
        for thought in self.thinking:
            delta = {self.thinking_field: thought}
            yield True, encode(chunk(self.model, [choice(delta)]))
        for word in self.words:
            chances = logprobs_of(word) if self.logprobs else None
            yield True, encode(chunk(self.model, [choice({"content": word}, None, chances)]))
        more = {"x_groq": {"id": "req_0", "usage": self.counts}} if groq else {}
        if self.kind == "transformers":
            more = {"usage": self.counts}
        yield False, encode(chunk(self.model, [choice({}, self.finish)], **more))
        if self.with_usage and self.kind != "transformers":
            yield False, encode(chunk(self.model, [], usage=self.counts))

    def _text_events(self) -> Iterator[tuple[bool, bytes]]:
        for word in self.words:
            yield True, encode(self._text_body(word, None))
        yield False, encode(self._text_body("", self.finish))
        if self.with_usage:
            last = {**self._text_body("", None), "choices": [], "usage": self.counts}
            yield False, encode(last)

    def _text_body(self, text: str, finish: str | None) -> dict[str, object]:
        choices = [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]
        return {
            "id": "cmpl-0",
            "object": "text_completion",
            "created": CREATED,
            "model": self.model,
            "choices": choices,
        }

    def whole(self) -> bytes:
        """The body of a request that asked for no stream."""
        text = "".join(self.words)
        if not self.chat:
            return encode({**self._text_body(text, self.finish), "usage": self.counts})
        message: dict[str, object] = {"role": "assistant", "content": text}
        if self.thinking:
            message[self.thinking_field] = "".join(self.thinking)
        only = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        body = chunk(self.model, [only], usage=self.counts)
        body["object"] = "chat.completion"
        return encode(body)


def find_refusal(
    kind: Kind, body: object, models: Sequence[str], rejects: Sequence[str], status: int
) -> tuple[int, dict[str, object]] | None:
    """(status, error body) of a request that no server would compute, or None."""
    if not isinstance(body, dict) or not (body.get("messages") or body.get("prompt")):
        return 400, error_body(kind, 400, "'messages' : minimum number of items is 1")
    name = str(body.get("model"))
    if name not in models:
        text = f"The model `{name}` does not exist or you do not have access to it."
        return 404, error_body(kind, 404, text, code="model_not_found", param="model")
    for refused in rejects:
        if refused in body:
            return status, rejection(kind, status, refused)
    return None


def make_answer(
    kind: Kind,
    body: Body,
    chat: bool,
    words: Sequence[str],
    thinking: Sequence[str],
    thinking_field: str | None,
) -> Answer:
    """Answer a request with these words, within its `max_tokens`, before its `stop`."""
    thoughts, said = list(thinking) if chat else [], list(words)
    if kind == "groq" and body.get("reasoning_format") == "raw" and thoughts:
        said, thoughts = ["<think>", *thoughts, "</think>", *said], []
    elif kind == "groq" and body.get("reasoning_format") == "hidden":
        thoughts = []
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "stop"
    if isinstance(limit, int) and len(thoughts) + len(said) > limit:
        thoughts = thoughts[:limit]
        said, finish = said[: limit - len(thoughts)], "length"
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:  # type: ignore[union-attr]
        text = "".join(said)
        if stop in text:
            said, finish = _cut(said, text.index(stop)), "stop"
    options = body.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    return Answer(
        kind=kind,
        model=str(body["model"]),
        chat=chat,
        prompt_tokens=len(str(body.get("messages") or body.get("prompt")).split()),
        words=tuple(said),
        thinking=tuple(thoughts),
        finish=finish,
        logprobs=bool(body.get("logprobs")),
        with_usage=asked,
        thinking_field=thinking_field or THINKING_FIELDS[kind],
    )


def _cut(words: Sequence[str], length: int) -> list[str]:
    """The words of the first `length` characters."""
    kept: list[str] = []
    for word in words:
        if length <= 0:
            break
        kept.append(word[:length])
        length -= len(word)
    return kept
