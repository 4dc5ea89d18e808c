"""Everything that one visitor can ask: the models of this machine, and hosted ones by a key.

It has the shape of a `Shelf`, so that whoever works with models need not know where they run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.base import Backend, EngineIdentity
from qeu.backends.catalog import find_model, is_hosted
from qeu.backends.compute_queue import ComputeQueue, StopSign
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import LoadedModel, OnProgress, Shelf
from qeu.core.errors import QeuError
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.hosted_pool import HostedPool
    from qeu.backends.precision import Placement


class Engines:
    """A shelf and a pool of hosted models, seen with one visitor's keys. Cheap to make.

    `adapters` is the folder that names of adapters are looked up in; `local_paths` False allows
    no other place on this machine.
    """

    local_paths = True

    def __init__(
        self, shelf: Shelf, pool: "HostedPool", keyring: Keyring, adapters: Path = Path("adapters")
    ) -> None:
        self.shelf, self.pool, self.keyring = shelf, pool, keyring
        self.adapters = adapters

    @property
    def queue(self) -> ComputeQueue:
        """Turns on this machine's processor or card; hosted models need none."""
        return self.shelf.queue

    def load(
        self,
        model_id: str,
        *,
        exact: bool = False,
        precision: str | None = None,
        progress: OnProgress | None = None,
        stop: StopSign | None = None,
    ) -> Backend:
        """The model, ready to be asked; a hosted one needs its key and no memory.

        Raises QeuError with the way out: what is missing, unreachable, unknown or too large.
        """
        if not is_hosted(model_id):
            return self.shelf.load(
                model_id, exact=exact, precision=precision, progress=progress, stop=stop
            )
        if exact:
            raise QeuError(
                f"{model_id} runs on a server, which promises no text twice. "
                "Switch the exact setting off, or choose a model that runs here."
            )
        return self.pool.open(find_model(model_id), self.keyring)

    def identify(
        self, model_id: str, adapter: str | None, *, exact: bool = False
    ) -> EngineIdentity | None:
        """What texts of a model depend on, without loading it; None where it is not here yet.

        Raises QeuError for an unknown model or adapter, and for a hosted one without its key.
        """
        if is_hosted(model_id):
            return self.load(model_id, exact=exact).identify(adapter)
        return self.shelf.identify(model_id, adapter, exact=exact)

    def choose_precision(self, model_id: str, precision: str) -> "Placement":
        """How a local model is loaded from now on."""
        return self.shelf.choose_precision(model_id, precision)

    def placement_of(self, model_id: str, *, exact: bool = False) -> "Placement":
        """Where a local model computes, in which precision, and why."""
        return self.shelf.placement_of(model_id, exact=exact)

    def unload(
        self,
        model_id: str,
        *,
        exact: bool | None = None,
        precision: str | None = None,
        wait_s: float = 0.0,
    ) -> None:
        """Free a local model's memory; a hosted one has none here."""
        if not is_hosted(model_id):
            self.shelf.unload(model_id, exact=exact, precision=precision, wait_s=wait_s)

    def loaded(self) -> list[LoadedModel]:
        """What is in this machine's memory."""
        return self.shelf.loaded()

    def estimate_bytes(self, model_id: str, *, exact: bool = False) -> int:
        """Memory that loading would take; 0 for what is loaded, hosted, or unknown."""
        return 0 if is_hosted(model_id) else self.shelf.estimate_bytes(model_id, exact=exact)

    def free_bytes(self) -> int:
        """Memory free for models of this machine."""
        return self.shelf.free_bytes()


def open_engines(
    settings: Settings, environ: Mapping[str, str], shelf: "Shelf | None" = None
) -> Engines:
    """The engines of one program with the keys of its environment; `shelf` None makes one."""
    from qeu.backends.hosted_pool import HostedPool

    keyring = Keyring.from_env(environ)
    return Engines(shelf or Shelf(settings), HostedPool(), keyring, settings.adapters)
