"""Engines with tiny real models, for tests of the next-token view."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from qeu.backends.base import Row
from qeu.backends.compute_queue import ComputeQueue
from qeu.backends.local import LocalModel
from qeu.core.generation import Generation
from qeu.core.record import Record
from qeu.core.roles import Role
from qeu.core.sampling import Sampling
from qeu.services.asks import Ask
from qeu.services.lens_reader import LensSide


@dataclass
class TinyEngines:
    """Loaded models by name; `passes` counts how often one of them read a text."""

    models: dict[str, LocalModel]
    adapters: Path = Path("no-adapters-here")
    local_paths: bool = True
    queue: ComputeQueue = field(default_factory=ComputeQueue)
    passes: int = 0

    def __post_init__(self) -> None:
        for model in self.models.values():
            self._count(model)

    def _count(self, model: LocalModel) -> None:
        read = model.read_scores

        def counted(*given: object) -> object:
            self.passes += 1
            return read(*given)  # type: ignore[arg-type]

        model.read_scores = counted  # type: ignore[method-assign, assignment]

    def load(self, model_id: str, **how: object) -> LocalModel:
        """The model; it is always there."""
        return self.models[model_id]

    def estimate_bytes(self, model_id: str, **how: object) -> int:
        """Nothing more."""
        return 0

    def free_bytes(self) -> int:
        """Enough."""
        return 10**9


def ask_of(
    model: str, text: str = "The capital of a country", target: str = "answer", **sampling: object
) -> Ask:
    """A question in the tagged layout."""
    settings = {"max_new_tokens": 24, "seed": 1} | sampling
    return Ask(
        "left", model, Record(text), Role("assistant", "You think."), target,
        Sampling(**settings), layout="bonsai-v2",  # type: ignore[arg-type]
    )  # fmt: skip


def write(engines: TinyEngines, ask: Ask) -> Generation:
    """What the model writes for it, alone."""
    name, _, adapter = ask.model.partition("@")
    row = Row(ask.prompt(), ask.sampling, adapter or None, begun=ask.begun)
    return engines.load(name).generate([row])[0]


def written(engines: TinyEngines, ask: Ask) -> LensSide:
    """The side with what it wrote."""
    return LensSide.of(ask, write(engines, ask))


def with_seed(ask: Ask, seed: int) -> Ask:
    """The same question, drawn from another seed."""
    return replace(ask, sampling=replace(ask.sampling, seed=seed))
