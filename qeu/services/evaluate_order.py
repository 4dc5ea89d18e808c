"""What a person orders on the Evaluate tab: few choices, from which the ways of asking follow."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from qeu.backends.catalog import split_ref
from qeu.core.errors import UsageError
from qeu.core.eval_spec import MAX_NEW_TOKENS, EvalSpec, Way
from qeu.core.sampling import Sampling
from qeu.services.evaluate_setup import suggest_ways
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.services.shipped_data import find_shipped
from qeu.store.datasets import find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.matching import matching_ids
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class EvalOrder:
    """An evaluation as it is ordered.

    `others` are held against `base`: MODEL@ADAPTER of that very base, or other models, which
    answer without a reasoning as the base does. `split` "" takes all records.
    """

    dataset: str
    base: str
    others: tuple[str, ...] = ()
    reasonings: tuple[str, ...] = ("own",)
    split: str = "validation"
    examples: int = 2
    seeds: int = 3
    limit: int = 0
    max_new_tokens: int = MAX_NEW_TOKENS
    losses: bool = True

    @property
    def adapters(self) -> list[str]:
        """The names of the adapters."""
        return [name for ref in self.others if (name := split_ref(ref)[1])]

    @property
    def models(self) -> list[str]:
        """The other models."""
        return [ref for ref in self.others if not split_ref(ref)[1]]

    @property
    def where(self) -> dict[str, object]:
        """The filter's plain values."""
        return {"split": [self.split]} if self.split else {}

    def spec(self, adapters: Path) -> EvalSpec:
        """The evaluation; `adapters` is their folder. UsageError where it cannot be meant."""
        if not self.dataset:
            raise UsageError("No data set is chosen. Choose one, or bring in the shipped records.")
        if not self.base:
            raise UsageError("No base is chosen. Choose the model that others are held against.")
        if split_ref(self.base)[1]:
            raise UsageError(
                f"{self.base} is an adapter. Choose the model that it belongs to as the base, "
                "and the adapter beside it."
            )
        for ref in self.others:
            model, adapter = split_ref(ref)
            if adapter and model != self.base:
                raise UsageError(
                    f"{ref} does not belong to {self.base}. Choose {model} as the base, or another "
                    "adapter."
                )
        if self.adapters and not self.reasonings:
            raise UsageError("Choose at least one reasoning that the adapters answer behind.")
        ways = suggest_ways(adapters, self.base, self.adapters, self.reasonings, self.examples)
        ways += tuple(Way(model, "none") for model in self.models)
        sampling = Sampling(max_new_tokens=self.max_new_tokens)
        return EvalSpec(
            self.dataset, ways, self.where, self.limit, self.seeds, sampling, self.losses
        ).checked()

    def to_command(self) -> str:
        """The command that does the same in a terminal."""
        parts = ["python", "-m", "qeu", "evaluate", "--dataset", self.dataset, "--base", self.base]
        for name in self.adapters:
            parts += ["--adapter", name]
        for model in self.models:
            parts += ["--way", f"{model},reasoning=none"]
        if self.adapters and self.reasonings != ("own",):
            parts += ["--reasonings", ",".join(self.reasonings)]
        if self.split != "validation":
            parts += ["--split", self.split] if self.split else ["--any-split"]
        parts += ["--examples", str(self.examples), "--seeds", str(self.seeds)]
        parts += ["--limit", str(self.limit)] if self.limit else []
        parts += ["--max-new-tokens", str(self.max_new_tokens)]
        return shlex.join(parts if self.losses else [*parts, "--no-losses"])

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "EvalOrder":
        """The order again; what another version kept and this one does not know is left out."""
        names = {f.name for f in fields(cls)}
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data.items()
            if name in names
        }
        return cls(**values)  # type: ignore[arg-type]


def count_records(workspace: Workspace, order: EvalOrder) -> int:
    """How many records an order asks; the shipped ones are counted before they are brought in.

    Raises QeuError where there is no such data set.
    """
    there = {dataset.name for dataset in list_datasets(workspace)}
    if order.dataset == SHIPPED and SHIPPED not in there and (files := find_shipped()):
        paths = [path for split, path in files.items() if order.split in ("", split)]
        matching = sum(_count_lines(path) for path in paths)
    else:
        dataset = find_dataset(workspace, order.dataset)
        matching = len(matching_ids(workspace, dataset, Filter.from_json(order.where)))
    return min(matching, order.limit) if order.limit > 0 else matching


def _count_lines(path: Path) -> int:
    with path.open(encoding="utf-8") as lines:
        return sum(1 for line in lines if line.strip())
