"""Two sides, one question: the settings of a comparison, and what is asked of each side."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from qeu.backends.engines import Engines
from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import CATEGORIES, LANGUAGES, Record
from qeu.core.roles import ROLE_IDS, ROLES, Role, find_role
from qeu.core.sampling import Sampling
from qeu.core.text import one_line
from qeu.services.runs import Ask, Run, side_json
from qeu.store.history import StoredComparison, add_comparison
from qeu.store.workspace import Workspace

SIDES = ("left", "right")


@dataclass(frozen=True)
class SideSettings:
    """One side; `layout` empty is the model's own; `sampling` None shares the common one."""

    model: str
    role: str = "assistant"
    layout: str = ""
    target: str = "answer"
    use_reasoning: bool = True
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Comparison:
    """All that a comparison depends on, and nothing secret.

    `roles` holds edited role texts by role id; `expected_language` empty takes what each role
    implies. `exact` promises the same texts after a restart.
    """

    left: SideSettings
    right: SideSettings
    instruction: str
    input: str = ""
    reasoning: str = ""
    reference: str = ""
    category: str = "open_qa"
    expected_language: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    exact: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)

    def side(self, name: str) -> SideSettings:
        """The settings of "left" or "right"."""
        return {"left": self.left, "right": self.right}[name]

    def swapped(self) -> "Comparison":
        """The same comparison with its sides exchanged."""
        return replace(self, left=self.right, right=self.left)

    def role(self, role_id: str) -> Role:
        """The role as it reads now, edited or shipped."""
        text = self.roles.get(role_id, "").strip()
        return Role(role_id, text) if text and role_id in ROLES else find_role(role_id)

    def asks(self) -> list[Ask]:
        """What will be asked of each side; raises QeuError where something cannot be meant."""
        record = Record(
            instruction=self.instruction,
            input=self.input,
            reasoning=self.reasoning,
            output=self.reference,
            category=self.category,
        )
        return [
            Ask(
                key=name,
                model=side.model,
                record=record,
                role=self.role(side.role),
                target=side.target,
                sampling=side.sampling or self.sampling,
                layout=side.layout,
                use_reasoning=side.use_reasoning,
                expected_language=self.expected_language,
                logician=self.role("logician"),
            )
            for name, side in zip(SIDES, (self.left, self.right), strict=True)
        ]

    def to_json(self) -> dict[str, object]:
        """Plain values, as stored in the history and in an exported run."""
        return asdict(self) | {"roles": dict(self.roles)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Comparison":
        """The comparison again; raises UsageError naming the value that cannot be used."""
        values = {"instruction": ""} | _only(cls, data)
        for name in SIDES:
            if not isinstance(values.get(name), Mapping):
                raise UsageError(f"The {name} side is missing.")
            values[name] = _side_from_json(values[name])  # type: ignore[arg-type]
        values["roles"] = _wordings(values.get("roles", {}))
        sampling = values.get("sampling")
        values["sampling"] = _sampling(sampling) or Sampling()
        return cls(**values)._checked()  # type: ignore[arg-type]

    def _checked(self) -> "Comparison":
        for name in ("instruction", "input", "reasoning", "reference"):
            if not isinstance(text := getattr(self, name), str):
                raise UsageError(f"{name} is {one_line(repr(text))}; give words.")
        _switch("exact", self.exact)
        _one_of("category", self.category, CATEGORIES)
        _one_of("expected_language", self.expected_language, ("", *LANGUAGES))
        for side in (self.left, self.right):
            _one_of("role", side.role, ROLE_IDS)
            _switch("use_reasoning", side.use_reasoning)
            _one_of("layout", side.layout, ("", *LAYOUTS))
            _one_of("target", side.target, TARGETS)
        return self


def start_comparison(engines: Engines, comparison: Comparison) -> Run:
    """Begin; the caller polls the run and stops it when it goes away."""
    return Run(engines, comparison.asks(), exact=comparison.exact)


def results_json(run: Run) -> dict[str, object]:
    """Both sides of a finished run as `{"left": {...}, "right": {...}}`."""
    return {name: side_json(live) for name, live in run.live.items()}


def store_comparison(
    workspace: Workspace, comparison: Comparison, run: Run, visitor: str = ""
) -> StoredComparison:
    """Put a finished run into the history, stopped and failed sides included."""
    question = comparison.asks()[0].record.question
    return add_comparison(workspace, question, comparison.to_json(), results_json(run), visitor)


# -- reading plain values ------------------------------------------------------------------------


def _side_from_json(data: Mapping[str, object]) -> SideSettings:
    values = _only(SideSettings, data)
    model = values.get("model")
    if not isinstance(model, str) or not model.strip():
        raise UsageError("A side has no model. Choose one for it.")
    values["sampling"] = _sampling(values.get("sampling"))
    return SideSettings(**values)  # type: ignore[arg-type]


def _sampling(data: object) -> Sampling | None:
    if data is None or isinstance(data, Sampling):
        return data
    if not isinstance(data, Mapping):
        raise UsageError(f"Sampling is {one_line(repr(data))}; give its settings by name.")
    return Sampling.from_json(data)


def _only(cls: type, data: Mapping[str, object]) -> dict[str, object]:
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(data) - names):
        raise UsageError(f"Unknown setting {unknown[0]!r}. Known: {', '.join(sorted(names))}.")
    return dict(data)


def _wordings(data: object) -> dict[str, str]:
    if not isinstance(data, Mapping) or not all(isinstance(text, str) for text in data.values()):
        raise UsageError("The role wordings must be texts by role name.")
    for role_id in data:
        _one_of("role", role_id, ROLE_IDS)
    return dict(data)


def _switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {one_line(repr(value))}; choose true or false.")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        shown = ", ".join(item or "(none)" for item in allowed)
        raise UsageError(f"{name} is {one_line(repr(value))}. Choose one of: {shown}.")
