"""Merge an adapter into its base: a model folder of its own that needs no PEFT.

The base is read in the 16 or 32 bits of its files, never in 4: what 4 bits have rounded off cannot
be put back. All of it happens in a child process (adapter_merge_child.py); a folder gets its name
by one rename, when everything is in it.
"""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from qeu.backends.adapter_base import check_base
from qeu.backends.adapter_files import AdapterFolder
from qeu.backends.catalog import ModelCard, find_model
from qeu.backends.child import run_child
from qeu.backends.folders import ResolvedWeights, inspect_local
from qeu.backends.memory import free_memory_bytes
from qeu.backends.weights import fetch_embedded, find_embedded
from qeu.backends.wheel import Progress
from qeu.core.errors import QeuError
from qeu.services.adapter_merge_child import SHARD_BYTES
from qeu.services.adapters import find_base

# Torch and the libraries, and one layer's matrices in float32 while they are multiplied.
OVERHEAD_BYTES = 900_000_000
_SMALL_FILES_BYTES = 50_000_000
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "GGUF": "bfloat16"}
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Merged:
    """A model folder that was made; `path` can be typed as a model at once.

    `layout` and `target` are what its adapter learned: a folder cannot tell them by itself.
    """

    path: str
    base: str
    adapter: str
    adapter_hash: str
    dtype: str
    bytes: int
    layout: str
    target: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def merge_adapter(
    adapter: AdapterFolder,
    target: Path,
    cache: Path,
    *,
    base: str = "",
    progress: OnProgress = lambda _: None,
    stop: threading.Event | None = None,
    free_bytes: Callable[[], int] = lambda: free_memory_bytes("cpu"),
) -> Merged:
    """Write base and adapter as one model into the new folder `target`.

    `base` "" is the one that the adapter was trained on; `cache` is our own folder of weights.
    Raises QeuError with numbers where memory or disk do not suffice, FetchStopped on `stop`.
    """
    target = _check_target(target)
    card = _card(adapter, base)
    weights = _find_weights(card, cache, progress, stop)
    check_base(adapter, card.id, (card.hub_repo, card.path, weights.path, Path(weights.path).name))
    dtype = _own_dtype(card, weights)
    _check_room(card, weights, target, dtype, free_bytes())
    hash_ = adapter.hash
    with _work_folder(target) as work:
        new = Path(work) / "model"
        new.mkdir()
        _run(adapter, weights, dtype, new, Path(work) / "log", progress, stop)
        if adapter.hash != hash_:
            raise QeuError(
                f"Adapter {adapter.name!r} was written anew while it was merged. Merge it again."
            )
        _write_card(new, adapter, card, dtype)
        made = inspect_local(new)
        try:
            new.rename(target)
        except OSError as e:
            raise QeuError(
                f"The merged model could not be named {target} ({e.strerror or e}). "
                "Choose another name."
            ) from e
    run = adapter.run
    learned = (run.layout, run.target) if run else ("", "")
    return Merged(str(target), card.id, adapter.name, hash_, dtype, made.bytes, *learned)


def _check_target(target: Path) -> Path:
    target = target.expanduser()
    if "@" in str(target):
        raise QeuError(f"{target} holds an @, which parts MODEL@ADAPTER. Choose another name.")
    if target.exists() or target.is_symlink():
        raise QeuError(f"{target} is there already. Choose a folder that is not, or remove it.")
    return target


