"""Ask the Hub what an id holds and fetch it, or use the snapshot that is here."""

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.child import run_child
from qeu.backends.folders import (
    COMMIT,
    ResolvedWeights,
    check_config,
    choose_weights,
    find_snapshot,
    inspect_local,
    small_files,
)
from qeu.backends.headers import DTYPE_BYTES
from qeu.backends.wheel import Progress
from qeu.core.errors import QeuError
from qeu.deadline import within

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

__all__ = ["ResolvedWeights", "fetch_hub", "find_snapshot", "inspect_local", "resolve_hub"]


def resolve_hub(
    repo: str,
    revision: str | None = None,
    timeout_s: float = 5,
    *,
    hub_cache: Path | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    offline: bool | None = None,
) -> ResolvedWeights:
    """Resolve a Hub id to its local snapshot or to what a download would bring, within 10 s.

    A snapshot that is complete is used when the Hub cannot be reached, and at once when `offline`
    (default: HF_HUB_OFFLINE) or when `revision` is a full commit. Raises QeuError otherwise.
    """
    from huggingface_hub import constants

    cache = hub_cache or Path(constants.HF_HUB_CACHE)
    here = find_snapshot(repo, revision, cache)
    if constants.HF_HUB_OFFLINE if offline is None else offline:
        if here:
            return here
        raise QeuError(
            f"{repo} is not in the cache {cache}, and HF_HUB_OFFLINE=1 forbids to fetch it. "
            "Unset it, or choose a model that is here."
        )
    if here and revision and COMMIT.fullmatch(revision):
        return here
    try:
        info = probe(repo, revision, timeout_s, endpoint, token)
    except Unreachable as e:
        if here:
            return here
        raise QeuError(
            f"The Hugging Face Hub cannot be reached, and {repo} is not in the cache {cache}. "
            "Connect to the network, or choose a model that is here, such as smollm2-135m."
        ) from e
    newest = find_snapshot(repo, info.sha, cache)
    return newest or _describe(repo, info)


class Unreachable(Exception):
    """The Hub did not answer."""


def probe(
    repo: str, revision: str | None, timeout_s: float, endpoint: str | None, token: str | None
) -> "ModelInfo":
    """Ask the Hub about a repository, for as long as a person waits."""
    try:
        return within(
            min(2 * timeout_s, 9.5), lambda: _ask(repo, revision, timeout_s, endpoint, token)
        )
    except Exception as e:
        raise _explain(repo, revision, e) from e


def _ask(
    repo: str, revision: str | None, timeout_s: float, endpoint: str | None, token: str | None
) -> "ModelInfo":
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url

    info = HfApi(endpoint=endpoint, token=token).model_info(
        repo, revision=revision, timeout=timeout_s, files_metadata=True
    )
    if info.gated:
        # the description of a gated model is public, its files are not
        url = hf_hub_url(repo, "config.json", revision=info.sha, endpoint=endpoint)
        get_hf_file_metadata(url, token=token, timeout=timeout_s, endpoint=endpoint)
    return info


def _explain(repo: str, revision: str | None, e: Exception) -> Exception:
    from huggingface_hub import errors

    if isinstance(e, errors.GatedRepoError):
        return QeuError(
            f"{repo} is gated. Accept its licence at https://huggingface.co/{repo}, "
            "set HF_TOKEN to a token of that account, and try again."
        )
    if isinstance(e, errors.RevisionNotFoundError):
        return QeuError(f"{repo} has no revision {revision!r}. Leave it out to take the newest.")
    if isinstance(e, errors.RepositoryNotFoundError | errors.HFValidationError):
        return QeuError(
            f"There is no model {repo} on the Hub, or it is private. Check the spelling, "
            "or set HF_TOKEN to a token that may read it."
        )
    if isinstance(e, errors.EntryNotFoundError):
        return QeuError(f"{repo} has no config.json on the Hub. Choose another model.")
    if isinstance(e, errors.HfHubHTTPError) and e.response is not None:
        status = e.response.status_code
        if status == 401:
            return QeuError("The Hub refuses the token in HF_TOKEN. Renew it, or unset it.")
        if 400 <= status < 500 and status != 429:
            return QeuError(f"The Hub refused {repo} (HTTP {status}). Check the name and HF_TOKEN.")
    if isinstance(e, OSError) or type(e).__module__.startswith(("httpx", "httpcore")):
        return Unreachable(str(e))
    return QeuError(f"The Hub's answer about {repo} could not be read ({e}). Try again.")


def _describe(repo: str, info: "ModelInfo") -> ResolvedWeights:
    """What a download of this repository would bring."""
    sizes = {s.rfilename: s.size or 0 for s in info.siblings or []}
    shards, gguf = choose_weights(repo, sorted(sizes))
    if info.config and not gguf:
        check_config(repo, info.config)
    weights = [gguf] if gguf else shards
    stored = sum(sizes[name] for name in weights)
    counts = dict(info.safetensors.parameters) if info.safetensors else {}
    needed = sum(DTYPE_BYTES.get(kind, 2) * count for kind, count in counts.items())
    unpacked = 2 * int((info.gguf or {}).get("total", 0)) if gguf else needed
    return ResolvedWeights(
        path=repo,
        revision=info.sha,
        gguf_file=gguf,
        bytes=unpacked or stored,
        dtype="GGUF" if gguf else max(counts, key=counts.__getitem__, default=""),
        parameters=0 if "U8" in counts else sum(counts.values()),
        local=False,
        download_bytes=stored + sum(sizes[name] for name in small_files(sizes)),
    )


def fetch_hub(
    found: ResolvedWeights,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
    *,
    hub_cache: Path | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> ResolvedWeights:
    """Bring what `resolve_hub` described into the Hub cache; what a stop leaves is gone on with.

    It runs in a child process: progress is the growth of the cache, a stop kills it.
    """
    if found.local:
        return found
    from huggingface_hub import constants

    cache = hub_cache or Path(constants.HF_HUB_CACHE)
    repo, revision = found.path, found.revision
    assert revision is not None
    blobs = cache / f"models--{repo.replace('/', '--')}" / "blobs"
    free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
    if free < found.download_bytes - _stored(blobs):
        raise QeuError(
            f"The disk of {cache} has {free >> 20} MB free, and {repo} needs "
            f"{found.download_bytes >> 20} MB. Free some space, or set HF_HOME to another disk."
        )
    environ = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_CACHE": str(cache)}
    environ |= {"HF_ENDPOINT": endpoint} if endpoint else {}
    environ |= {"HF_TOKEN": token} if token else {}  # never among the arguments: `ps` shows those
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        code = run_child(
            "qeu.backends.hub_download",
            [repo, revision, found.gguf_file or ""],
            log,
            environ=environ,
            stop=stop,
            on_tick=lambda: progress(
                Progress(
                    "download", min(_stored(blobs), found.download_bytes), found.download_bytes
                )
            ),
        )
        if code:
            lines = log.read_text("utf-8", "replace").strip().splitlines() or [f"exit code {code}"]
            raise QeuError(
                f"{repo} could not be fetched ({lines[-1][:300]}). Try again: what is here is kept."
            )
    snapshot = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
    return replace(inspect_local(snapshot), revision=revision)


def _stored(blobs: Path) -> int:
    total = 0
    for path in blobs.glob("*") if blobs.is_dir() else ():
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            continue
    return total
