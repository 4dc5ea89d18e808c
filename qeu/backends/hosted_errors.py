"""What went wrong with a hosted request, in a sentence; whether it may be sent again."""

import json
import logging
import re
import socket
import ssl
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qeu.backends.hosted_call import Unreadable
from qeu.core.text import clean_text, one_line

if TYPE_CHECKING:
    from qeu.backends.hosted_call import Call, Patience
    from qeu.backends.hosted_client import HostedClient

log = logging.getLogger(__name__)

# Answers that say: not computed, and another time it may be.
_BUSY = (500, 502, 503, 529)  # a 504 may come while the server still computes
# The server, or a proxy before it, lost patience. 524 is Cloudflare's.
TIMED_OUT = (408, 504, 524)
# No other text would fare better: the key, the account, the model or the address is wrong.
_OF_THE_KEY = (401, 402, 403, 404, 405, 410)
_SAID_LENGTH = 300
_SHAPE_ERRORS = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
# Words of ordinary language: a message must quote them to mean the parameter.
_ORDINARY = {"stop", "seed"}
_UNKNOWN = re.compile(
    r"unsupported|not supported|unexpected|unknown|unrecogni[sz]ed|not permitted|not allowed"
    r"|does not support|extra (?:inputs|fields)|invalid (?:field|argument)|incompatible",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Trouble:
    """A failed request. `again`: it was certainly not computed, so nothing is paid twice.

    `rejected` names the parameter that the server does not take, `lasting` whether it never does.
    `kind` and `again_at` are what a Generation tells as `trouble` and `again_at`.
    """

    sentence: str
    kind: Literal["", "engine", "key", "limit"] = ""
    again_at: str = ""
    again: bool = False
    status: int = 0
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rejected: str = ""
    lasting: bool = False


def explain(
    error: Exception, client: "HostedClient", call: "Call", model: str, taken: Collection[str]
) -> Trouble:
    """Say what an exception of a client library means; `taken` are parameters that may go."""
    status = getattr(error, "status_code", 0)
    if isinstance(status, int) and status >= 300:
        return _explain_status(status, error, client, model, taken)
    for cause in find_causes(error):
        if isinstance(cause, Unreadable):
            return Trouble(_unreadable(client.who, cause.what))
    if not call.sent_at:
        return explain_unsent(error, client, call)
    if is_of_shape(error):
        # the libraries let through what their parsers raise at JSON that is cut, or no JSON
        log.info("%s sent what cannot be read: %s", client.who, type(error).__name__)
        return Trouble(_unreadable(client.who, what="an answer that is cut or of another shape"))
    body = getattr(error, "body", None)
    if call.began and body is not None:
        return Trouble(failed_midway(client.who, said_in(body, str(error), client)))
    if is_timeout(error):
        return went_silent(client.who, client.patience, call)
    if call.began:
        return Trouble(broke_off(client.who))
    return Trouble(
        f"{client.who} took the request and closed the connection without an answer. It is not "
        "sent again by itself, because it may have been computed. Run again to ask anew.",
        "engine",
    )


def is_of_shape(error: Exception) -> bool:
    """Whether a library failed at what it read, and not at the connection."""
    return isinstance(error, _SHAPE_ERRORS)


def is_timeout(error: Exception) -> bool:
    """Whether a library waited in vain."""
    return any("Timeout" in type(cause).__name__ for cause in find_causes(error))


def broke_off(who: str) -> str:
    """A stream that ended before its end."""
    return (
        f"The answer of {who} broke off before its end. What came is kept; it is not sent again "
        "by itself, because it may be paid already. Run again to ask anew."
    )


def went_silent(who: str, patience: "Patience", call: "Call") -> Trouble:
    """No byte for too long, after the request was sent; if none came at all, it is the server."""
    seconds = patience.chunk_s if call.last_byte_at else patience.first_byte_s
    return Trouble(
        f"{who} sent nothing for {seconds:g} s. What came is kept; it is not sent again by "
        "itself, because it may still be computed. Run again to ask anew.",
        "" if call.last_byte_at else "engine",
    )


def failed_midway(who: str, said: str) -> str:
    """An error of the server's own inside a stream."""
    return f"{who} failed while it answered: {said}. What came is kept. Run again to ask anew."


def took_too_long(who: str, seconds: float) -> str:
    """A stream without an end."""
    return (
        f"{who} did not come to an end within {seconds:g} s, so it was stopped. What came is kept. "
        "Ask for fewer new tokens, or choose another model."
    )


def explain_unsent(error: Exception, client: "HostedClient", call: "Call") -> Trouble:
    """Nothing of the request left this machine."""
    who, causes = client.who, list(find_causes(error))
    certificate = next((c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        why = one_line(certificate.verify_message or "unknown reason")
        return Trouble(
            f"The certificate of {who} is not trusted ({why}), so nothing was sent. Check the "
            "address, or give the server a certificate that this machine trusts.",
            "engine",
        )
    if any(isinstance(c, ssl.SSLError) for c in causes):
        what = "it does not answer in TLS; an address with http:// instead of https:// may be meant"
    elif any(isinstance(c, socket.gaierror) for c in causes):
        what = "its name is not known here"
    elif any(isinstance(c, ConnectionRefusedError) for c in causes):
        what = "it refuses the connection"
    elif call.expired_s or is_timeout(error):
        what = f"no connection within {client.patience.connect_s:g} s"
    else:
        what = "the connection failed"
    return Trouble(
        f"{who} cannot be reached: {what}. Check that it runs, its address and the network, then "
        "run again.",
        "engine",
        again=True,
    )


def _explain_status(
    status: int, error: Any, client: "HostedClient", model: str, taken: Collection[str]
) -> Trouble:
    response = getattr(error, "response", None)
    headers = {name.lower(): value for name, value in getattr(response, "headers", {}).items()}
    body = getattr(error, "body", None)
    said = said_in(body, str(error), client)
    message = f"{said} {_mark(body, 'type')} {_mark(body, 'code')}"
    rejected, lasting = "", False
    if status in (400, 422):
        rejected, lasting = find_rejected(body, said, taken)
    elif status in (404, 405, 501) and "completions" in taken:
        rejected, lasting = "completions", True
    sentence = _status_sentence(status, client, model, said)
    return Trouble(
        sentence,
        _kind_of(status),
        again=status in _BUSY,
        status=status,
        message=message,
        headers=headers,
        rejected=rejected,
        lasting=lasting,
    )


def _kind_of(status: int) -> Literal["", "engine", "key"]:
    if status >= 500 or status in TIMED_OUT:
        return "engine"
    return "key" if status < 400 or status in _OF_THE_KEY else ""


def _status_sentence(status: int, client: "HostedClient", model: str, said: str) -> str:
    who = client.who
    if status == 401:
        return key_refused(client, said)
    if status == 403:
        return (
            f"{who} does not let this key use {model} (403): {said}. Choose another model or key."
        )
    if status == 404:
        return (
            f"{who} has no model {model}, or its address is wrong (404): {said}. Choose a model "
            "of its list."
        )
    if status == 413:
        return (
            f"The request is too large for {model} at {who} (413): {said}. Shorten the context, or "
            "ask for fewer new tokens."
        )
    if status < 400:
        return sent_elsewhere(who, status)
    if status in TIMED_OUT:
        return (
            f"{who}, or a proxy before it, timed out ({status}): {said}. It is not sent again by "
            "itself, because it may still be computed. Run again later, or ask for fewer new "
            "tokens."
        )
    if status >= 500:
        return f"{who} failed to answer for {model} ({status}): {said}. Try again later."
    return (
        f"{who} refuses the request for {model} ({status}): {said}. Change the settings or the "
        "prompt, or choose another model."
    )


def key_refused(client: "HostedClient", said: str) -> str:
    """A 401, with a key or without one."""
    if not client.has_key:
        return f"{client.who} asks for a key (401). Type one in the Models drawer."
    return f"{client.who} refuses the key (401): {said}. Type a valid one in the Models drawer."


def sent_elsewhere(who: str, status: int) -> str:
    """A redirect."""
    return (
        f"{who} sends this request to another address ({status}), which is not followed. Type "
        "the address where the server itself answers."
    )


def find_rejected(body: object, said: str, taken: Collection[str]) -> tuple[str, bool]:
    """(parameter, whether it is never taken) that a refusal names; ("", False) if none."""
    lasting = _UNKNOWN.search(said) is not None
    named = _mark(body, "param")
    for name in sorted(taken, key=len, reverse=True):
        quoted = re.search(rf"['\"`{{ ]{re.escape(name)}['\"`}}]|\bbody[., ]+{name}\b", said)
        plain = name not in _ORDINARY and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said)
        if named == name or quoted or (plain and name not in ("prefill", "completions")):
            # "max_tokens is too large" is about its value, and dropping it would pay for more
            if name.startswith("max_") and not lasting:
                continue
            return name, lasting
    if "prefill" in taken and re.search(r"prefill|last message|final message", said, re.IGNORECASE):
        return "prefill", True
    return "", False


def said_in(body: object, fallback: str, client: "HostedClient") -> str:
    """The server's own message in one short line, without the key, without its full stop."""
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(inner, Mapping):
        found = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
        if isinstance(found, list):
            found = "; ".join(_detail(item) for item in found)
    else:
        found = inner or fallback
    try:
        text = found if isinstance(found, str) else json.dumps(found, default=str)
    except RecursionError:
        text = ""
    text = clean_text(text)
    if text.lstrip()[:1] == "<" or not text.strip():
        text = "no reason given"  # a proxy's page in HTML
    return one_line(client.hide(text), _SAID_LENGTH).rstrip(".")


def _detail(item: object) -> str:
    """One complaint of FastAPI: where, and what."""
    if not isinstance(item, Mapping):
        return str(item)
    place = item.get("loc") or ()
    where = ".".join(map(str, place)) if isinstance(place, list | tuple) else str(place)
    return f"{where}: {item.get('msg', '')}"


def _mark(body: object, name: str) -> str:
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    value = inner.get(name) if isinstance(inner, Mapping) else None
    return value if isinstance(value, str) else ""


def _unreadable(who: str, what: str) -> str:
    return (
        f"{who} sent what cannot be read: {what}. What came before is kept. Check that the "
        "address is that of an OpenAI-compatible server, or try another model."
    )


def find_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