def _work_folder(target: Path) -> "tempfile.TemporaryDirectory[str]":
    """An empty folder beside the target: a rename must not cross disks."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{target.name}.merging-", dir=target.parent)
    except OSError as e:
        raise QeuError(
            f"The merged model could not be written to {target} ({e.strerror or e}). "
            "Choose another place, or free some space."
        ) from e


def _card(adapter: AdapterFolder, base: str) -> ModelCard:
    name = base.strip() or find_base(adapter)
    if not name:
        raise QeuError(
            f"Adapter {adapter.name!r} does not tell a base that is known here. "
            "Name it with --base."
        )
    card = find_model(name)
    if card.kind != "local":
        raise QeuError(f"{card.id} runs on a server; only a model of this machine can be merged.")
    return card


def _find_weights(
    card: ModelCard, cache: Path, progress: OnProgress, stop: threading.Event | None
) -> ResolvedWeights:
    if card.embedded:
        return inspect_local(find_embedded(cache) or fetch_embedded(cache, progress, stop))
    if card.path:
        return inspect_local(Path(card.path))
    from qeu.backends.hub import fetch_hub, resolve_hub

    return fetch_hub(resolve_hub(card.hub_repo), progress, stop)


def _own_dtype(card: ModelCard, weights: ResolvedWeights) -> str:
    dtype = "" if weights.quantised else _DTYPES.get("GGUF" if weights.gguf_file else weights.dtype)
    if not dtype:
        held = weights.quantised or weights.dtype
        raise QeuError(
            f"{card.id} holds its weights as {held}, and an adapter is merged into 16 or 32 bits "
            "only. Name a copy of the base that has them with --base."
        )
    return dtype


def _check_room(
    card: ModelCard, weights: ResolvedWeights, target: Path, dtype: str, free: int
) -> None:
    """Refuse before anything is begun; what is written is as large as what is read."""
    memory = weights.bytes + min(weights.bytes, SHARD_BYTES) + OVERHEAD_BYTES
    if free < memory:
        raise QeuError(
            f"Merging into {card.id} needs {memory / 1e9:.1f} GB of memory in {dtype}, and "
            f"{free / 1e9:.1f} GB is free. Unload models, or close other programs."
        )
    place = next(p for p in (target.parent, *target.parent.parents) if p.exists())
    needed, room = weights.bytes + _SMALL_FILES_BYTES, shutil.disk_usage(place).free
    if room < needed:
        raise QeuError(
            f"The disk of {place} has {room / 1e9:.1f} GB free, and the merged model needs "
            f"{needed / 1e9:.1f} GB. Free some space, or choose a folder on another disk."
        )


def _run(
    adapter: AdapterFolder,
    weights: ResolvedWeights,
    dtype: str,
    new: Path,
    log: Path,
    progress: OnProgress,
    stop: threading.Event | None,
) -> None:
    errors: list[str] = []

    def on_line(line: bytes) -> None:
        if line.startswith(b'{"step":'):
            progress(Progress(**json.loads(line)))
        elif line.startswith(b'{"error":'):
            errors.append(json.loads(line)["error"])

    code = run_child(
        "qeu.services.adapter_merge_child",
        [weights.path, weights.gguf_file or "", str(adapter.path), adapter.name, str(new), dtype],
        log,
        environ={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        stop=stop,
        on_line=on_line,
    )
    if errors:
        raise QeuError(errors[0])
    if code in (-9, 137):
        raise QeuError(
            f"Merging {adapter.name!r} was killed, probably for lack of memory. "
            "Unload models, or close other programs, and try again."
        )
    if code:
        lines = log.read_text("utf-8", "replace").strip().splitlines() or [f"exit code {code}"]
        raise QeuError(f"Adapter {adapter.name!r} could not be merged ({lines[-1][:300]}).")


def _write_card(new: Path, adapter: AdapterFolder, card: ModelCard, dtype: str) -> None:
    run = adapter.run
    name = card.hub_repo or Path(card.path or card.id).name
    lines = ["---", f"license: {card.licence if card.licence != 'unknown' else 'other'}"]
    lines += [f"base_model: {card.hub_repo}"] if card.hub_repo else []
    lines += ["---", "", f"# {name} with the adapter {adapter.path.name}", ""]
    lines += [f"Both are merged in {dtype}; adapter {adapter.hash[:12]}."]
    if run and run.layout:
        lines += ["", f"It learned the layout `{run.layout}` and to write: {run.target}."]
    (new / "README.md").write_text("\n".join(lines) + "\n", "utf-8")
    for file in new.iterdir():
        os.chmod(file, 0o644)  # safetensors keeps its files to their owner
