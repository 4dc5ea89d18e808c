"""One piece of a stream, read without trust: text, thinking, why it ended, what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qeu.backends.hosted_client import Unreadable


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counts them; `thinking` is among `new`, None where it is not told."""

    prompt: int
    new: int
    thinking: int | None = None


@dataclass(frozen=True)
class Chunk:
    """What a piece of the stream holds; `finish` is the provider's own word."""

    content: str = ""
    thinking: str = ""
    finish: str = ""
    usage: Usage | None = None
    error: str = ""
    fingerprint: str = ""


def read_chunk(chunk: Any, thinking_fields: Sequence[str]) -> Chunk:
    """Read a chunk of a chat or of a text completion. Raises Unreadable for another shape."""
    choices = getattr(chunk, "choices", None)
    groq = getattr(chunk, "x_groq", None)
    if choices is not None and not isinstance(choices, list):
        raise Unreadable(what="an event of another shape")
    if choices is None and groq is None and getattr(chunk, "usage", None) is None:
        raise Unreadable(what="an event of another shape")
    content = thinking = finish = ""
    if choices:
        delta = getattr(choices[0], "delta", None)
        if delta is None:
            content = _text(getattr(choices[0], "text", None))
        else:
            content = _text(getattr(delta, "content", None))
            found = (_text(getattr(delta, name, None)) for name in thinking_fields)
            thinking = next((text for text in found if text), "")
        finish = _text(getattr(choices[0], "finish_reason", None))
    usage = _usage(getattr(chunk, "usage", None)) or _usage(getattr(groq, "usage", None))
    error = _text(getattr(groq, "error", None))
    fingerprint = getattr(chunk, "system_fingerprint", None)
    return Chunk(
        content,
        thinking,
        finish,
        usage,
        error,
        fingerprint[:100] if isinstance(fingerprint, str) else "",
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(what="an event of another shape")
    return value


def _usage(value: Any) -> Usage | None:
    prompt, new = (getattr(value, f"{name}_tokens", None) for name in ("prompt", "completion"))
    if not _is_count(prompt) or not _is_count(new):
        return None
    details = getattr(value, "completion_tokens_details", None)
    thinking = getattr(details, "reasoning_tokens", None)
    return Usage(prompt, new, thinking if _is_count(thinking) else None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
