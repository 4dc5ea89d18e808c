"""What may go wrong with a completion request, and what the server remembers of every request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.wire_shapes import GROQ_RATES, rate_limit

FaultKind = Literal[
    "none", "status", "slow_first_byte", "cut", "cut_utf8", "split_utf8", "malformed",
    "error_event", "long_line", "hang", "refuse",
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one completion request.

    status           answered with `status`, `headers` and `body` (JSON, or HTML where it is a str)
    slow_first_byte  nothing for `seconds`, then as usual
    cut              the connection ends after `after_events` events that carry text
    cut_utf8         it ends there, in the middle of a character of several bytes
    split_utf8       no fault: every byte comes in a packet of its own
    malformed        broken JSON there, and then the proper end of the stream
    error_event      an error in place of the next event there
    long_line        one event of `size` bytes there, and then as usual
    hang             accepted, read, never answered
    refuse           the connection is reset before the body is read
    With `clean` a cut ends as a complete HTTP answer does, only without a finish reason.
    """

    kind: FaultKind
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    seconds: float = 1.0
    after_events: int = 1
    size: int = 10_000_000
    clean: bool = False


def rate_limited(
    per: Literal["minute", "day"] = "minute",
    seconds: float = 1.0,
    model: str = "llama-3.3-70b-versatile",
) -> Fault:
    """Groq's 429 for a limit per minute or per day, with `retry-after` in seconds."""
    minutes, rest = divmod(seconds, 60)
    wait = (f"{int(minutes)}m" if minutes else "") + f"{rest:g}s"
    headers = {"retry-after": f"{seconds:g}", **GROQ_RATES}
    if per == "minute":
        headers |= {"x-ratelimit-remaining-tokens": "50", "x-ratelimit-reset-tokens": wait}
    return Fault("status", 429, headers, rate_limit(model, per, wait))


@dataclass
class Seen:
    """One request; `fault` and `paid` are known when it is over."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: object = None
    fault: str = "none"
    paid: bool = False
