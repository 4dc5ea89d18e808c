"""The weights of a model as far as they are on this machine already; asks no network."""

from pathlib import Path

from qeu.backends.catalog import ModelCard
from qeu.backends.folders import ResolvedWeights, find_snapshot, inspect_local
from qeu.backends.weights import find_embedded
from qeu.core.errors import QeuError


def find_here(
    card: ModelCard, cache: Path, hub_cache: Path | None = None
) -> ResolvedWeights | None:
    """What a load would read, or None where it would have to fetch; `cache` is our own folder."""
    try:
        if card.embedded:
            path = find_embedded(cache)
            return inspect_local(path) if path else None
        if card.path:
            return inspect_local(Path(card.path))
        if not card.hub_repo:
            return None
        from huggingface_hub import constants

        return find_snapshot(card.hub_repo, None, hub_cache or Path(constants.HF_HUB_CACHE))
    except QeuError:
        return None  # what is wrong with it is told by the load


def revision_here(card: ModelCard, cache: Path, hub_cache: Path | None = None) -> str:
    """The commit or hash of the weights that are here; "" where they are not."""
    from qeu.backends.torch_loading import fingerprint

    weights = find_here(card, cache, hub_cache)
    return fingerprint(weights) if weights else ""
