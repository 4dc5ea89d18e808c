"""The same question under all four roles at once, in whatever wording the roles have now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qeu.backends.engines import Engines
from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS
from qeu.core.record import Record
from qeu.core.roles import ROLE_IDS, ROLES, Role
from qeu.core.sampling import Sampling
from qeu.services.runs import Ask, Run

# `own`: the logician writes a reasoning, which is its trade, the others answer. A bare
# `reasoning_task` is not offered: it puts the logician in everybody's place.
ROLE_TARGETS = ("answer", "reasoning", "both", "own")


@dataclass(frozen=True)
class FourRoles:
    """All that one round depends on; `roles` holds edited wordings by role id."""

    model: str
    instruction: str
    input: str = ""
    layout: str = ""
    target: str = "answer"
    sampling: Sampling = field(default_factory=Sampling)
    exact: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)

    def asks(self) -> list[Ask]:
        """One ask a role, same model and seed; raises UsageError for what cannot be meant."""
        if not self.model.strip():
            raise UsageError("No model is chosen. Choose one above the question.")
        if self.target not in ROLE_TARGETS:
            raise UsageError(f"target is {self.target!r}. Choose: {', '.join(ROLE_TARGETS)}.")
        if self.layout not in ("", *LAYOUTS):
            raise UsageError(f"layout is {self.layout!r}. Choose one of: {', '.join(LAYOUTS)}.")
        record = Record(instruction=self.instruction, input=self.input)
        return [
            Ask(
                key=role_id,
                model=self.model,
                record=record,
                role=worded_role(role_id, self.roles),
                target=self.target_of(role_id),
                sampling=self.sampling,
                layout=self.layout,
                logician=worded_role("logician", self.roles),
            )
            for role_id in ROLE_IDS
        ]

    def target_of(self, role_id: str) -> str:
        """What this role is asked for."""
        if self.target != "own":
            return self.target
        return "reasoning_task" if role_id == "logician" else "answer"


def worded_role(role_id: str, wordings: Mapping[str, str]) -> Role:
    """The role in its edited wording; an empty wording means the shipped one."""
    edited = wordings.get(role_id, "").strip()
    return Role(role_id, edited) if edited else ROLES[role_id]


def start_roles(engines: Engines, round_: FourRoles) -> Run:
    """Begin: one run, one batch of four rows; the caller polls it and stops it in the end."""
    return Run(engines, round_.asks(), exact=round_.exact)
