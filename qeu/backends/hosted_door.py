"""One address with one key: its client, its list of models, its budget, and who is using it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qeu.backends.hosted_call import Call
from qeu.backends.hosted_client import HostedClient
from qeu.backends.hosted_errors import Trouble
from qeu.backends.hosted_list_errors import explain_list
from qeu.backends.hosted_worker import Refused
from qeu.backends.provider_detect import detect_kind
from qeu.backends.providers import PROVIDERS, Provider
from qeu.backends.rate_budget import RateBudget
from qeu.core.errors import QeuError

LIST_S = 60.0  # a list of models is asked for again after this time
NAME_LENGTH = 200  # of a model; a list with longer ones is no list of models


class HostedDoor:
    """What all models of one address with one key share. Safe from any thread.

    `known` is what answers there, None where that has to be found out.
    """

    def __init__(
        self, client: HostedClient, known: Provider | None, clock: Callable[[], float]
    ) -> None:
        self.client, self._clock = client, clock
        self.provider = known or PROVIDERS["openai"]
        self.budget = RateBudget(client.who, self.provider.concurrency)
        self.refused = Refused()
        self.entries: list[dict[str, Any]] = []
        self.trouble: Trouble | None = None  # why there is no list
        self._known = known is not None
        self._listed_at: float | None = None
        self._listing = threading.Lock()
        self._using = threading.Lock()
        self._users, self._closed = 0, False
        self._used_at = clock()

    @property
    def unused_s(self) -> float:
        """Seconds since it was last used; 0 while it is."""
        with self._using:
            return 0.0 if self._users else self._clock() - self._used_at

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the client and its key while something runs; raises QeuError once they are gone."""
        with self._using:
            if self._closed:
                raise QeuError(
                    f"The connection to {self.client.who} was let go, because its key was changed "
                    "or it was not used for long. Choose the model again."
                )
            self._users += 1
        try:
            yield
        finally:
            with self._using:
                self._users -= 1
                self._used_at = self._clock()
                last = self._closed and not self._users
            if last:
                self.client.close()

    def close(self) -> None:
        """Let go of the client and its key: now, or as soon as what runs has ended."""
        with self._using:
            self._closed = True
            busy = self._users
        if not busy:
            self.client.close()

    def doubt(self) -> None:
        """The server did not answer: whoever opens a model next asks for the list first."""
        self._listed_at = None

    def bring_list(self, *, refresh: bool) -> None:
        """Bring the list of models up to date; one thread asks, the others wait for it."""
        with self._listing:
            age = None if self._listed_at is None else self._clock() - self._listed_at
            # a failure is worth another try at once: the person may just have mended it
            if age is not None and age < LIST_S and not refresh and self.trouble is None:
                return
            call = Call()
            try:
                found, self.trouble = self.client.list_models(call), None
                self.entries = [e for e in found if _is_name(e["id"])]
            except Exception as e:  # whatever the libraries raise is explained
                self.entries = []
                self.trouble = explain_list(e, self.client, call)
            self._listed_at = self._clock()
            if not self._known and not (self.trouble and is_final(self.trouble)):
                self._known = True
                self.provider = PROVIDERS[detect_kind(self.client, self.entries)]
                self.budget.resize(self.provider.concurrency)


def is_final(trouble: Trouble) -> bool:
    """Whether there is no point in asking a model: not reached, or the key refused."""
    return trouble.status in (0, 401, 403)


def _is_name(name: str) -> bool:
    # what cannot be printed can neither be shown nor be stored everywhere
    return 0 < len(name) <= NAME_LENGTH and name.isprintable()
