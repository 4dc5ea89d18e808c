"""Child process of `fetch_adapter`: download the files of one adapter that are ever read.

`python -m qeu.backends.adapter_download OWNER/NAME COMMIT`
"""

import sys

from qeu.backends.child import leave_with_parent

FILES = ("adapter_config.json", "adapter_model.safetensors", "run.json", "README.md")


def download(repo: str, commit: str) -> None:
    """Fetch these files of the newest commit and remember it as such; pickles stay out."""
    from huggingface_hub import snapshot_download

    # by branch, so that the cache knows the commit offline; `commit` is what was looked at
    path = snapshot_download(repo, allow_patterns=list(FILES), ignore_patterns=["*/*"])
    if not path.endswith(commit):
        snapshot_download(
            repo, revision=commit, allow_patterns=list(FILES), ignore_patterns=["*/*"]
        )


if __name__ == "__main__":
    leave_with_parent()
    download(*sys.argv[1:3])
