"""Choose what the two sides begin with, from the machine, the keys and the adapters there are.

With a key: the strongest teacher that it really offers on the right. With a GPU that has room and
weights to be had: Phi-2 and Llama-3-8B. With neither: the embedded model and its shipped adapter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from qeu.backends.adapter_base import fitting_models
from qeu.backends.adapter_files import list_adapters
from qeu.backends.catalog import ModelCard, find_model, provider_of
from qeu.backends.memory import has_gpu
from qeu.backends.memory_estimate import estimate
from qeu.backends.providers import pick_default
from qeu.backends.shelf import LoadedModel
from qeu.core.errors import QeuError
from qeu.core.settings import Settings

EMBEDDED, LOCAL_LEFT = "smollm2-135m", "phi-2"
# The same model from two repositories: the one whose weights are here, else the first.
LOCAL_RIGHT = ("llama-3-8b", "llama-3-8b-4bit")
SHIPPED_ADAPTER = "thinks-first"

Code = Literal["pair", "pair_fetch", "teacher", "adapter", "alone"]
Why = Literal["", "no_gpu", "no_room", "no_weights"]


class Memory(Protocol):
    """What a shelf knows of memory."""

    def free_bytes(self) -> int:
        """Memory free for models."""
        ...

    def loaded(self) -> Sequence[LoadedModel]:
        """What is in memory."""
        ...


@dataclass(frozen=True)
class Machine:
    """`room_bytes` is free or held by our own models, which can leave.

    `fetch_bytes` has the models that can be had, with what a download takes; 0 is here already.
    """

    gpu: bool = False
    room_bytes: int = 0
    fetch_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter to begin with; `target` is what it learned to write, "" if nobody knows."""

    name: str
    base: str = EMBEDDED
    target: str = ""


@dataclass(frozen=True)
class DefaultSide:
    """A model as `MODEL` or `MODEL@ADAPTER`; `target` "" leaves the form's own."""

    model: str
    target: str = ""


@dataclass(frozen=True)
class Defaults:
    """Both sides, and why: a code and its facts, for the page to word.

    `why` says for `adapter` and `alone` what a larger pair lacks. Facts are names and gigabytes.
    """

    left: DefaultSide
    right: DefaultSide
    code: Code
    why: Why = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"facts": dict(self.facts)}


def choose_defaults(
    machine: Machine, teacher: str = "", adapter: AdapterChoice | None = None
) -> Defaults:
    """The pair to begin with; `teacher` is the strongest hosted model on offer, "" if none."""
    phi, llama = find_model(LOCAL_LEFT), _right_card(machine)
    needed = {card.id: estimate(card, "nf4", device="cuda").total for card in (phi, llama)}
    phi_runs = machine.gpu and phi.id in machine.fetch_bytes
    if teacher:
        left = phi.id if phi_runs and needed[phi.id] <= machine.room_bytes else EMBEDDED
        return Defaults(DefaultSide(left), DefaultSide(teacher), "teacher")
    facts = {"needed": _gb(sum(needed.values())), "free": _gb(machine.room_bytes)}
    if not machine.gpu:
        return _embedded(adapter, "no_gpu", {})
    if sum(needed.values()) > machine.room_bytes:
        return _embedded(adapter, "no_room", facts)
    if not phi_runs or llama.id not in machine.fetch_bytes:
        return _embedded(adapter, "no_weights", {})
    fetch = sum(machine.fetch_bytes[card.id] for card in (phi, llama))
    if fetch:
        facts["fetch"] = _gb(fetch)
    return Defaults(
        DefaultSide(phi.id),
        DefaultSide(llama.id),
        "pair_fetch" if fetch else "pair",
        facts=facts,
    )


def look_at_machine(settings: Settings, memory: Memory) -> Machine:
    """What this machine can do; with a GPU it may ask the Hub and take 10 s where that is silent.

    It imports torch where a GPU's driver is installed.
    """
    if settings.device == "cpu" or not has_gpu():
        return Machine()
    room = memory.free_bytes() + sum(item.memory_bytes for item in memory.loaded())
    fetch: dict[str, int] = {}
    for name in (LOCAL_LEFT, *LOCAL_RIGHT):
        found = _fetch_bytes(find_model(name))
        if found is None and not fetch:
            break  # the Hub is silent: another 10 s would tell nothing new
        if found is not None:
            fetch[name] = found
    return Machine(True, room, fetch)


def list_adapter_choices(folder: Path) -> list[AdapterChoice]:
    """The adapters of a folder that fit a model of the table, as their run.json tells of them."""
    return [
        AdapterChoice(adapter.name, fitting[0], adapter.run.target if adapter.run else "")
        for adapter in list_adapters(folder)
        if (fitting := fitting_models(adapter))
    ]


def choose_teacher(refs: Iterable[str]) -> str:
    """The hosted model to begin with among these, "" if none answers in text; Groq's first."""
    offered: dict[str, list[str]] = {}
    for ref in refs:
        provider = provider_of(ref)
        offered.setdefault(provider, []).append(ref[len(provider) + 1 :])
    for provider in sorted(offered, key=lambda name: (name != "groq", name)):
        if name := pick_default(offered[provider]):
            return f"{provider}/{name}"
    return ""


def choose_adapter(adapters: Sequence[AdapterChoice]) -> AdapterChoice | None:
    """The shipped adapter if it is there, else the first one of the embedded model."""
    own = [adapter for adapter in adapters if adapter.base == EMBEDDED]
    shipped = [adapter for adapter in own if adapter.name == SHIPPED_ADAPTER]
    return next(iter(shipped or own), None)


def _embedded(adapter: AdapterChoice | None, why: Why, facts: dict[str, str]) -> Defaults:
    left = DefaultSide(EMBEDDED)
    if adapter is None:
        return Defaults(left, DefaultSide(EMBEDDED), "alone", why, facts)
    right = DefaultSide(f"{EMBEDDED}@{adapter.name}", adapter.target)
    return Defaults(left, right, "adapter", why, {**facts, "adapter": adapter.name})


def _right_card(machine: Machine) -> ModelCard:
    here = [name for name in LOCAL_RIGHT if machine.fetch_bytes.get(name) == 0]
    offered = [name for name in LOCAL_RIGHT if name in machine.fetch_bytes]
    return find_model(next(iter(here or offered), LOCAL_RIGHT[0]))


def _fetch_bytes(card: ModelCard) -> int | None:
    """What a download of the weights takes, 0 if they are here, None if they cannot be had."""
    from qeu.backends.hub import resolve_hub

    try:
        found = resolve_hub(card.hub_repo)
    except QeuError:
        return None  # whoever chooses this model is told why
    return 0 if found.local else found.download_bytes


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f}"
