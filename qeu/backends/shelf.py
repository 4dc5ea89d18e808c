"""What is loaded on this machine: models come and go here, and compute in turns.

Importing this loads neither torch nor transformers; the first `load` does.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.catalog import ModelCard, find_model
from qeu.backends.compute_queue import ComputeQueue, StopSign
from qeu.backends.cpu_threads import quiet_waiting
from qeu.backends.folders import ResolvedWeights, inspect_local
from qeu.backends.memory import free_memory_bytes, has_gpu
from qeu.backends.weights import FetchStopped, Progress, fetch_embedded, find_embedded
from qeu.core.errors import QeuError
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.local import LocalModel

_POLL_S = 0.05
# Beside the weights: activations, the cache of one small batch, and what torch itself takes.
OVERHEAD_BYTES = 200_000_000
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class LoadedModel:
    """One model in memory; `adapters` are those that it has loaded too."""

    model_id: str
    dtype: str
    device: str
    memory_bytes: int
    adapters: tuple[str, ...]
    busy: bool


@dataclass
class _Place:
    """Where one variant of a model stands, or will; the lock lets one thread load it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    model: "LocalModel | None" = None


class Shelf:
    """All models of one process. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self.queue = ComputeQueue()
        self._settings = settings
        quiet_waiting()
        self._places: dict[tuple[str, bool], _Place] = {}
        self._guard = threading.Lock()
        # transformers changes global state while it loads, and two loads would both fit alone
        self._loading = threading.Lock()

    def load(
        self,
        model_id: str,
        *,
        exact: bool = False,
        progress: OnProgress | None = None,
        stop: StopSign | None = None,
    ) -> "LocalModel":
        """The loaded model, loaded now if need be; who asks meanwhile waits for the same one.

        `exact` is a variant of its own, in float32. Raises QeuError with the way out where it is
        unknown, hosted, unreachable or too large, FetchStopped on `stop`.
        """
        tell = progress or (lambda _: None)
        card = self._card(model_id)
        place = self._place(card, exact)
        if place.model is not None:
            return place.model
        with _Held(place.lock, tell, stop):
            if place.model is None:
                place.model = self._load(card, exact, tell, stop)
            return place.model

    def unload(self, model_id: str, *, exact: bool | None = None, wait_s: float = 0.0) -> None:
        """Free a model's memory, both variants unless `exact` names one; what is not there is fine.

        Refused while it computes, after `wait_s`.
        """
        card = self._card(model_id)
        end = time.monotonic() + wait_s
        for variant in (False, True) if exact is None else (exact,):
            place = self._place(card, variant)
            while (model := place.model) is not None:
                if model.close():
                    self._forget(model)
                elif time.monotonic() >= end:
                    raise QeuError(
                        f"{card.id} is computing. Stop its runs, or wait until they are done."
                    )
                else:
                    time.sleep(_POLL_S)

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, by id."""
        with self._guard:
            found = {id(p.model): p.model for p in self._places.values() if p.model is not None}
        return sorted(
            (
                LoadedModel(m.name, m.dtype, m.device, m.memory_bytes, m.adapters, m.busy)
                for m in found.values()
            ),
            key=lambda item: (item.model_id, item.dtype),
        )

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """Memory that loading the model would take; 0 if it is loaded, or nothing is known."""
        card = self._card(model_id)
        if self._place(card, exact).model is not None:
            return 0
        known = card.memory_bytes
        if not known and card.path:
            known = inspect_local(Path(card.path)).bytes
        return self._needed(card, known, 0, exact) if known else 0

    def free_bytes(self) -> int:
        """Memory free for models: the GPU's if there is one, else the machine's."""
        return free_memory_bytes(self._settings.device)

    def _load(
        self, card: ModelCard, exact: bool, tell: OnProgress, stop: StopSign | None
    ) -> "LocalModel":
        weights = self._find_weights(card, tell, stop)
        with _Held(self._loading, tell, stop):
            tell(Progress("load", 0, 1, "parts"))
            from qeu.backends import torch_loading
            from qeu.backends.local import LocalModel

            placement = torch_loading.choose_placement(
                self._settings.device,
                self._settings.dtype,
                exact=exact,
                four_bit=card.four_bit,
            )
            other = self._place(card, not exact).model
            if other is not None and other.dtype == placement.dtype:
                return other  # where plain is float32 as well, one copy serves both
            self._check_room(card, weights, exact)
            model, tokenizer = torch_loading.load_weights(card.id, weights, placement)
            tell(Progress("load", 1, 1, "parts"))
            return LocalModel(
                card.id,
                model,
                tokenizer,
                revision=torch_loading.fingerprint(weights),
                adapters=self._settings.adapters,
                aliases=(card.hub_repo, card.path, weights.path, Path(weights.path).name),
                dtype=placement.dtype,
                free_bytes=self.free_bytes,
            )

    def _find_weights(
        self, card: ModelCard, tell: OnProgress, stop: StopSign | None
    ) -> ResolvedWeights:
        if card.embedded:
            cache = self._settings.cache_dir
            return inspect_local(find_embedded(cache) or fetch_embedded(cache, tell, stop))  # type: ignore[arg-type]
        if card.path:
            return inspect_local(Path(card.path))
        from qeu.backends.hub import fetch_hub, resolve_hub

        return fetch_hub(resolve_hub(card.hub_repo), tell, stop)  # type: ignore[arg-type]

    def _check_room(self, card: ModelCard, weights: ResolvedWeights, exact: bool) -> None:
        needed = self._needed(card, weights.bytes, weights.parameters, exact)
        free = self.free_bytes()
        if needed <= free:
            return
        held = ", ".join(f"{m.model_id} ({m.memory_bytes / 1e9:.1f} GB)" for m in self.loaded())
        way_out = f"Unload {held}, or choose" if held else "Close other programs, or choose"
        raise QeuError(
            f"{card.id} needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB is free. "
            f"{way_out} a smaller model."
        )

    def _needed(self, card: ModelCard, stored: int, parameters: int, exact: bool) -> int:
        parameters = parameters or card.parameters
        squeezed = bool(parameters) and stored < 1.5 * parameters  # the files are 8 or 4 bits
        wide = exact or self._settings.dtype == "float32"
        if self._settings.device != "cpu" and card.four_bit and not exact and has_gpu():
            stored = card.needs_bytes or stored
        elif parameters and not squeezed:
            stored = parameters * (4 if wide else 2)
        elif wide:
            stored *= 2
        return stored + OVERHEAD_BYTES

    def _card(self, model_id: str) -> ModelCard:
        card = find_model(model_id, local_paths=not self._settings.public)
        if card.kind != "local":
            raise QeuError(f"{card.id} runs on a server; it cannot be loaded here.")
        return card

    def _place(self, card: ModelCard, exact: bool) -> _Place:
        with self._guard:
            return self._places.setdefault((card.id, exact), _Place())

    def _forget(self, model: "LocalModel") -> None:
        with self._guard:
            for place in self._places.values():
                if place.model is model:
                    place.model = None


class _Held:
    """A lock held for a block; waiting for it is told and ends when `stop` is set."""

    def __init__(self, lock: threading.Lock, tell: OnProgress, stop: StopSign | None) -> None:
        self._lock, self._tell, self._stop = lock, tell, stop

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        self._tell(Progress("wait", 0, 0, "parts"))
        while not self._lock.acquire(timeout=_POLL_S):
            if self._stop is not None and self._stop.is_set():
                raise FetchStopped("Loading was stopped while it waited for another load.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()
