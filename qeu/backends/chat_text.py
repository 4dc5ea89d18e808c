"""Write messages in a model's own chat template and find every field in the result.

Each message is rendered once as a sentinel that no text contains; what stands between the
sentinels is the template's own text. Templates that alter values are matched as far as possible.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qeu.core.errors import QeuError
from qeu.core.prompts import FieldSpan, Message, Segment, field_spans, join_segments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FOLDED = (
    "This model's chat template has no place for a system message: the role's text stands at the "
    "start of the user's turn."
)
PLAIN = (
    "This model has no chat template: the turns are written as plain text (System, User, "
    "Assistant), and the text ends where a new turn would begin."
)
ALTERED = (
    "This model's chat template rewrites the messages, so the fields could not be told apart, and "
    "control tokens inside them are written with a blank."
)
_SENTINEL = "917364028591736402859173"
_PLAIN_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
_PLAIN_STOP = ("\nUser:", "\nSystem:")


@dataclass(frozen=True)
class ChatText:
    """A rendered conversation. `parts` are its pieces: (text, whether the template wrote it)."""

    text: str
    spans: tuple[FieldSpan, ...]
    parts: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    has_template: bool = True


def render_chat(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    has_control_tokens: Callable[[str], bool],
) -> ChatText:
    """Render with the generation prompt; a system message without a place joins the user's."""
    if not tokenizer.chat_template:
        return _render_plain(messages)
    notes: tuple[str, ...] = ()
    template = _find_parts(tokenizer, messages)
    if template is None and any(m.role == "system" for m in messages):
        folded = fold_system(messages)
        template = _find_parts(tokenizer, folded)
        if template is not None or _apply(tokenizer, messages) is None:
            messages, notes = folded, (FOLDED,)
    if template is not None:
        # templates differ in whether they strip; one of the two must give the very text
        for contents in (messages, [_stripped(m) for m in messages]):
            found = _joined(template, contents)
            if found.text == _apply(tokenizer, messages):
                return replace(found, notes=notes)
    # Without knowing the values' places, they must be made harmless before the template sees them.
    safe = [
        replace(m, segments=(Segment("template", defuse(m.content, has_control_tokens)),))
        for m in messages
    ]
    text = _apply(tokenizer, safe)
    if text is None:
        raise QeuError(
            "This model's chat template refuses the conversation. Choose a tagged layout, such as "
            "bonsai-v2, or another model."
        )
    return ChatText(
        text, (FieldSpan("template", 0, len(text)),), ((text, True),), (*notes, ALTERED)
    )


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Move the system message's segments to the start of the first user message."""
    lead = [s for m in messages if m.role == "system" for s in m.segments]
    rest = [m for m in messages if m.role != "system"]
    for at, message in enumerate(rest):
        if lead and message.role == "user":
            gap = Segment("marker", "\n\n")
            rest[at] = replace(message, segments=(*lead, gap, *message.segments))
            break
    return rest


def defuse(text: str, has_control_tokens: Callable[[str], bool]) -> str:
    """Put blanks after opening brackets until nothing in the text is a control token."""
    for bracket in ("<|", "<", "["):
        if not has_control_tokens(text):
            break
        text = text.replace(bracket, bracket[0] + " " + bracket[1:])
    return text


def _find_parts(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]
) -> list[str] | None:
    """The template's text before, between and after the messages; None if one has no place."""
    # digits only: a template may strip or change the case, and would hardly change these
    sentinels = [f"{_SENTINEL}{at:03d}" for at in range(len(messages))]
    rest = _apply(
        tokenizer,
        [
            Message(m.role, (Segment("template", s),))
            for m, s in zip(messages, sentinels, strict=True)
        ],
    )
    if rest is None or any(rest.count(s) != 1 for s in sentinels):
        return None
    parts = []
    for sentinel in sentinels:
        before, found, rest = rest.partition(sentinel)
        if not found:
            return None
        parts.append(before)
    return [*parts, rest]


def _joined(template: Sequence[str], messages: Sequence[Message]) -> ChatText:
    segments = [Segment("template", template[0])]
    parts = [(template[0], True)]
    for message, after in zip(messages, template[1:], strict=True):
        segments += [*message.segments, Segment("template", after)]
        parts += [(message.content, False), (after, True)]
    return ChatText(join_segments(segments), field_spans(segments), tuple(p for p in parts if p[0]))


def _stripped(message: Message) -> Message:
    """The message without white space at its ends, its fields kept."""
    content = message.content
    start = len(content) - len(content.lstrip())
    end = max(start, len(content.rstrip()))
    kept, at = [], 0
    for segment in message.segments:
        inside = slice(max(0, start - at), max(0, end - at))
        kept.append(replace(segment, text=segment.text[inside]))
        at += len(segment.text)
    return replace(message, segments=tuple(kept))


def _apply(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str | None:
    from jinja2 import TemplateError

    chat = [{"role": m.role, "content": m.content} for m in messages]
    try:
        return tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        # its own way of refusing a role or an order of roles
        return None


def _render_plain(messages: Sequence[Message]) -> ChatText:
    segments, parts = [], []
    for message in messages:
        name = _PLAIN_NAMES.get(message.role, message.role.title())
        lead = Segment("template", f"{name}: ")
        segments += [lead, *message.segments, Segment("template", "\n\n")]
        parts += [(lead.text, True), (message.content, False), ("\n\n", True)]
    segments.append(Segment("template", "Assistant:"))
    parts.append(("Assistant:", True))
    return ChatText(
        join_segments(segments),
        field_spans(segments),
        tuple(p for p in parts if p[0]),
        (PLAIN,),
        _PLAIN_STOP,
        has_template=False,
    )
