"""One entry of the append-only log from which undo, history and provenance are read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from qeu.core.errors import QeuError

# What `data` must hold, by kind; literal examples stand in tests/contract/events.json. More may be
# in it, these must.
DATA_FIELDS: Mapping[str, tuple[str, ...]] = {
    "import": ("file", "sha256", "licence", "imported", "unchanged", "rejected"),
    "generate": ("key", "attempt", "model", "target", "finish_reason", "text", "error"),
    "rule": ("rules", "changed"),
    "edit": ("field", "before", "after"),
    "review": ("decision", "source", "text", "distance"),
    "vote": ("left", "right", "better", "acceptable", "swapped"),
    "compare": (),
    "undo": ("undoes",),
}
KINDS = tuple(DATA_FIELDS)


@dataclass(frozen=True)
class Event:
    """`actor` did `kind` to `subject` at `at` (UTC, ISO 8601); `data` holds what changed.

    `id` grows by one with every event of a workspace; 0 is an event not stored yet.
    """

    id: int
    at: str
    actor: str
    kind: str
    subject: str
    data: Mapping[str, object]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise QeuError(f"Unknown kind of event {self.kind!r}. Known: {', '.join(KINDS)}.")

    def problems(self) -> list[str]:
        """What an event of its kind must tell and this one does not."""
        missing = [name for name in DATA_FIELDS[self.kind] if name not in self.data]
        return [f"An event of kind {self.kind!r} lacks its {name!r}." for name in missing]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"data": dict(self.data)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Event":
        """The event again; an unknown field is refused."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - names):
            raise QeuError(f"An event has no field {unknown[0]!r}; another version wrote it.")
        return cls(**data)  # type: ignore[arg-type]
