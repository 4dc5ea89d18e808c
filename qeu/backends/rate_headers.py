"""What a provider's headers and refusals say of its rate limits: amounts, times, which limit."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

LimitKind = Literal["minute", "day", "quota"]
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+)", re.IGNORECASE)
_PER_DAY = re.compile(r"\bper day\b|\((?:RPD|TPD)\)|\bdaily\b", re.IGNORECASE)
_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota", re.IGNORECASE)
LONGEST_S = 7 * 86_400.0


@dataclass(frozen=True)
class Allowance:
    """One limit as the last answer told it: `remaining` of `limit`, all back in `reset_s`."""

    limit: float
    remaining: float
    reset_s: float

    @property
    def unit_s(self) -> float:
        """Seconds in which one more unit comes back; the same for limits a minute and a day."""
        used = self.limit - self.remaining
        return self.reset_s / used if used > 0 else 0.0


def read_duration(text: str) -> float | None:
    """Seconds of "2m59.56s", "7.66s", "1h2m", "120ms" or a bare number; None for anything else."""
    text = text.strip()
    try:
        return _sane(float(text))
    except ValueError:
        found = _DURATION.fullmatch(text)
    if not text or found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return _sane(days * 86_400 + hours * 3_600 + minutes * 60 + seconds + millis / 1_000)


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of Retry-After, given as a number or as an HTTP date; `now` is seconds since 1970."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if (seconds := read_duration(text)) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _sane(moment.timestamp() - now)


def read_try_again(message: str) -> float | None:
    """Seconds of "Please try again in 7m12.5s", if the message says so."""
    found = _TRY_AGAIN.search(message)
    return read_duration(found[1]) if found else None


def read_allowance(headers: Mapping[str, str], of: str) -> Allowance | None:
    """The limit of "requests" or "tokens"; None where the headers do not tell it."""
    try:
        limit = float(headers[f"x-ratelimit-limit-{of}"])
        remaining = float(headers[f"x-ratelimit-remaining-{of}"])
    except (KeyError, ValueError):
        return None
    reset_s = read_duration(headers.get(f"x-ratelimit-reset-{of}", ""))
    if reset_s is None or not 0 < limit < float("inf") or not 0 <= remaining <= limit:
        return None
    return Allowance(limit, remaining, reset_s)


def read_limit_kind(message: str) -> LimitKind:
    """Which limit a refusal (its text, type and code together) means; most are per minute."""
    if _QUOTA.search(message):
        return "quota"
    return "day" if _PER_DAY.search(message) else "minute"


def clock_time(moment: float, now: float) -> str:
    """A moment as a person reads it here: "14:05 UTC", with the date where it is another day."""
    then, today = (datetime.fromtimestamp(at, UTC).astimezone() for at in (moment, now))
    day = "" if then.date() == today.date() else f"{then:%Y-%m-%d} "
    return f"{day}{then:%H:%M} {then:%Z}".strip()


def iso_time(moment: float) -> str:
    """A moment for programs: UTC, in ISO form, in whole seconds and never too early."""
    return datetime.fromtimestamp(math.ceil(moment), UTC).isoformat()


def _sane(seconds: float) -> float | None:
    """No negative times, nothing that is not a number, and no wait beyond a week."""
    if seconds != seconds:
        return None
    return min(max(0.0, seconds), LONGEST_S)
