"""How many requests may be under way at one address with one key, and when the next may go.

Limits are learnt from the answers, for each model apart, as providers count them. Nothing is known
before the first answer, and what another program spends is seen only in the next one.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qeu.backends.rate_headers import (
    Allowance,
    LimitKind,
    clock_time,
    iso_time,
    read_allowance,
    read_limit_kind,
    read_retry_after,
    read_try_again,
)
from qeu.core.errors import QeuError

_POLL_S = 0.05
_TELL_S = 1.0  # a wait is told anew this often
FIRST_WAIT_S = 1.0  # after a refusal that names no time; doubled each time
LONGEST_BACKOFF_S = 60.0
GOOD_BEFORE_MORE = 8  # answers without refusal before one more request may be under way


@dataclass(frozen=True)
class Refusal:
    """A refused request: which limit, and how long it holds. `sentence` says so to a person.

    `again_at` is its end (UTC, ISO), "" where waiting does not help.
    """

    kind: LimitKind
    wait_s: float
    sentence: str
    again_at: str = ""


class LimitReached(QeuError):
    """A limit holds for longer than anybody wants to wait: until `again_at` (UTC, ISO)."""

    def __init__(self, sentence: str, again_at: str) -> None:
        super().__init__(sentence)
        self.again_at = again_at


class Clock:
    """Time as the budget sees it; tests bring their own."""

    def now(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def pause(self, stop: threading.Event, seconds: float) -> None:
        """Wait, or less if `stop` is set."""
        stop.wait(seconds)


@dataclass
class _Counter:
    """What is left of one limit, filling up again as time passes."""

    allowance: Allowance
    left: float
    at: float

    def left_now(self, now: float) -> float:
        if self.allowance.unit_s <= 0:
            return self.left
        gained = (now - self.at) / self.allowance.unit_s
        return min(self.allowance.limit, self.left + gained)

    def wait_for(self, needed: float, now: float) -> float:
        # what may be too much for the whole limit waits for a full one: it is but an estimate
        missing = min(needed, self.allowance.limit) - self.left_now(now)
        return min(max(0.0, missing * self.allowance.unit_s), self.allowance.reset_s)

    def take(self, amount: float, now: float) -> None:
        self.left, self.at = self.left_now(now) - amount, now


@dataclass
class _Limits:
    """What is known of one model's limits."""

    counters: dict[str, _Counter] = field(default_factory=dict)
    not_before: float = 0.0
    refused_until: float = 0.0  # a limit for the day
    sentence: str = ""
    refusals: int = 0  # in a row


