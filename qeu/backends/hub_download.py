"""Child process of `fetch_hub`: download one snapshot of safetensors or one GGUF file.

`python -m qeu.backends.hub_download OWNER/NAME COMMIT [GGUF_FILE]`
"""

import sys

from qeu.backends.child import leave_with_parent

SMALL = ["*.json", "*.txt", "*.jinja", "*.model"]


def download(repo: str, commit: str, gguf_file: str = "") -> None:
    """Fetch the top folder's weights and small files; pickles and subfolders stay out."""
    from huggingface_hub import snapshot_download

    wanted = [*SMALL, gguf_file or "model*.safetensors"]
    snapshot_download(repo, revision=commit, allow_patterns=wanted, ignore_patterns=["*/*"])


if __name__ == "__main__":
    leave_with_parent()
    download(*sys.argv[1:4])
