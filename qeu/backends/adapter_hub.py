"""Find an adapter of a Hub id in the Hub cache, or fetch its few files."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends import hub
from qeu.backends.adapter_download import FILES
from qeu.backends.adapter_files import CONFIG, WEIGHTS, AdapterFolder, open_adapter
from qeu.backends.child import run_child
from qeu.backends.compute_queue import StopSign
from qeu.backends.folders import COMMIT
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo


def find_cached(repo: str, hub_cache: Path | None = None) -> AdapterFolder | None:
    """The adapter of a Hub id as the cache has it, its newest known commit; asks nobody."""
    from huggingface_hub import constants

    folder = (hub_cache or Path(constants.HF_HUB_CACHE)) / f"models--{repo.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    return _open_snapshot(folder, commit, repo)


def fetch_adapter(
    repo: str,
    stop: StopSign | None = None,
    *,
    timeout_s: float = 5,
    hub_cache: Path | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    offline: bool | None = None,
) -> AdapterFolder:
    """The adapter of a Hub id, newest commit; whether it can be had is known within 10 s.

    The cached one is taken when `offline` (default: HF_HUB_OFFLINE) or where the Hub does not
    answer. Only its configuration, safetensors, run.json and card are fetched. Raises QeuError.
    """
    from huggingface_hub import constants

    cache = hub_cache or Path(constants.HF_HUB_CACHE)
    here = find_cached(repo, cache)
    if constants.HF_HUB_OFFLINE if offline is None else offline:
        if here:
            return here
        raise QeuError(
            f"Adapter {repo} is not in the cache {cache}, and HF_HUB_OFFLINE=1 forbids to fetch "
            "it. Unset it, or choose an adapter that is here."
        )
    try:
        info = hub.probe(repo, None, timeout_s, endpoint, token)
    except hub.Unreachable as e:
        if here:
            return here
        raise QeuError(
            f"The Hugging Face Hub cannot be reached, and adapter {repo} is not in the cache "
            f"{cache}. Connect to the network, or choose an adapter that is here."
        ) from e
    folder = cache / f"models--{repo.replace('/', '--')}"
    if newest := _open_snapshot(folder, info.sha or "", repo):
        return newest
    _check_listing(repo, info, cache)
    _download(repo, str(info.sha), cache, stop, endpoint, token)
    return open_adapter(folder / "snapshots" / str(info.sha), repo)


def _open_snapshot(folder: Path, commit: str, repo: str) -> AdapterFolder | None:
    snapshot = folder / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
        return None
    try:
        return open_adapter(snapshot, repo)
    except QeuError:
        # half fetched, or not loadable: the Hub's own listing says which
        return None


def _check_listing(repo: str, info: "ModelInfo", cache: Path) -> None:
    """Refuse, before anything is fetched, what is no adapter or has no room on the disk."""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
    if CONFIG not in sizes:
        raise QeuError(f"{repo} is not an adapter: it has no {CONFIG}. Type it as a model instead.")
    if WEIGHTS not in sizes:
        raise QeuError(
            f"Adapter {repo} has no {WEIGHTS}; pickled weights can run code when opened and are "
            "never fetched. Choose a copy that is saved as safetensors."
        )
    needed = sum(sizes.get(name, 0) for name in FILES)
    free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
    if free < needed:
        raise QeuError(
            f"The disk of {cache} has {free >> 20} MB free, and {repo} needs {needed >> 20} MB. "
            "Free some space, or set HF_HOME to another disk."
        )


def _download(
    repo: str,
    commit: str,
    cache: Path,
    stop: StopSign | None,
    endpoint: str | None,
    token: str | None,
) -> None:
    environ = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_CACHE": str(cache)}
    environ |= {"HF_ENDPOINT": endpoint} if endpoint else {}
    environ |= {"HF_TOKEN": token} if token else {}  # never among the arguments: `ps` shows those
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        arguments = [repo, commit]
        code = run_child(
            "qeu.backends.adapter_download",
            arguments,
            log,
            environ=environ,
            stop=stop,  # type: ignore[arg-type]
        )
        if code:
            lines = log.read_text("utf-8", "replace").strip().splitlines() or [f"exit code {code}"]
            raise QeuError(
                f"{repo} could not be fetched ({lines[-1][:300]}). Try again: what is here is kept."
            )
