"""One row's way to its server: wait for the budget, send, read on, and send again where it is safe.

Nothing is paid twice: only a request that was certainly not computed is sent again unasked (no
connection, a refusal, an error before the answer began).
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal

from qeu.backends.base import Row
from qeu.backends.hosted_call import Call
from qeu.backends.hosted_chunks import Chunk, read_chunk
from qeu.backends.hosted_client import HostedClient
from qeu.backends.hosted_errors import Trouble, explain
from qeu.backends.hosted_request import HostedRequest, build_request
from qeu.backends.providers import Provider
from qeu.backends.rate_budget import LimitReached, RateBudget
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling

log = logging.getLogger(__name__)
_POLL_S = 0.05
_TELL_S = 1.0
MAX_REFUSED = 12  # parameters; no server refuses more


class Refused:
    """What each model of one server has refused for good; shared by all who ask it."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def of(self, model: str) -> frozenset[str]:
        """Parts of a request that this model's server does not take."""
        with self._lock:
            return self._names.get(model, frozenset())

    def add(self, model: str, name: str) -> None:
        """Remember one more."""
        with self._lock:
            self._names[model] = self._names.get(model, frozenset()) | {name}


@dataclass
class Sending:
    """A row under way. The worker's thread writes it until it is over; others only cancel it."""

    index: int
    row: Row
    sampling: Sampling
    model: str
    context: int = 0  # tokens that the model can read; 0 is unknown
    cancelled: threading.Event = field(default_factory=threading.Event)
    call: Call | None = None
    request: HostedRequest | None = None
    refused: frozenset[str] = frozenset()
    tries: int = 0
    limited: int = 0

    def cancel(self) -> None:
        """Nobody wants its answer any more; safe from any thread, at any time."""
        self.cancelled.set()
        if (call := self.call) is not None:
            call.cancel()


@dataclass(frozen=True)
class News:
    """What a worker tells of a row.

    wait: `seconds` until it may be sent; sent: it goes out now; chunk: a piece; end: the stream is
    complete; fail: `trouble` says why.
    """

    index: int
    kind: Literal["wait", "sent", "chunk", "end", "fail"]
    seconds: float = 0.0
    chunk: Chunk | None = None
    trouble: Trouble | None = None


class Worker:
    """Sends rows to one server, one after the other, from a thread of its own."""

    def __init__(
        self,
        client: HostedClient,
        provider: Provider,
        budget: RateBudget,
        refused: Refused,
        news: "queue.Queue[News]",
    ) -> None:
        self._client, self._provider, self._budget = client, provider, budget
        self._refused, self._news = refused, news

    def run(self, sending: Sending) -> None:
        """Send a row until it is answered, refused for good, or cancelled."""
        try:
            trouble = self._send(sending)
        except LimitReached as e:
            trouble = Trouble(str(e), "limit", e.again_at)
        except QeuError as e:
            trouble = Trouble(str(e))
        except Exception as e:
            log.exception("a request to %s failed", self._client.who)
            trouble = Trouble(f"{self._client.who} failed here: {type(e).__name__}.")
        if trouble is not None:
            self._tell(sending, News(sending.index, "fail", trouble=trouble))

    def _send(self, sending: Sending) -> Trouble | None:
        """None when it was answered or cancelled, else why it failed."""
        while not _is_over(sending):
            names = sending.refused | self._refused.of(sending.model)
            row = sending.row
            sending.request = build_request(
                row.prompt,
                sending.sampling,
                self._provider,
                sending.model,
                names,
                context=sending.context,
            )
            trouble = self._ask(sending, sending.request)
            if trouble is None or sending.cancelled.is_set():
                return None
            if final := self._decide(sending, trouble):
                return final
            sending.call = None  # its times are not those of the next one
        return None

    def _decide(self, sending: Sending, trouble: Trouble) -> Trouble | None:
        """Get ready to send again, or say why not."""
        patience, model = self._client.patience, sending.model
        if trouble.rejected and len(sending.refused) < MAX_REFUSED:
            if trouble.rejected in sending.refused:
                return trouble  # it complains of something that was not sent
            sending.refused |= {trouble.rejected}
            if trouble.lasting:
                self._refused.add(model, trouble.rejected)
            return None
        if trouble.status == 429:
            refusal = self._budget.refuse(model, trouble.headers, trouble.message)
            sending.limited += 1
            patient = self._budget.is_patient(refusal)
            if patient and sending.limited < patience.rate_attempts:
                return None
            # no credit is for a person to mend, every other limit ends by itself
            kind = "key" if refusal.kind == "quota" else "limit"
            return replace(trouble, sentence=refusal.sentence, kind=kind, again_at=refusal.again_at)
        sending.tries += 1
        if not trouble.again or sending.tries >= patience.attempts:
            return trouble
        self._back_off(sending)
        return None

    def _back_off(self, sending: Sending) -> None:
        patience, sending.call = self._client.patience, None
        wait_s = patience.first_backoff_s * 2 ** (sending.tries - 1)
        wait_s = self._budget.spread(min(wait_s, patience.longest_backoff_s))
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0 and not sending.cancelled.is_set():
            self._tell_wait(sending, left)
            sending.cancelled.wait(min(left, _TELL_S))

    def _ask(self, sending: Sending, request: HostedRequest) -> Trouble | None:
        """One request from its place in the budget to its end; what went wrong, if anything."""

        def tell(seconds: float) -> None:
            self._tell_wait(sending, seconds)

        if not self._budget.acquire(request.model, request.tokens, sending.cancelled, tell):
            return None
        call = sending.call = Call()
        try:
            if _is_over(sending):
                return None
            self._tell(sending, News(sending.index, "sent"))
            chunks, headers = self._client.open(call, request)
            self._budget.learn(request.model, _lower(headers))
            with closing(chunks):
                for chunk in chunks:
                    read = read_chunk(chunk, self._provider.thinking_fields)
                    self._tell(sending, News(sending.index, "chunk", chunk=read))
            self._tell(sending, News(sending.index, "end"))
        except Exception as e:
            if call.cancelled.is_set() or sending.cancelled.is_set():
                return None
            return explain(e, self._client, call, request.model, request.taken)
        finally:
            self._budget.release()
        return None

    def _tell_wait(self, sending: Sending, seconds: float) -> None:
        if not _is_over(sending):
            self._tell(sending, News(sending.index, "wait", seconds=seconds))

    def _tell(self, sending: Sending, news: News) -> None:
        # a full queue means that nobody reads fast enough: the server has to wait then
        while not sending.cancelled.is_set():
            try:
                self._news.put(news, timeout=_POLL_S)
            except queue.Full:
                continue
            return


def _is_over(sending: Sending) -> bool:
    """Whether nobody wants a row sent (any more). Not for one under way: `hold` would end it."""
    if sending.row.hold is not None and sending.row.hold.is_set():
        sending.cancelled.set()
    return sending.cancelled.is_set()


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