class RateBudget:
    """One account's budget. Safe from any thread; `jitter` gives numbers from 0 to 1."""

    def __init__(
        self,
        who: str,
        concurrency: int = 4,
        *,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        longest_wait_s: float = 90.0,
    ) -> None:
        self.who, self.concurrency = who, concurrency
        self._clock, self._jitter, self._longest_wait_s = clock or Clock(), jitter, longest_wait_s
        self._changed = threading.Condition()
        self._models: dict[str, _Limits] = {}
        self._under_way, self._allowed, self._good = 0, concurrency, 0

    def resize(self, concurrency: int) -> None:
        """Change how many requests may be under way, once it is known what answers there."""
        with self._changed:
            self.concurrency = self._allowed = concurrency
            self._changed.notify_all()

    @property
    def under_way(self) -> int:
        """Requests that hold a place now."""
        with self._changed:
            return self._under_way

    @property
    def allowed(self) -> int:
        """Requests that may be under way together: less after refusals, more after good answers."""
        with self._changed:
            return self._allowed

    def left(self) -> dict[str, tuple[int, int]]:
        """(left now, limit) of "requests" and "tokens", of the model that has the least left."""
        now, found = self._clock.now(), {}
        with self._changed:
            for limits in self._models.values():
                for of, counter in limits.counters.items():
                    now_left = (int(max(0.0, counter.left_now(now))), int(counter.allowance.limit))
                    found[of] = min(found.get(of, now_left), now_left)
        return found

    def acquire(
        self,
        model: str,
        tokens: int,
        stop: threading.Event,
        on_wait: Callable[[float], None] | None = None,
    ) -> bool:
        """Wait until a request of about `tokens` may go, and take a place; False if stopped.

        `on_wait` is told the seconds left while a limit holds it back. Raises LimitReached where
        the limit holds for longer than anybody wants to wait. Every True needs a `release`.
        """
        while not stop.is_set():
            with self._changed:
                wait_s = self._wait_s(model, tokens)
                if wait_s <= 0 and self._under_way < self._allowed:
                    self._under_way += 1
                    self._take(model, tokens)
                    return True
                if wait_s <= 0:  # only a place is missing
                    self._changed.wait(_POLL_S)
                    continue
            if on_wait:
                on_wait(wait_s)
            self._clock.pause(stop, min(wait_s, _TELL_S))
        return False

    def release(self) -> None:
        """Give a place back."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def learn(self, model: str, headers: Mapping[str, str]) -> None:
        """Read the limits from the headers of a good answer."""
        with self._changed:
            limits = self._models.setdefault(model, _Limits())
            limits.refusals = 0
            self._read(limits, headers)
            self._good += 1
            if self._good >= GOOD_BEFORE_MORE and self._allowed < self.concurrency:
                self._allowed, self._good = self._allowed + 1, 0
                self._changed.notify_all()

    def refuse(self, model: str, headers: Mapping[str, str], message: str) -> Refusal:
        """Read a 429: later requests wait for what it says. `message` holds text, type and code."""
        kind = read_limit_kind(message)
        if kind == "quota":
            return Refusal(
                kind,
                0.0,
                f"{self.who} says that this account has no credit left. Waiting does not help: "
                "look at its billing page, or choose another provider.",
            )
        with self._changed:
            now = self._clock.now()
            limits = self._models.setdefault(model, _Limits())
            self._read(limits, headers)
            limits.refusals += 1
            self._allowed, self._good = max(1, self._allowed // 2), 0
            wait_s = self._refused_for(limits, headers, message)
            sentence = self._sentence(kind, model, wait_s)
            if wait_s > self._longest_wait_s:
                limits.refused_until, limits.sentence = now + wait_s, sentence
            else:
                # not all of them at the same moment
                wait_s += self._jitter() * min(1.0, 0.25 + 0.1 * wait_s)
                limits.not_before = max(limits.not_before, now + wait_s)
            return Refusal(kind, wait_s, sentence, self._again_at(wait_s))

    def is_patient(self, refusal: Refusal) -> bool:
        """Whether it is worth waiting for the end of a limit."""
        return refusal.kind != "quota" and refusal.wait_s <= self._longest_wait_s + 1.0

    def spread(self, seconds: float) -> float:
        """A little more than these seconds, so that not all come back at the same moment."""
        return seconds * (1.0 + 0.25 * self._jitter())

    def _wait_s(self, model: str, tokens: int) -> float:
        limits = self._models.get(model)
        if limits is None:
            return 0.0
        now = self._clock.now()
        if limits.refused_until > now:
            again_at = self._again_at(limits.refused_until - now)
            raise LimitReached(limits.sentence, again_at)
        needs = {"requests": 1.0, "tokens": float(tokens)}
        waits = [c.wait_for(needs[of], now) for of, c in limits.counters.items()]
        wait_s = max([limits.not_before - now, *waits])
        if wait_s > self._longest_wait_s:
            raise LimitReached(self._sentence("day", model, wait_s), self._again_at(wait_s))
        return wait_s

    def _take(self, model: str, tokens: int) -> None:
        if limits := self._models.get(model):
            now = self._clock.now()
            for of, counter in limits.counters.items():
                counter.take(1.0 if of == "requests" else tokens, now)

    def _read(self, limits: _Limits, headers: Mapping[str, str]) -> None:
        now = self._clock.now()
        for of in ("requests", "tokens"):
            if found := read_allowance(headers, of):
                limits.counters[of] = _Counter(found, found.remaining, now)

    def _refused_for(self, limits: _Limits, headers: Mapping[str, str], message: str) -> float:
        said = read_retry_after(headers, self._clock.wall())
        if said is None:
            said = read_try_again(message)
        if said is None:
            doubled = FIRST_WAIT_S * 2 ** min(limits.refusals - 1, 10)
            said = min(LONGEST_BACKOFF_S, doubled)
        return said

    def _again_at(self, wait_s: float) -> str:
        return iso_time(self._clock.wall() + wait_s)

    def _sentence(self, kind: LimitKind, model: str, wait_s: float) -> str:
        if wait_s <= self._longest_wait_s:
            return (
                f"{self.who} limits how much may be asked of {model} in a minute. "
                f"Try again in {wait_s:.0f} s, or choose another model."
            )
        now = self._clock.wall()
        until = clock_time(now + wait_s, now)
        if kind == "minute":
            return (
                f"{self.who} takes no more requests for {model} until {until}. "
                "Run again then, or choose another model."
            )
        return (
            f"The limit for one day at {self.who} is used up for {model} until {until}. "
            "Run again then, or choose another model or provider."
        )
