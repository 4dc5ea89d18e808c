"""What a model picker offers: local models, adapters over their bases, hosted models of a key."""

import re
from collections.abc import Iterable
from pathlib import Path

from qeu.backends.adapter_base import fitting_models
from qeu.backends.adapter_files import AdapterFolder, list_adapters
from qeu.backends.catalog import find_model, list_models, provider_of, split_ref
from qeu.core.errors import QeuError
from qeu.ui.sentences import tell

HOSTED_SIGN = "☁"
# What a card's label says beyond the model's name, where there is no room for it.
_BESIDE = re.compile(r"\s*(?:\([^)]*\)|（[^）]*）|\bInstruct\b)")

Choices = list[tuple[str, str]]


def local_choices(language: str = "en") -> Choices:
    """The models of the table that run here."""
    return [(tell(card.label, language), card.id) for card in list_models() if card.kind == "local"]


def adapter_choices(folder: Path) -> Choices:
    """Every adapter over the model that it was trained on; one that tells no base is left out."""
    return [
        (f"{short_label(base)} @ {adapter.name}", f"{base}@{adapter.name}")
        for adapter in list_adapters(folder)
        if (base := base_of(adapter))
    ]


def hosted_choices(refs: Iterable[str]) -> Choices:
    """Hosted models by name, marked as such; those of a server name it too."""
    return [(hosted_label(ref), ref) for ref in refs]


def hosted_label(ref: str) -> str:
    """A hosted model as a picker shows it: "☁ NAME · Groq" or "☁ NAME · lab"."""
    provider = provider_of(ref)
    name = ref.strip()[len(provider) + 1 :]
    if name.startswith("/"):  # llama.cpp names its model by the file that it read
        name = name.rpartition("/")[2] or name
    return f"{HOSTED_SIGN} {name} · {provider_label(provider)}"


def provider_label(provider: str) -> str:
    """A provider's short name: Groq, server, or the name that a person gave to a server."""
    return "Groq" if provider == "groq" else provider.partition(":")[2] or provider


def base_of(adapter: AdapterFolder) -> str:
    """The model that an adapter is offered over: the table's id, else its own name for it."""
    return next(iter((*fitting_models(adapter), *adapter.bases)), "")


def short_label(ref: str) -> str:
    """A model or MODEL@ADAPTER in few words, as the header and one-line sentences show it."""
    name, adapter = split_ref(ref)
    if provider_of(name):
        label = hosted_label(name)
    else:
        try:
            label = _BESIDE.sub("", find_model(name, local_paths=False).label)
        except QeuError:  # a folder's path, say: its last part is its name
            label = Path(name).name or name
    return f"{label} @ {adapter}" if adapter else label
