"""What is loaded on this machine: models come and go here, and compute in turns.

Importing this loads neither torch nor transformers; the first `load` does.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import ModelCard, find_model
from qeu.backends.compute_queue import ComputeQueue, StopSign
from qeu.backends.cpu_threads import quiet_waiting
from qeu.backends.failures import explain_full_load, is_out_of_memory
from qeu.backends.folders import ResolvedWeights, inspect_local
from qeu.backends.idle import IdleWatch
from qeu.backends.memory import free_memory_bytes
from qeu.backends.memory_estimate import MemoryEstimate, estimate
from qeu.backends.precision import (
    AUTO,
    Machine,
    Placement,
    check_possible,
    keep_stored,
    place,
    read_machine,
    read_precision,
)
from qeu.backends.quiet import hush_imports
from qeu.backends.weights import FetchStopped, Progress, fetch_embedded, find_embedded
from qeu.backends.weights_here import find_here
from qeu.core.errors import QeuError
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.local import LocalModel

_POLL_S = 0.05
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class LoadedModel:
    """One model in memory; `adapters` are those that it has loaded too, counted in its bytes.

    `dtype` is what it computes in, `precision` how its weights are held. `idle_since` is when it
    was used last, in seconds of `time.time`; None while it computes.
    """

    model_id: str
    dtype: str
    device: str
    memory_bytes: int
    adapters: tuple[str, ...]
    busy: bool
    precision: str = ""
    idle_since: float | None = None


@dataclass
class _Place:
    """Where one variant of a model stands, or will; the lock lets one thread load it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    model: "LocalModel | None" = None


