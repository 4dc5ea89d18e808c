"""Which base an adapter belongs to: by the names it tells, and by the base's hash."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.catalog import list_models
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from qeu.backends.adapter_files import AdapterFolder

# Repositories that hold the same weights, as they are or in 4 bits. Adapters are mostly trained
# on the 4-bit mirror and run on whatever copy is at hand.
SAME_WEIGHTS = (
    {
        "smollm2-135m",
        "huggingfacetb/smollm2-135m-instruct",
        "unsloth/smollm2-135m-instruct",
        "unsloth/smollm2-135m-instruct-bnb-4bit",
    },
    {"phi-2", "microsoft/phi-2"},
    {
        "llama-3-8b",
        "llama-3-8b-4bit",
        "llama-3-8b-meta",
        "meta-llama/meta-llama-3-8b-instruct",
        "unsloth/llama-3-8b-instruct",
        "unsloth/llama-3-8b-instruct-bnb-4bit",
    },
)
# Where the Hub client keeps a repository; the folder's name tells which one.
_IN_HUB_CACHE = re.compile(r"models--([^/\\]+?)--([^/\\]+)[/\\]+snapshots(?:[/\\]|$)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_base(adapter: "AdapterFolder", loaded: str, aliases: Iterable[str]) -> None:
    """Refuse an adapter of another base; `aliases` are all names and paths of the loaded model."""
    if adapter.bases and not fits_base(adapter, (loaded, *aliases)):
        base = adapter.bases[0]
        fitting = ", ".join(fitting_models(adapter)) or base
        raise QeuError(
            f"Adapter {adapter.name!r} was trained on {base}, but {loaded} is loaded. "
            f"Choose {fitting} for it, or an adapter of {loaded}."
        )


def fits_base(adapter: "AdapterFolder", names: Iterable[str]) -> bool:
    """Whether one of the base's names is one of these; False where the adapter tells none."""
    known = set().union(*(_same(name) for name in names if name.strip()))
    return any(not known.isdisjoint(_same(base)) for base in adapter.bases)


def fitting_models(adapter: "AdapterFolder") -> tuple[str, ...]:
    """Ids of the table's models that the adapter was trained on, the embedded one first."""
    return tuple(card.id for card in list_models() if fits_base(adapter, (card.id, card.hub_repo)))


def revision_warning(adapter: "AdapterFolder", loaded: str, revision: str) -> str:
    """A sentence where the base's files are not those of the training; "" if equal or unknown.

    A Hub commit and a hash of files cannot be compared: nothing is said then.
    """
    trained = adapter.run.base_revision if adapter.run else ""
    comparable = any(
        kind.fullmatch(trained) and kind.fullmatch(revision) for kind in (_COMMIT, _SHA256)
    )
    if not comparable or trained == revision:
        return ""
    return (
        f"Adapter {adapter.name!r} was trained on other files of {loaded} ({trained[:12]}) than "
        f"those here ({revision[:12]}): the base has changed since, and the adapter may do less, "
        "or something else."
    )


def _same(name: str) -> set[str]:
    """A name in plain form, with the names of the same weights."""
    plain = _plain(name)
    return {plain}.union(*(group for group in SAME_WEIGHTS if plain in group))


def _plain(name: str) -> str:
    name = name.strip()
    if in_cache := _IN_HUB_CACHE.search(name):
        # of this machine or another one: the repository is the same
        return "/".join(in_cache.groups()).lower()
    path = Path(name).expanduser()
    try:
        return str(path.resolve()) if path.is_dir() else name.lower()
    except (OSError, ValueError):  # too long for a path, or with a zero byte in it
        return name.lower()
