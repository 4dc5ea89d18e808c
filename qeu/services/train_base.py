"""What a run's base is, told so that a resume can see whether it is still the same."""

from hashlib import file_digest
from pathlib import Path

from qeu.backends.folders import ResolvedWeights
from qeu.core.request import hash_json


def base_revision(weights: ResolvedWeights) -> str:
    """The Hub's commit, or a hash of the local files."""
    from qeu.backends.torch_loading import fingerprint

    return fingerprint(weights)


def hash_tokenizer(weights: ResolvedWeights) -> str:
    """SHA-256 of the tokenizer's files, with their names."""
    found = {}
    for path in sorted(Path(weights.path).glob("tokenizer*.json")):
        with path.open("rb") as file:
            found[path.name] = file_digest(file, "sha256").hexdigest()
    return hash_json(found)
