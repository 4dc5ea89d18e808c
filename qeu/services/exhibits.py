"""Recorded real runs that travel with the data, for people who cannot run such a model themselves.

One JSON object a line: `exhibit` (the format's version), `id` (of what was asked and written),
`at` (UTC), `program`, `note`, `question`, `settings` (a Comparison) and `results` (both sides with
text, receipt and checks). Only what really ran gets in.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import qeu
from qeu.core.errors import QeuError
from qeu.services import shipped_data
from qeu.services.compare import SIDES, Comparison
from qeu.services.export import make_shareable
from qeu.store.history import StoredComparison
from qeu.store.workspace import dump_json

EXHIBIT_VERSION = 1
EXHIBITS_FILE = shipped_data.FOLDER / "exhibits.jsonl"
_REAL_ENDS = ("stop", "length", "loop")


@dataclass(frozen=True)
class Exhibit:
    """One recorded run. `id` are 12 hex digits of the hash of settings and texts."""

    id: str
    at: str
    program: str
    note: str
    question: str
    settings: Mapping[str, object]
    results: Mapping[str, Mapping[str, object]]

    def to_json(self) -> dict[str, object]:
        """Plain values, as a line of the file."""
        return {"exhibit": EXHIBIT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Exhibit":
        """The exhibit again; QeuError for another version and for what is missing or wrong."""
        if data.get("exhibit") != EXHIBIT_VERSION:
            raise QeuError(
                f"This is version {data.get('exhibit')!r} of the format of recorded runs; "
                f"version {EXHIBIT_VERSION} is known here."
            )
        names = {f.name for f in fields(cls)}
        if missing := sorted(names - set(data)):
            raise QeuError(f"A recorded run has no {missing[0]!r}.")
        found = cls(**{name: data[name] for name in names})  # type: ignore[arg-type]
        Comparison.from_json(found.settings)
        if found.id != _identify(found.settings, found.results):
            raise QeuError(f"The recorded run {found.id} was changed after it was recorded.")
        return found

    def as_stored(self) -> StoredComparison:
        """The run as the history holds one; its number is 0."""
        return StoredComparison(0, self.at, self.question, self.settings, self.results)

    @property
    def models(self) -> tuple[str, ...]:
        """The models of both sides, adapters named behind an "@", equal ones once."""
        names = []
        for side in SIDES:
            adapter = self.results[side].get("adapter")
            names.append(f"{self.results[side]['model']}{f'@{adapter}' if adapter else ''}")
        return tuple(dict.fromkeys(names))


def make_exhibit(stored: StoredComparison, note: str = "") -> Exhibit:
    """A run of the history as an exhibit, without keys and paths of this machine.

    QeuError where a side failed or was stopped, or has no receipt: that shows nothing real.
    """
    for side in SIDES:
        result = stored.results.get(side)
        found: Mapping[str, object] = result if isinstance(result, Mapping) else {}
        if found.get("finish_reason") not in _REAL_ENDS or not found.get("receipt"):
            raise QeuError(
                f"The {side} side of run {stored.id} ended as "
                f"{found.get('finish_reason') or 'error'!r}; only runs that came to their end can "
                "be recorded. Run it again and let it finish."
            )
    shared = make_shareable(stored.to_json())
    settings, results = shared["settings"], shared["results"]
    return Exhibit(
        id=_identify(settings, results),  # type: ignore[arg-type]
        at=stored.at,
        program=f"qeu {qeu.__version__}",
        note=note.strip(),
        question=str(shared["question"]),
        settings=settings,  # type: ignore[arg-type]
        results=results,  # type: ignore[arg-type]
    )


def add_exhibit(path: Path, exhibit: Exhibit) -> None:
    """Append one to a file; QeuError if it is there already or the file cannot be written."""
    if any(other.id == exhibit.id for other in (read_exhibits(path) if path.exists() else ())):
        raise QeuError(f"This run stands in {path} already, as {exhibit.id}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(dump_json(exhibit.to_json()) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise QeuError(f"{path} cannot be written ({error}). Choose another file.") from error


def read_exhibits(path: Path = EXHIBITS_FILE) -> Sequence[Exhibit]:
    """All exhibits of a file; QeuError names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise QeuError(f"{path} cannot be read ({error}).") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(Exhibit.from_json(json.loads(line)))
        except (ValueError, TypeError, AttributeError, RecursionError, QeuError) as error:
            raise QeuError(f"Line {number} of {path.name} is no recorded run: {error}") from error
    return found


def _identify(settings: Mapping[str, object], results: Mapping[str, Mapping[str, object]]) -> str:
    texts = {side: results[side].get("text", "") for side in SIDES}
    canonical = json.dumps([settings, texts], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:12]
