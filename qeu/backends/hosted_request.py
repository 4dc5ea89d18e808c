"""From a prompt and settings to the body of one request, and what the receipt says of it."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from qeu.backends.base import Prepared
from qeu.backends.providers import Provider, takes_reasoning_format, thinks
from qeu.core.generation import Parameter
from qeu.core.prompts import (
    END_OF_TEXT,
    Prompt,
    Segment,
    field_spans,
    join_segments,
)
from qeu.core.sampling import Sampling

_OFF = {"top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1}
_DRAWING = ("top_p", "top_k", "min_p", "seed")
_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
_MAX_NAMES = ("max_tokens", "max_completion_tokens")
_BYTES_PER_TOKEN = 3  # a guess on the safe side
_TEMPLATE_TOKENS = 64  # what a chat template adds, as a guess
_LEAST_ROOM = 16


@dataclass(frozen=True)
class HostedRequest:
    """One request: `path` "chat" sends `messages`, "text" sends `text`; `extra` is the rest.

    `taken` are the parts that may be left out where the server refuses them. `tokens` is a guess.
    """

    model: str
    path: str
    extra: dict[str, Any]
    parameters: tuple[Parameter, ...]
    messages: list[dict[str, str]] = field(default_factory=list)
    text: str = ""
    stops: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    tokens: int = 0


def build_request(
    prompt: Prompt,
    sampling: Sampling,
    provider: Provider,
    model: str,
    refused: Collection[str] = (),
    *,
    context: int = 0,
) -> HostedRequest:
    """The request as this kind of server takes it, without the parts that it has `refused`.

    `context` is how many tokens the model can read, 0 where that is not known.
    """
    path, notes = choose_path(prompt, provider, refused)
    extra: dict[str, Any] = {}
    read = prompt.text or "".join(message.content for message in prompt.messages)
    prompt_tokens = len(read.encode("utf-8", "replace")) // _BYTES_PER_TOKEN
    longest = sampling.max_new_tokens
    # as many as the model can read in all would be refused for certain; fewer may fit
    if context and longest >= context:
        longest = max(_LEAST_ROOM, context - prompt_tokens - _TEMPLATE_TOKENS)
    parameters = tuple(
        _add_setting(extra, name, value, sampling, provider, refused)
        for name, value in replace(sampling, max_new_tokens=longest).to_json().items()
    )
    if longest != sampling.max_new_tokens:
        why = f"{model} reads {context} tokens at most, the prompt among them."
        parameters = tuple(
            replace(p, asked=sampling.max_new_tokens, why=p.why or why)
            if p.name == "max_new_tokens"
            else p
            for p in parameters
        )
    if provider.in_config and path:
        config = {name: extra.pop(name) for name in provider.in_config if name in extra}
        extra["generation_config"] = json.dumps({"do_sample": not sampling.is_greedy, **config})
    stops = _stops(prompt)
    if stops and "stop" not in refused:
        extra["stop"] = list(stops[: provider.max_stops])
    if provider.usage_option and "stream_options" not in refused:
        extra["stream_options"] = {"include_usage": True}
    apart = provider.kind == "groq" and takes_reasoning_format(model)
    if apart and "reasoning_format" not in refused:
        extra["reasoning_format"] = "parsed"
    for name in ("stop", "stream_options", "reasoning_format"):
        if name in refused:
            notes = (*notes, f"{provider.label} refuses {name}: it was left out.")
    taken = [name for name in extra if name not in provider.prefill_flags]
    messages: list[dict[str, str]] = []
    if path == "chat":
        messages, prefilled, said = _messages(prompt, provider, model, refused)
        notes = (*notes, *said)
        if prefilled:
            extra |= provider.prefill_flags
            taken.append("prefill")
    else:
        taken.append("completions")
    return HostedRequest(
        model,
        path,
        extra,
        parameters,
        messages,
        prompt.text if path == "text" else "",
        stops,
        notes,
        tuple(taken),
        prompt_tokens + longest,
    )


def choose_path(
    prompt: Prompt, provider: Provider, refused: Collection[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """("chat" or "text", what to say): a tagged layout goes as text where that is taken."""
    if prompt.layout == "chat":
        return "chat", ()
    if provider.completions and "completions" not in refused:
        return "text", ()
    note = (
        f"{provider.label} continues no plain text: the tagged text was sent as one user message, "
        "inside the model's own chat template."
    )
    return "chat", (note,)


def prepare_prompt(prompt: Prompt, provider: Provider, refused: Collection[str] = ()) -> Prepared:
    """The prompt for the eye: turn by turn with its fields; its tokens are the server's affair."""
    path, notes = choose_path(prompt, provider, refused)
    if path == "text":
        return Prepared(prompt.text, prompt.spans, (), notes, _stops(prompt))
    segments: list[Segment] = []
    if prompt.layout == "chat":
        for message in prompt.messages:
            name = _NAMES.get(message.role, message.role.title())
            segments += [Segment("template", f"{name}: "), *message.segments]
            segments.append(Segment("template", "\n\n"))
    else:
        segments += [Segment("template", "User: "), *prompt.segments, Segment("template", "\n\n")]
    segments.append(Segment("template", "Assistant:"))
    if prompt.prefill and provider.prefill:
        segments += [Segment("template", " "), Segment("marker", prompt.prefill)]
    note = "The server puts these turns into the model's chat template, which is not shown here."
    return Prepared(
        join_segments(segments), field_spans(segments), (), (note, *notes), _stops(prompt)
    )


