"""What each visitor's providers offer: asked in the background, kept with the visitor's page."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import gradio as gr

from qeu.backends.catalog import is_hosted, provider_of
from qeu.backends.keyring import Keyring
from qeu.backends.providers import PROVIDERS
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.services.defaults import choose_teacher
from qeu.ui.context import Context

_KEPT = "providers"
# A row is drawn greedily by a temperature of 0, which every provider takes.
_SETTINGS = frozenset(Sampling.__dataclass_fields__) - {"greedy"}


@dataclass(frozen=True)
class ProviderState:
    """What a provider told when it was asked last; `error` is the sentence where it did not.

    `identity` is that of the address and key it was asked with. `refs` are its models, `kind` is
    what kind of server it turned out to be.
    """

    provider: str
    identity: str
    kind: str = ""
    refs: tuple[str, ...] = ()
    error: str = ""


class HostedModels:
    """The providers of every visitor; nothing here is shared but the pool of connections."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def look(self, request: gr.Request, *, refresh: bool = False) -> None:
        """Ask all providers of a visitor for their models, at the same time, and keep the answers.

        Takes as long as the slowest; a provider that fails is kept with its reason.
        """
        ring = self.context.keyring_of(request)
        if not ring.providers:
            return
        with ThreadPoolExecutor(len(ring.providers)) as threads:
            states = threads.map(lambda name: self._ask(name, ring, refresh), ring.providers)
            self._kept(request).update((state.provider, state) for state in states)

    def states(self, request: gr.Request) -> list[ProviderState | str]:
        """Each provider that the visitor may ask: what it told, or its name while nobody asked."""
        ring, kept = self.context.keyring_of(request), self._kept(request)
        return [
            state if (state := kept.get(name)) and state.identity == ring.identity(name) else name
            for name in ring.providers
        ]

    def of(self, provider: str, request: gr.Request) -> ProviderState | None:
        """What one provider told; None where it is not the visitor's, or not asked yet."""
        told = (s for s in self.states(request) if isinstance(s, ProviderState))
        return next((state for state in told if state.provider == provider), None)

    def refs(self, request: gr.Request) -> list[str]:
        """All hosted models on offer, those that write no text left out."""
        return [
            ref
            for state in self.states(request)
            if isinstance(state, ProviderState)
            for ref in state.refs
        ]

    def teacher(self, request: gr.Request) -> str:
        """The strongest hosted model that the visitor's keys offer; "" if none."""
        return choose_teacher(self.refs(request))

    def ignored(self, ref: str, request: gr.Request) -> frozenset[str]:
        """The sampling settings that a model's provider does not take; none for a local one."""
        if not is_hosted(ref):
            return frozenset()
        name = provider_of(ref)
        state = self.of(name, request)
        # until it was asked, a server is taken for one that knows the standard only
        kind = "groq" if name == "groq" else state.kind if state and state.kind else "openai"
        return _SETTINGS - frozenset(PROVIDERS[kind].takes)

    def forget(self, provider: str, request: gr.Request) -> None:
        """Let go of a provider: of its key in this visitor's page, and of its connection."""
        ring, owner = self.context.keyring_of(request), self.context.keyring
        # Groq's address is the owner's setting and no secret
        left = ring.with_key("groq", "") if provider == "groq" else ring.without(provider)
        self.context.sessions.of(request).keyring = left
        self._kept(request).pop(provider, None)
        if ring.identity(provider) != owner.identity(provider):
            self.context.pool.forget(provider, ring)

    def _ask(self, provider: str, ring: Keyring, refresh: bool) -> ProviderState:
        identity = ring.identity(provider)
        try:
            cards = self.context.pool.list_models(provider, ring, refresh=refresh)
        except QeuError as error:
            return ProviderState(provider, identity, error=str(error))
        kind = cards[0].kind if cards else ""
        return ProviderState(provider, identity, kind, tuple(c.ref for c in cards if c.chat))

    def _kept(self, request: gr.Request) -> dict[str, ProviderState]:
        kept = self.context.sessions.of(request).kept
        return kept.setdefault(_KEPT, {})  # type: ignore[return-value]
