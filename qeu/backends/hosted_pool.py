"""Hosted models for everybody: clients, lists of models and budgets, kept per address and key."""

import difflib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qeu.backends.catalog import ModelCard, provider_of
from qeu.backends.hosted import HostedModel
from qeu.backends.hosted_client import Call, HostedClient, Patience
from qeu.backends.hosted_errors import Trouble, explain
from qeu.backends.hosted_worker import Refused
from qeu.backends.keyring import Keyring
from qeu.backends.provider_detect import detect_kind, read_context, read_server_context
from qeu.backends.providers import (
    PROVIDERS,
    HostedFitness,
    Provider,
    hosted_fitness,
    is_chat_model,
    pick_default,
)
from qeu.backends.rate_budget import RateBudget
from qeu.core.errors import QeuError

LIST_S = 60.0  # a list of models is asked for again after this time
IDLE_S = 900.0  # a client, and with it a visitor's key, is let go after this time
_CLOSE = 3
_NAME_LENGTH = 200  # of a model; a list with longer ones is no list of models


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


@dataclass
class _Door:
    """One address with one key."""

    client: HostedClient
    budget: RateBudget
    refused: Refused = field(default_factory=Refused)
    lock: threading.Lock = field(default_factory=threading.Lock)
    provider: Provider | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)
    trouble: Trouble | None = None  # why there is no list
    listed_at: float | None = None
    used_at: float = 0.0


class HostedPool:
    """Opens hosted models. One for the process; safe from any thread. `clock` is for tests."""

    def __init__(
        self, patience: Patience | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience, self._clock = patience or Patience(), clock
        self._doors: dict[str, _Door] = {}
        self._lock = threading.Lock()

    def open(self, card: ModelCard, keyring: Keyring) -> HostedModel:
        """The model, ready to be asked. Raises QeuError: no key, no such server, no such model."""
        provider = provider_of(card.id)
        model = card.id.partition("/")[2].strip()
        door = self._door(provider, keyring)
        self._list(door, provider, refresh=False)
        kind = door.provider or PROVIDERS["openai"]
        entry = next((e for e in door.entries if e["id"] == model), None)
        if door.trouble is not None and _is_final(door.trouble):
            raise QeuError(door.trouble.sentence)
        if entry is None and door.trouble is None and kind.lists_all:
            raise _unknown(door.client.who, model, [e["id"] for e in door.entries])
        return HostedModel(
            card.id,
            model,
            door.client,
            kind,
            door.budget,
            door.refused,
            context=_context(door.client, kind, entry),
            served=[e["id"] for e in door.entries],
        )

    def list_models(
        self, provider: str, keyring: Keyring, *, refresh: bool = False
    ) -> list[HostedCard]:
        """What a provider offers with this key, chat models first; asked again after a minute.

        Raises QeuError where it cannot be asked or gives no list.
        """
        door = self._door(provider, keyring)
        self._list(door, provider, refresh=refresh)
        if door.trouble is not None:
            raise QeuError(door.trouble.sentence)
        kind = (door.provider or PROVIDERS["openai"]).kind
        cards = [_card(provider, kind, entry) for entry in door.entries]
        return sorted(cards, key=lambda card: (not card.chat, card.id.lower()))

    def default_model(self, provider: str, keyring: Keyring) -> str | None:
        """The reference of the strongest teacher that the account really offers; None for none."""
        found = pick_default(card.id for card in self.list_models(provider, keyring))
        return f"{provider}/{found}" if found else None

    def kind_of(self, provider: str, keyring: Keyring) -> Provider:
        """What kind of server a provider is, found out at the first time; asks it if need be."""
        door = self._door(provider, keyring)
        self._list(door, provider, refresh=False)
        return door.provider or PROVIDERS["openai"]

    def limits_left(self, provider: str, keyring: Keyring) -> dict[str, tuple[int, int]]:
        """(left, limit) of "requests" and "tokens" as the answers told; asks nobody."""
        with self._lock:
            door = self._doors.get(keyring.identity(provider))
        return door.budget.left() if door else {}

    def forget(self, provider: str, keyring: Keyring) -> None:
        """Let go of a client and its key, as when a visitor leaves or changes the key."""
        with self._lock:
            door = self._doors.pop(keyring.identity(provider), None)
        if door is not None and not door.budget.under_way:
            door.client.close()

    def _door(self, provider: str, keyring: Keyring) -> _Door:
        address, key = keyring.address(provider), keyring.key(provider)
        if provider == "groq" and not key:
            raise QeuError("No key for Groq. Set GROQ_API_KEY or type one in the Models drawer.")
        if not address:
            raise QeuError(
                f"No address for {provider}. Set QEU_SERVERS or type one in the Models drawer, "
                "as in http://localhost:8000/v1."
            )
        identity, now = keyring.identity(provider), self._clock()
        with self._lock:
            self._drop_idle(now)
            door = self._doors.get(identity)
            if door is None:
                groq = provider == "groq"
                client = HostedClient(address, key, groq=groq, patience=self._patience)
                known = PROVIDERS["groq"] if groq else None
                most = (known or PROVIDERS["openai"]).concurrency
                door = _Door(client, RateBudget(client.who, most), provider=known)
                self._doors[identity] = door
            door.used_at = now
            return door

    def _drop_idle(self, now: float) -> None:
        for identity, door in list(self._doors.items()):
            if now - door.used_at > IDLE_S and not door.budget.under_way:
                del self._doors[identity]
                door.client.close()

    def _list(self, door: _Door, provider: str, *, refresh: bool) -> None:
        """Bring the list of models up to date; one thread asks, the others wait for it."""
        with door.lock:
            age = None if door.listed_at is None else self._clock() - door.listed_at
            # a failure is worth another try at once: the person may just have mended it
            if age is not None and age < LIST_S and not refresh and door.trouble is None:
                return
            call = Call()
            try:
                found, door.trouble = door.client.list_models(call), None
                door.entries = [e for e in found if 0 < len(e["id"]) <= _NAME_LENGTH]
            except Exception as e:  # whatever the libraries raise is explained
                door.entries = []
                door.trouble = explain(e, door.client, call, "the list", ())
            door.listed_at = self._clock()
            if door.provider is None and not (door.trouble and _is_final(door.trouble)):
                door.provider = PROVIDERS[detect_kind(door.client, door.entries)]
                door.budget.resize(door.provider.concurrency)


def _is_final(trouble: Trouble) -> bool:
    """Whether there is no point in asking a model: not reached, or the key refused."""
    return trouble.status in (0, 401, 403)


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
        owner=owner[:_NAME_LENGTH] if isinstance(owner, str) else "",
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