def _stops(prompt: Prompt) -> tuple[str, ...]:
    """A tagged text also ends where the model writes the end token as text."""
    if prompt.layout == "chat" or END_OF_TEXT in prompt.stop:
        return prompt.stop
    return (*prompt.stop, END_OF_TEXT)


def _messages(
    prompt: Prompt, provider: Provider, model: str, refused: Collection[str]
) -> tuple[list[dict[str, str]], bool, tuple[str, ...]]:
    """(turns, whether the answer's beginning is given, what to say about that)."""
    if prompt.layout != "chat":
        return [{"role": "user", "content": prompt.text}], False, ()
    turns = [{"role": m.role, "content": m.content} for m in prompt.messages]
    if not prompt.prefill:
        return turns, False, ()
    if provider.prefill and "prefill" not in refused and not thinks(model):
        return [*turns, {"role": "assistant", "content": prompt.prefill}], True, ()
    begin = prompt.prefill.strip()
    note = (
        f"{model} at {provider.label} cannot be made to begin with {begin!r}: it was only asked to."
    )
    return turns, False, (note,)


def _add_setting(
    extra: dict[str, Any],
    name: str,
    value: float | int | bool,
    sampling: Sampling,
    provider: Provider,
    refused: Collection[str],
) -> Parameter:
    """Put one setting into the request; what became of it."""
    if name == "greedy":
        why = "Temperature 0 means greedy." if sampling.is_greedy and not value else ""
        return Parameter(name, value, sampling.is_greedy, why)
    if sampling.is_greedy and name in _DRAWING:
        return Parameter(name, value, None, "Greedy takes the likeliest token, nothing is drawn.")
    wire = provider.takes.get(name)
    if wire is None:
        if value == _OFF.get(name):
            return Parameter(name, value, None, f"{value:g} is off.")
        return Parameter(name, value, None, f"{provider.label} does not take {name}.")
    if wire in _MAX_NAMES and wire in refused:
        wire = next(other for other in _MAX_NAMES if other != wire)
    if wire in refused or (wire in provider.in_config and "generation_config" in refused):
        return Parameter(name, value, None, f"{provider.label} refuses {name}: it was left out.")
    sent, why = _sent_value(name, value, sampling, provider)
    extra[wire] = sent
    return Parameter(name, value, sent, why)


def _sent_value(
    name: str, value: float | int | bool, sampling: Sampling, provider: Provider
) -> tuple[float | int | bool, str]:
    if name == "temperature":
        if sampling.is_greedy:
            return 0, "" if value == 0 else "Greedy is asked for as temperature 0."
        highest = provider.max_temperature
        if highest is not None and value > highest:
            return highest, f"{provider.label} takes no more than {highest:g}."
    if name == "seed" and value > provider.max_seed:
        return value % (provider.max_seed + 1), f"{provider.label} takes smaller seeds only."
    if name in provider.off and value == _OFF[name]:
        return provider.off[name], f"{provider.off[name]:g} is off at {provider.label}."
    return value, ""