class Shelf:
    """All models of one process, each in as many precisions as were asked for.

    Safe from any thread. A precision of None is the one chosen for the model, else the setting
    QEU_DTYPE, else what suits the machine; `exact` is float32 whatever was chosen.
    """

    def __init__(self, settings: Settings) -> None:
        self.queue = ComputeQueue()
        self._settings = settings
        quiet_waiting()
        hush_imports()
        self._places: dict[tuple[str, str], _Place] = {}
        self._chosen: dict[str, str] = {}
        self._machine: Machine | None = None
        self._guard = threading.Lock()
        # transformers changes global state while it loads, and two loads would both fit alone
        self._loading = threading.Lock()
        self._idle = IdleWatch(60 * settings.idle_minutes, self._open_models, self._close)

    @property
    def adapters(self) -> Path:
        """The folder of adapters."""
        return self._settings.adapters

    def load(
        self,
        model_id: str,
        *,
        exact: bool = False,
        precision: str | None = None,
        progress: OnProgress | None = None,
        stop: StopSign | None = None,
    ) -> "LocalModel":
        """The loaded model, loaded now if need be; who asks meanwhile waits for the same one.

        Every precision is a variant of its own. Raises QeuError with the way out where it is
        unknown, hosted, unreachable, too large or impossible in that precision, FetchStopped on
        `stop`.
        """
        tell = progress or (lambda _: None)
        card = self._card(model_id)
        placement = self._placement(card, exact, precision)
        place_ = self._place(card, placement)
        if (model := place_.model) is None:
            with _Held(place_.lock, tell, stop):
                if (model := place_.model) is None:
                    model = self._load(card, placement, exact, tell, stop)
                    place_.model = model
        model.touch()
        self._idle.start()
        return model

    def choose_precision(self, model_id: str, precision: str) -> Placement:
        """Remember how a model is to be loaded from now on; "auto" forgets. What is loaded stays.

        Returns what that means here, with the reason. Raises QeuError for an unknown name.
        """
        card, name = self._card(model_id), read_precision(precision)
        with self._guard:
            if name == AUTO:
                self._chosen.pop(card.id, None)
            else:
                self._chosen[card.id] = name
        return self._placement(card, False, None)

    def placement_of(
        self, model_id: str, *, exact: bool = False, precision: str | None = None
    ) -> Placement:
        """Where and in which precision a load would put the model, and why. Loads nothing."""
        return self._placement(self._card(model_id), exact, precision)

    def identify(
        self, model_id: str, adapter: str | None, *, exact: bool = False
    ) -> EngineIdentity | None:
        """What texts of a load would depend on, without loading; None where nothing is here yet.

        Raises QeuError for an unknown model or adapter.
        """
        card = self._card(model_id)
        placement = self._placement(card, exact, None)
        if (model := self._place(card, placement).model) is not None:
            return model.identify(adapter)
        weights = find_here(card, self._settings.cache_dir)
        if weights is None:
            return None
        from qeu.backends.torch_loading import fingerprint

        placement = keep_stored(placement, weights.quantised)
        finder = AdapterFinder(self.adapters, local_paths=not self._settings.public)
        hash_ = finder.find(adapter, fetch=False).hash if adapter else None
        return EngineIdentity(card.id, fingerprint(weights), placement.numbers, hash_)

    def unload(
        self,
        model_id: str,
        *,
        exact: bool | None = None,
        precision: str | None = None,
        wait_s: float = 0.0,
    ) -> None:
        """Free a model's memory, all variants unless one is named; what is not there is fine.

        `exact` True names float32, False the one that runs take now. Refused while it computes,
        after `wait_s`.
        """
        card = self._card(model_id)
        if exact is None and precision is None:
            with self._guard:
                places = [p for (name, _), p in self._places.items() if name == card.id]
        else:
            places = [self._place(card, self._placement(card, bool(exact), precision))]
        end = time.monotonic() + wait_s
        for place_ in places:
            while (model := place_.model) is not None:
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
        return sorted(
            (
                LoadedModel(
                    m.name,
                    m.dtype,
                    m.device,
                    m.memory_bytes,
                    m.adapters,
                    m.busy,
                    m.precision,
                    m.idle_since,
                )
                for m in self._open_models()
            ),
            key=lambda item: (item.model_id, item.precision),
        )

    def estimate(
        self, model_id: str, *, exact: bool = False, precision: str | None = None
    ) -> MemoryEstimate:
        """What a load would take, by what is known without asking the network."""
        card = self._card(model_id)
        known = inspect_local(Path(card.path)) if card.path else card
        placement = self._placement(card, exact, precision)
        return _estimate(known, placement)

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """Memory that loading the model would take; 0 if it is loaded, or nothing is known."""
        card = self._card(model_id)
        if self._place(card, self._placement(card, exact, None)).model is not None:
            return 0
        found = self.estimate(model_id, exact=exact)
        return found.total if found.weights else 0

    def free_bytes(self) -> int:
        """Memory free for models: the GPU's if there is one, else the machine's."""
        return free_memory_bytes(self._settings.device)

    def _load(
        self,
        card: ModelCard,
        placement: Placement,
        exact: bool,
        tell: OnProgress,
        stop: StopSign | None,
    ) -> "LocalModel":
        weights = self._find_weights(card, placement, exact, tell, stop)
        wanted = placement.precision
        check_possible(card.id, wanted, weights.quantised, is_gguf=bool(weights.gguf_file))
        placement = keep_stored(placement, weights.quantised)
        with _Held(self._loading, tell, stop):
            tell(Progress("load", 0, 1, "parts"))
            from qeu.backends import torch_loading
            from qeu.backends.local import LocalModel

            def tell_parts(done: int, total: int) -> None:
                if stop is not None and stop.is_set():
                    raise FetchStopped("Loading was stopped.")
                if done < total:
                    tell(Progress("load", done, total, "parts"))

            needed = self._check_room(card, weights, placement, exact)
            try:
                model, tokenizer = torch_loading.load_weights(
                    card.id, weights, placement, tell_parts
                )
            except Exception as e:
                torch_loading.free_memory()
                if not is_out_of_memory(e):
                    raise
                sentence = explain_full_load(
                    card.id, placement.precision, needed, self.free_bytes()
                )
                raise QeuError(sentence) from e
            tell(Progress("load", 1, 1, "parts"))
            return LocalModel(
                card.id,
                model,
                tokenizer,
                revision=torch_loading.fingerprint(weights),
                adapters=self._settings.adapters,
                adapter_paths=not self._settings.public,
                aliases=(card.hub_repo, card.path, weights.path, Path(weights.path).name),
                dtype=placement.dtype,
                precision=placement.precision,
                free_bytes=self.free_bytes,
            )

    def _find_weights(
        self,
        card: ModelCard,
        placement: Placement,
        exact: bool,
        tell: OnProgress,
        stop: StopSign | None,
    ) -> ResolvedWeights:
        if card.embedded:
            cache = self._settings.cache_dir
            return inspect_local(find_embedded(cache) or fetch_embedded(cache, tell, stop))  # type: ignore[arg-type]
        if card.path:
            return inspect_local(Path(card.path))
        from qeu.backends.hub import fetch_hub, resolve_hub

        found = resolve_hub(card.hub_repo)
        if not found.local:
            # before gigabytes are fetched that have no room then
            self._check_room(card, card if card.parameters else found, placement, exact)
        return fetch_hub(found, tell, stop)  # type: ignore[arg-type]

    def _check_room(
        self,
        card: ModelCard,
        source: ModelCard | ResolvedWeights,
        placement: Placement,
        exact: bool,
    ) -> int:
        """Bytes that the load will take; QeuError with a way out if they are not free."""
        needed, free = _estimate(source, placement).total, self.free_bytes()
        if needed <= free:
            return needed
        held = ", ".join(f"{m.model_id} ({m.memory_bytes / 1e9:.1f} GB)" for m in self.loaded())
        what = (
            f"{card.id} needs {needed / 1e9:.1f} GB in {placement.precision}, "
            f"and {free / 1e9:.1f} GB is free."
        )
        if (smaller := self._smaller(source, placement)) is not None and smaller <= free:
            size = f"{smaller / 1e9:.1f} GB"
            if exact:
                raise QeuError(f"{what} Without the exact setting, in 4 bits, it needs {size}.")
            raise QeuError(f"{what} Load it in 4 bits: {size}.")
        if held:
            raise QeuError(f"{what} Unload {held}, or choose a smaller model.")
        raise QeuError(f"{what} Close other programs, or choose a smaller model.")

    def _smaller(self, source: ModelCard | ResolvedWeights, placement: Placement) -> int | None:
        """What the same weights would take in 4 bits; None where that is impossible or the same."""
        stays = getattr(source, "gguf_file", None) or getattr(source, "quantised", "")
        if stays or placement.precision == "nf4":
            return None
        fast = place(self._here(), "nf4", exact=False, four_bit=True)
        return _estimate(source, fast).total

    def _placement(self, card: ModelCard, exact: bool, precision: str | None) -> Placement:
        wanted = read_precision(precision) if precision else ""
        if not wanted:
            wanted = self._chosen.get(card.id) or read_precision(self._settings.dtype)
        return place(self._here(), wanted, exact=exact, four_bit=card.four_bit)

    def _here(self) -> Machine:
        if self._machine is None:
            self._machine = read_machine(self._settings.device)
        return self._machine

    def _card(self, model_id: str) -> ModelCard:
        card = find_model(model_id, local_paths=not self._settings.public)
        if card.kind != "local":
            raise QeuError(f"{card.id} runs on a server; it cannot be loaded here.")
        return card

    def _place(self, card: ModelCard, placement: Placement) -> _Place:
        with self._guard:
            return self._places.setdefault((card.id, placement.precision), _Place())

    def _open_models(self) -> "list[LocalModel]":
        with self._guard:
            return [p.model for p in self._places.values() if p.model is not None]

    def _close(self, model: "LocalModel") -> None:
        if model.close():
            self._forget(model)

    def _forget(self, model: "LocalModel") -> None:
        with self._guard:
            for place in self._places.values():
                if place.model is model:
                    place.model = None


def _estimate(source: ModelCard | ResolvedWeights, placement: Placement) -> MemoryEstimate:
    return estimate(source, placement.precision, dtype=placement.dtype, device=placement.device)


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
