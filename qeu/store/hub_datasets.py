"""Data sets of the Hugging Face Hub: read one row by row, push one with its card."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from qeu.core.errors import QeuError

_OFFLINE = "Check the id, the network and, for a gated data set, HF_TOKEN."


def read_hub(
    name: str, split: str = "train", load: Callable[..., Iterable[object]] | None = None
) -> Iterator[tuple[int, object]]:
    """(row number, row) of a split, streamed; `load` stands in for `datasets.load_dataset`.

    Raises QeuError where the Hub does not answer or has no such data set or split.
    """
    if load is None:
        from datasets import load_dataset as load
    try:
        yield from enumerate(load(name, split=split, streaming=True), start=1)
    except Exception as error:
        # the library raises its own, the network's and the file system's errors
        raise QeuError(
            f"The Hub's data set {name!r} ({split}) could not be read "
            f"({type(error).__name__}: {str(error)[:200]}). {_OFFLINE}"
        ) from error


def push_files(
    name: str, files: Mapping[str, Path | bytes], private: bool = True, api: "object | None" = None
) -> str:
    """Send {place in the repository: file or content} to the Hub's data set `name`; its address.

    `api` stands in for `HfApi()`, whose token is HF_TOKEN's. Run against a stand-in only: there
    was no network to be had.
    """
    if api is None:
        from huggingface_hub import HfApi

        api = HfApi()
    try:
        api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)  # type: ignore[attr-defined]
        for place, content in files.items():
            api.upload_file(  # type: ignore[attr-defined]
                path_or_fileobj=content if isinstance(content, bytes) else str(content),
                path_in_repo=place,
                repo_id=name,
                repo_type="dataset",
            )
    except Exception as error:
        raise QeuError(
            f"The data set could not be pushed to {name!r} "
            f"({type(error).__name__}: {str(error)[:200]}). {_OFFLINE}"
        ) from error
    return f"https://huggingface.co/datasets/{name}"
