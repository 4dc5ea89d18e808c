"""One piece of a stream, read without trust: text, thinking, why it ended, what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qeu.backends.hosted_call import Unreadable
from qeu.backends.hosted_whole import Whole
from qeu.core.text import clean_text, one_line

_WORD_LENGTH = 100  # of what a server names: a reason, a version


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counts them; `thinking` is among `new`, None where it is not told."""

    prompt: int
    new: int
    thinking: int | None = None


@dataclass(frozen=True)
class Chunk:
    """What a piece of the stream holds; `finish` is the provider's own word.

    `whole`: it is no piece, but all of the answer.
    """

    content: str = ""
    thinking: str = ""
    finish: str = ""
    usage: Usage | None = None
    error: str = ""
    fingerprint: str = ""
    whole: bool = False


def read_chunk(chunk: Any, thinking_fields: Sequence[str]) -> Chunk:
    """Read a chunk of a chat or of a text completion. Raises Unreadable for another shape."""
    whole = isinstance(chunk, Whole)
    choices = getattr(chunk, "choices", None)
    groq = getattr(chunk, "x_groq", None)
    if choices is not None and not isinstance(choices, list):
        raise Unreadable(what="an event of another shape")
    if choices is None and groq is None and getattr(chunk, "usage", None) is None:
        raise Unreadable(what="an event of another shape")
    content = thinking = finish = ""
    if choices:
        delta = getattr(choices[0], "message" if whole else "delta", None)
        if delta is None:
            content = _text(getattr(choices[0], "text", None))
        else:
            content = _text(getattr(delta, "content", None))
            found = (_text(getattr(delta, name, None)) for name in thinking_fields)
            thinking = next((text for text in found if text), "")
        finish = _text(getattr(choices[0], "finish_reason", None))
    if whole and not (content or thinking or finish):
        raise Unreadable(what="JSON without a text")
    usage = _usage(getattr(chunk, "usage", None)) or _usage(getattr(groq, "usage", None))
    error = _text(getattr(groq, "error", None))
    fingerprint = getattr(chunk, "system_fingerprint", None)
    return Chunk(
        content,
        thinking,
        finish and one_line(clean_text(finish), _WORD_LENGTH),
        usage,
        error and clean_text(error),
        one_line(clean_text(fingerprint), _WORD_LENGTH) if isinstance(fingerprint, str) else "",
        whole,
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
