"""The cells of a sweep: its combinations of axis values, those that ask the same as one."""

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass, replace

from qeu.core.sampling import Sampling
from qeu.core.sweep_spec import AxisValue, SweepSpec

Combination = tuple[AxisValue, ...]
_PLAIN = Sampling()


@dataclass(frozen=True)
class Setting:
    """What a cell asks with; empty role, target and layout are the model's own.

    The seed of `sampling` is that of the first text.
    """

    model: str
    role: str
    target: str
    layout: str
    sampling: Sampling

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class SweepCell:
    """One cell: its number from 1, what it asks with, and how often each prompt is asked.

    `combinations` are the axis values (in the order of the spec's axes) that come to this cell:
    more than one where settings differ that change nothing, as top-p does at temperature 0.
    """

    number: int
    setting: Setting
    seeds: int
    combinations: tuple[Combination, ...]

    def samplings(self) -> list[Sampling]:
        """The settings of each text of a prompt, in the order of their seeds."""
        return [replace(self.setting.sampling, seed=seed) for seed in range(1, self.seeds + 1)]


def settle(sampling: Sampling, *, ours: bool = True) -> Sampling:
    """The same settings, those that change nothing at their defaults: equal requests are equal.

    Where one token only is left to choose, nothing is drawn: temperature, top-k, top-p, min-p and
    seed do not count. `ours` False is a server's sampler, of which only greedy decoding is known.
    """
    leaves_one = ours and (sampling.top_k == 1 or sampling.top_p == 0)
    if not (sampling.is_greedy or leaves_one):
        return sampling
    return replace(
        sampling, temperature=0, greedy=False, top_p=_PLAIN.top_p, top_k=_PLAIN.top_k,
        min_p=_PLAIN.min_p, seed=1,
    )  # fmt: skip


def iterate_combinations(spec: SweepSpec) -> Iterator[tuple[Combination, Setting]]:
    """All combinations of axis values, the last axis changing first, with what they ask."""
    names = list(spec.axes)
    for combination in itertools.product(*spec.axes.values()):
        values = dict(zip(names, combination, strict=True))
        sampling = replace(spec.sampling, **{name: values[name] for name in spec.grid}, seed=1)
        yield combination, Setting(
            str(values["model"]), str(values["role"]), str(values["target"]),
            str(values["layout"]), sampling,
        )  # fmt: skip


def make_cells(
    spec: SweepSpec,
    same: Callable[[Setting], Hashable] | None = None,
    is_ours: Callable[[str], bool] = lambda model: True,
) -> list[SweepCell]:
    """The cells in the order of their first combinations.

    `same` tells settings apart beside their sampling (None: by their words): two roles of which
    both are asked the same prompts are one cell. `is_ours` tells which models our sampler draws.
    """
    found: dict[Hashable, tuple[Setting, list[Combination]]] = {}
    for combination, setting in iterate_combinations(spec):
        sampling = settle(setting.sampling, ours=is_ours(setting.model))
        setting = replace(setting, sampling=sampling)
        words = setting.model, setting.role, setting.target, setting.layout
        key = (same(setting) if same else words, sampling)
        found.setdefault(key, (setting, []))[1].append(combination)
    return [
        SweepCell(number, setting, _seeds(setting, spec), tuple(combinations))
        for number, (setting, combinations) in enumerate(found.values(), start=1)
    ]


def _seeds(setting: Setting, spec: SweepSpec) -> int:
    return 1 if setting.sampling.is_greedy else spec.seeds
