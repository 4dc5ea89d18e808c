"""One entry of the append-only log from which undo, history and provenance are read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from qeu.core.errors import QeuError

KINDS = ("import", "generate", "rule", "edit", "review", "vote", "compare", "undo")


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

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"data": dict(self.data)}
