"""Where a training run stands: what `status.json` in its folder says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from qeu.core.errors import QeuError

# queued: waits for its turn. interrupted is never written: an owner that is gone tells it.
STATES = (
    "queued", "starting", "running", "saving", "finished", "stopped", "failed", "interrupted",
)  # fmt: skip
OPEN_STATES = ("queued", "starting", "running", "saving")
RESUMABLE = ("stopped", "failed", "interrupted")
# Why a run failed.
TROUBLES = ("memory", "data", "nan", "disk", "library", "base")


@dataclass(frozen=True)
class RunStatus:
    """The run's state; times are ISO 8601 in UTC, `step` the optimiser steps that are done.

    `owner` names its process (store/owner.py). `trouble` is one of TROUBLES with `message` as what
    happened and `advice` as the next step to take; all "" where there is none. `order` is when it
    was ordered, by which runs wait for each other. `seconds` is the time computed so far.
    `has_adapter` says whether its adapter is complete, `kept_step` of which step.
    """

    state: str = "queued"
    owner: str = ""
    order: str = ""
    started: str = ""
    updated: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    phase: str = ""
    trouble: str = ""
    message: str = ""
    advice: str = ""
    has_adapter: bool = False
    kept_step: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether somebody is at work on it, or will be."""
        return self.state in OPEN_STATES

    def to_json(self) -> dict[str, object]:
        """Plain values, as in `status.json`."""
        return asdict(self) | {"versions": dict(self.versions)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "RunStatus":
        """The status again; raises QeuError for what no version of ours has written."""
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            raise QeuError(f"status.json has an unknown field {unknown[0]!r}; another version "
                           "wrote it.")  # fmt: skip
        status = cls(**data)  # type: ignore[arg-type]
        if status.state not in STATES:
            raise QeuError(f"status.json says {status.state!r}, which is no state of a run.")
        return status
