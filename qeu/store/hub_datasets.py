"""Data sets of the Hugging Face Hub: read one row by row, push one with its card."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.deadline import within

_OFFLINE = "Check the id, the network and, for a gated data set, HF_TOKEN."
PROBE_S = 5.0


def read_hub(
    name: str, split: str = "train", load: Callable[..., Iterable[object]] | None = None
) -> Iterator[tuple[int, object]]:
    """(row number, row) of a split, streamed; `load` stands in for `datasets.load_dataset`.

    Where the Hub does not answer within 10 s, the copy in the Hub's cache of this machine is read.
    Raises QeuError where there is none, and where the Hub has no such data set or split.
    """
    place = name
    if load is None:
        from datasets import load_dataset as load

        place = _find(name)
    try:
        yield from enumerate(load(place, split=split, streaming=True), start=1)
    except Exception as error:
        # the library raises its own, the network's and the file system's errors
        raise QeuError(
            f"The Hub's data set {name!r} ({split}) could not be read "
            f"({type(error).__name__}: {str(error)[:200]}). {_OFFLINE}"
        ) from error


def _find(name: str) -> str:
    """The id if the Hub knows it, else the folder of the cached copy."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return _find_cached(name)
    try:
        # asked first: the library alone takes 24 s over its retries
        within(2 * PROBE_S - 0.5, lambda: HfApi().dataset_info(name, timeout=PROBE_S))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise QeuError(f"The Hub has no data set {name!r} for this account. {_OFFLINE}") from error
    except Exception:
        # the network's own errors are of many kinds: a copy that is here will do
        return _find_cached(name)
    return name


def _find_cached(name: str) -> str:
    from huggingface_hub import constants, snapshot_download

    try:
        return snapshot_download(name, repo_type="dataset", local_files_only=True)
    except Exception as error:
        raise QeuError(
            f"The Hub cannot be reached, and {name!r} is not in the cache "
            f"{constants.HF_HUB_CACHE}. {_OFFLINE}"
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
