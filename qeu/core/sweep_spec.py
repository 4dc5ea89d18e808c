"""What a sweep is: a grid over sampling settings, models, roles and more, and its prompts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES, Record
from qeu.core.roles import BY_CATEGORY, ROLE_IDS
from qeu.core.sampling import Sampling
from qeu.core.text import one_line

# Axes beside the sampling settings, with what their empty value means: what the model's adapter
# learned, else the role that each prompt's category calls for, an answer, the model's own layout.
SETTING_AXES = ("model", "role", "target", "layout")
GRID_FIELDS = tuple(f.name for f in fields(Sampling) if f.name not in ("seed", "greedy"))
ROLE_CHOICES = ("", *ROLE_IDS, BY_CATEGORY.id)
MOST_SEEDS, MOST_PROMPTS, MOST_CELLS, MOST_TEXTS = 200, 10_000, 100_000, 500_000
# From so many cells or texts on, a person is asked first.
LARGE_CELLS, LARGE_TEXTS = 1_000, 2_000

AxisValue = str | float | int


@dataclass(frozen=True)
class SweepPrompt:
    """One typed prompt; `reference` is what answers are held against, "" for none."""

    instruction: str
    input: str = ""
    reasoning: str = ""
    reference: str = ""
    category: str = "open_qa"

    def record(self) -> Record:
        """The prompt as a record."""
        return Record(
            self.instruction, self.input, self.reasoning, self.reference, category=self.category
        )


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as a person orders it; nothing in it is secret.

    The cells are all combinations of `models` (`MODEL` or `MODEL@ADAPTER`), `roles`, `targets`,
    `layouts` and of the values in `grid`, by names of sampling settings; what is not in the grid
    stands in `sampling`. Each cell asks every prompt `seeds` times, with seeds 1, 2, …
    Prompts are typed, or the records of `dataset` that match `where` (a filter's plain values), of
    which `limit` are drawn by their identity (0: all). `use_reasoning` gives a prompt's own
    reasoning to those who answer. `wordings` are edited role texts by role id.
    """

    models: tuple[str, ...]
    prompts: tuple[SweepPrompt, ...] = ()
    dataset: str = ""
    where: Mapping[str, object] = field(default_factory=dict)
    limit: int = 0
    grid: Mapping[str, tuple[float | int, ...]] = field(default_factory=dict)
    roles: tuple[str, ...] = ("",)
    targets: tuple[str, ...] = ("",)
    layouts: tuple[str, ...] = ("",)
    seeds: int = 4
    sampling: Sampling = field(default_factory=Sampling)
    use_reasoning: bool = False
    exact: bool = False
    wordings: Mapping[str, str] = field(default_factory=dict)

    @property
    def axes(self) -> dict[str, tuple[AxisValue, ...]]:
        """All axes with their values, those of a single value too; models first."""
        settings = (self.models, self.roles, self.targets, self.layouts)
        return dict(zip(SETTING_AXES, settings, strict=True)) | dict(self.grid)

    @property
    def varied(self) -> tuple[str, ...]:
        """The axes of more than one value."""
        return tuple(name for name, values in self.axes.items() if len(values) > 1)

    @property
    def combinations(self) -> int:
        """How many combinations of axis values there are; cells are as many or fewer."""
        return math.prod(len(values) for values in self.axes.values())

    def problems(self) -> list[str]:
        """All that cannot be meant, each as one sentence."""
        found = [] if any(map(str.strip, self.models)) else ["A sweep needs a model. Name one."]
        if bool(self.prompts) == bool(self.dataset.strip()):
            found.append("A sweep asks typed prompts, or the records of a data set: name one.")
        found += _prompt_problems(self.prompts)
        for name, allowed in (
            ("roles", ROLE_CHOICES),
            ("targets", ("", *TARGETS)),
            ("layouts", ("", *LAYOUTS)),
        ):
            found += _choice_problems(name, getattr(self, name), allowed)
        if unknown := sorted(set(self.wordings) - set(ROLE_IDS)):
            found.append(
                f"There is no role {one_line(repr(unknown[0]))} whose wording could be edited. "
                f"Choose one of: {', '.join(ROLE_IDS)}."
            )
        for name, low, high in (("seeds", 1, MOST_SEEDS), ("limit", 0, 10**9)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                found.append(f"{name} is {value!r}; choose {low} to {high:,}.")
        found += self.sampling.problems()
        found += _grid_problems(self.grid)
        if not found and self.combinations > MOST_CELLS:
            found.append(
                f"The grid has {self.combinations:,} cells; at most {MOST_CELLS:,} are swept at "
                "once. Name fewer values."
            )
        return list(dict.fromkeys(found))

    def checked(self) -> "SweepSpec":
        """The same with each value once and names trimmed; UsageError names every problem."""
        if found := self.problems():
            raise UsageError(" ".join(found))
        once = {name: _once(getattr(self, name)) for name in ("roles", "targets", "layouts")}
        models = _once(name.strip() for name in self.models if name.strip())
        grid = {name: _once(map(_whole, values)) for name, values in self.grid.items()}
        sampling = self.sampling.checked()
        return replace(self, models=models, grid=grid, sampling=sampling, **once)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        data = asdict(self) | {"where": dict(self.where), "wordings": dict(self.wordings)}
        data["grid"] = {name: list(values) for name, values in self.grid.items()}
        data["prompts"] = [asdict(prompt) for prompt in self.prompts]
        for name in ("models", "roles", "targets", "layouts"):
            data[name] = list(getattr(self, name))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "SweepSpec":
        """The spec again; UsageError for unknown names and for what cannot be meant."""
        values = _known(cls, data)
        for name in ("models", "roles", "targets", "layouts"):
            if name in values:
                values[name] = tuple(_texts(name, values[name]))
        values["prompts"] = tuple(
            SweepPrompt(**_known(SweepPrompt, one))  # type: ignore[arg-type]
            for one in _items("prompts", values.get("prompts", ()))
        )
        grid = values.get("grid", {})
        if not isinstance(grid, Mapping):
            raise UsageError("The grid of a sweep is an object: values by setting.")
        values["grid"] = {str(name): tuple(_items(str(name), some)) for name, some in grid.items()}
        if isinstance(values.get("sampling"), Mapping):
            values["sampling"] = Sampling.from_json(values["sampling"])  # type: ignore[arg-type]
        try:
            return cls(**values).checked()  # type: ignore[arg-type]
        except TypeError as error:
            raise UsageError("A sweep needs its models, and prompts or a data set.") from error


def read_grid(texts: Iterable[str]) -> dict[str, tuple[float | int, ...]]:
    """`NAME=VALUE,VALUE…` as it is typed, in its order; UsageError says what cannot be read."""
    grid: dict[str, tuple[float | int, ...]] = {}
    for text in texts:
        name, is_set, shown = text.partition("=")
        name = name.strip().replace("-", "_")
        if not is_set or name not in GRID_FIELDS:
            raise UsageError(
                f"{one_line(repr(text))} is no axis of a grid. Write NAME=VALUE,VALUE with a name "
                f"of: {', '.join(GRID_FIELDS)}."
            )
        try:
            values = tuple(_number(one.strip()) for one in shown.split(",") if one.strip())
        except ValueError as error:
            raise UsageError(
                f"{one_line(repr(shown))} of {name} is not a list of numbers. Write them like "
                "0,0.7,1."
            ) from error
        grid[name] = (*grid.get(name, ()), *values)
    return grid


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _prompt_problems(prompts: Sequence[SweepPrompt]) -> list[str]:
    found = []
    if len(prompts) > MOST_PROMPTS:
        found.append(f"There are {len(prompts):,} prompts; at most {MOST_PROMPTS:,} are asked.")
    if any(not prompt.instruction.strip() for prompt in prompts):
        found.append("A prompt is empty. Write an instruction first.")
    for prompt in prompts:
        found += _choice_problems("category", (prompt.category,), CATEGORIES)
    return found


def _choice_problems(name: str, values: Sequence[str], allowed: Sequence[str]) -> list[str]:
    shown = ", ".join(one or "(its own)" for one in allowed)
    if not values:
        return [f"{name} has no value. Choose at least one of: {shown}."]
    wrong = [value for value in values if value not in allowed]
    return [f"{name} is {one_line(repr(value))}. Choose one of: {shown}." for value in wrong]


def _grid_problems(grid: Mapping[str, Sequence[object]]) -> list[str]:
    found = []
    for name, values in grid.items():
        if name not in GRID_FIELDS:
            found.append(
                f"{one_line(repr(name))} is no axis of a grid. Choose from: "
                f"{', '.join(GRID_FIELDS)}."
            )
        elif not values:
            found.append(f"The grid names no value of {name}. Name at least one.")
        else:
            for value in values:
                found += Sampling(**{name: value}).problems()  # type: ignore[arg-type]
    return found


def _whole(value: float | int) -> float | int:
    """A whole number as such: 0 and 0.0 are one value, and one request."""
    return int(value) if value == int(value) else value


def _once(values: Iterable[object]) -> tuple[object, ...]:
    return tuple(dict.fromkeys(values))


def _known(cls: type, data: object) -> dict[str, object]:
    if not isinstance(data, Mapping):
        raise UsageError(
            f"A part of the sweep is {one_line(repr(data))}; it must be an object with names."
        )
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(data) - names):
        raise UsageError(f"Unknown setting {unknown[0]!r}. Known: {', '.join(sorted(names))}.")
    return dict(data)


def _items(name: str, data: object) -> Sequence[object]:
    if not isinstance(data, list | tuple):
        raise UsageError(f"{name} is {one_line(repr(data))}; it must be a list.")
    return data


def _texts(name: str, data: object) -> Sequence[str]:
    found = _items(name, data)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise UsageError(f"{name} has {one_line(repr(wrong[0]))}; it must be words.")
    return found  # type: ignore[return-value]
