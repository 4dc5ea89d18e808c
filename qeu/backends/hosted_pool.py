"""Hosted models for everybody: clients, lists of models and budgets, kept per address and key."""

import difflib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from qeu.backends.base import EngineGone
from qeu.backends.catalog import ModelCard, provider_of
from qeu.backends.hosted import HostedModel
from qeu.backends.hosted_call import Patience
from qeu.backends.hosted_client import HostedClient
from qeu.backends.hosted_door import LIST_S, NAME_LENGTH, HostedDoor, is_final
from qeu.backends.keyring import Keyring
from qeu.backends.provider_detect import read_context, read_server_context
from qeu.backends.providers import (
    PROVIDERS,
    HostedFitness,
    Provider,
    hosted_fitness,
    is_chat_model,
    pick_default,
)
from qeu.core.errors import QeuError
from qeu.core.text import clean_text, one_line

__all__ = ["IDLE_S", "LIST_S", "HostedCard", "HostedPool"]

IDLE_S = 900.0  # a client, and with it a visitor's key, is let go after this time
_CLOSE = 3


@dataclass(frozen=True)
class HostedCard:
    """One model that an account or server offers. `id` is its own name, `ref` how we call it.

    `context` 0 is unknown. `chat` False: it writes no text (speech, guard, embedding).
    """

    id: str
    ref: str
    label: str
    context: int = 0
    owner: str = ""
    kind: str = "openai"
    chat: bool = True
    fitness: HostedFitness = field(default_factory=lambda: HostedFitness("", known=False))


class HostedPool:
    """Opens hosted models. One for the process; safe from any thread. `clock` is for tests."""

    def __init__(
        self, patience: Patience | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience, self._clock = patience or Patience(), clock
        self._doors: dict[str, HostedDoor] = {}
        self._lock = threading.Lock()

    def open(self, card: ModelCard, keyring: Keyring) -> HostedModel:
        """The model, ready to be asked. Raises QeuError: no key, no such model.

        EngineGone where the server cannot be reached.
        """
        provider = provider_of(card.id)
        model = card.id.partition("/")[2].strip()
        with self._listed(provider, keyring) as door:
            entry = next((e for e in door.entries if e["id"] == model), None)
            if door.trouble is not None and is_final(door.trouble):
                gone = door.trouble.kind == "engine"
                raise (EngineGone if gone else QeuError)(door.trouble.sentence)
            if entry is None and door.trouble is None and door.provider.lists_all:
                raise _unknown(door.client.who, model, [e["id"] for e in door.entries])
            return HostedModel(
                card.id,
                model,
                door.client,
                door.provider,
                door.budget,
                door.refused,
                context=_context(door.client, door.provider, entry),
                served=[e["id"] for e in door.entries],
                hold=door.hold,
                doubt=door.doubt,
            )

    def list_models(
        self, provider: str, keyring: Keyring, *, refresh: bool = False
    ) -> list[HostedCard]:
        """What a provider offers with this key, chat models first; asked again after a minute.

        Raises QeuError where it cannot be asked or gives no list.
        """
        with self._listed(provider, keyring, refresh=refresh) as door:
            if door.trouble is not None:
                raise QeuError(door.trouble.sentence)
            cards = [_card(provider, door.provider.kind, entry) for entry in door.entries]
        return sorted(cards, key=lambda card: (not card.chat, card.id.lower()))

    def default_model(self, provider: str, keyring: Keyring) -> str | None:
        """The reference of the strongest teacher that the account really offers; None for none."""
        found = pick_default(card.id for card in self.list_models(provider, keyring))
        return f"{provider}/{found}" if found else None

    def kind_of(self, provider: str, keyring: Keyring) -> Provider:
        """What kind of server a provider is, found out at the first time; asks it if need be."""
        with self._listed(provider, keyring) as door:
            return door.provider

    def limits_left(self, provider: str, keyring: Keyring) -> dict[str, tuple[int, int]]:
        """(left, limit) of "requests" and "tokens" as the answers told; asks nobody."""
        with self._lock:
            door = self._doors.get(keyring.identity(provider))
        return door.budget.left() if door else {}

    def forget(self, provider: str, keyring: Keyring) -> None:
        """Let go of a client and its key, as when a visitor leaves or changes the key.

        What runs with them goes on to its end; then they go.
        """
        with self._lock:
            door = self._doors.pop(keyring.identity(provider), None)
        if door is not None:
            door.close()

    def _door(self, provider: str, keyring: Keyring) -> HostedDoor:
        address, key = keyring.address(provider), keyring.key(provider)
        if provider == "groq" and not key:
            raise QeuError("No key for Groq. Set GROQ_API_KEY or type one in the Models drawer.")
        if not address:
            raise QeuError(
                f"No address for {provider}. Set QEU_SERVERS or type one in the Models drawer, "
                "as in http://localhost:8000/v1."
            )
        identity = keyring.identity(provider)
        with self._lock:
            self._drop_idle(identity)
            door = self._doors.get(identity)
            if door is None:
                groq = provider == "groq"
                client = HostedClient(address, key, groq=groq, patience=self._patience)
                known = PROVIDERS["groq"] if groq else None
                door = self._doors[identity] = HostedDoor(client, known, self._clock)
            return door

    @contextmanager
    def _listed(
        self, provider: str, keyring: Keyring, *, refresh: bool = False
    ) -> Iterator[HostedDoor]:
        """The door of a provider with its list up to date, kept open meanwhile."""
        door = self._door(provider, keyring)
        with door.hold():
            door.bring_list(refresh=refresh)
            yield door

    def _drop_idle(self, wanted: str) -> None:
        for identity, door in list(self._doors.items()):
            if identity != wanted and door.unused_s > IDLE_S:
                del self._doors[identity]
                door.close()


def _context(client: HostedClient, kind: Provider, entry: Mapping[str, Any] | None) -> int:
    if kind.kind == "llama.cpp" and (found := read_server_context(client)):
        return found
    return read_context(entry) if entry else 0


def _card(provider: str, kind: str, entry: Mapping[str, Any]) -> HostedCard:
    name = str(entry["id"])
    owner = entry.get("owned_by")
    return HostedCard(
        id=name,
        ref=f"{provider}/{name}",
        label=name,
        context=read_context(entry),
        owner=one_line(clean_text(owner), NAME_LENGTH) if isinstance(owner, str) else "",
        kind=kind,
        chat=is_chat_model(name),
        fitness=hosted_fitness(name),
    )


def _unknown(who: str, model: str, offered: list[str]) -> QeuError:
    chat = [name for name in offered if is_chat_model(name)] or offered
    close = difflib.get_close_matches(model, chat, n=_CLOSE, cutoff=0.5) or chat[:_CLOSE]
    if not close:
        return QeuError(f"{who} offers no model at all. Load one there, or choose another server.")
    return QeuError(
        f"{who} does not offer {model[:80]!r}. Choose one of its models, such as "
        f"{', '.join(close)}."
    )
