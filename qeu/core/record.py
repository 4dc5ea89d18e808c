"""One row of instruction data, and its identity."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from dataclasses import field as _field

from qeu.core.errors import QeuError

LANGUAGES = ("en", "ja", "zh", "und")
CATEGORIES = (
    "open_qa",
    "closed_qa",
    "creative",
    "translation",
    "summarization",
    "classification",
    "rewriting",
    "brainstorming",
    "math",
    "code",
)
UNIQUENESS = ("simple", "complex")


@dataclass(frozen=True)
class Record:
    """A question, how to think about it, and its answer.

    `seq` is row number plus language code ("6EN"); `language` is that of the question's content.
    `reasoning` says how to get from the question to a good answer and never states the answer.
    Columns we do not know are kept in `extra`.
    """

    instruction: str
    input: str = ""
    reasoning: str = ""
    output: str = ""
    seq: str = ""
    no: int | None = None
    category: str = "open_qa"
    field: str = "other"
    uniqueness: str = "complex"
    language: str = "und"
    extra: Mapping[str, object] = _field(default_factory=dict)

    @property
    def question(self) -> str:
        """Instruction and input as one text, a blank line between them."""
        return "\n\n".join(part for part in (self.instruction.strip(), self.input.strip()) if part)

    @property
    def identity(self) -> str:
        """SHA-256 of content and `seq`: a row is the same record in another file or place."""
        content = {name: value for name, value in self.to_json().items() if name != "no"}
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def to_json(self) -> dict[str, object]:
        """All fields as plain values."""
        return asdict(self) | {"extra": dict(self.extra)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Record":
        """The record again; an unknown field is refused (importers put those into `extra`)."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - names):
            raise QeuError(
                f"Unknown record field {unknown[0]!r}. Known: {', '.join(sorted(names))}."
            )
        if "instruction" not in data:
            raise QeuError("A record has no instruction; without a question there is no record.")
        return cls(**data)  # type: ignore[arg-type]
