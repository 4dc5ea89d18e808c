"""Which records are meant: facets, search, findings; as SQL and as plain values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from qeu.core.errors import QeuError
from qeu.core.text import clean_text, fold
from qeu.store.datasets import Dataset
from qeu.store.records import FACETS


@dataclass(frozen=True)
class Filter:
    """Which records: all conditions hold; a facet holds if it has one of its values.

    `search` is any substring, case and width ignored; `check` the name of a finding of the last
    check, "any" for whatever finding; `ids` particular records. A name in `review` means all that
    wait for it, whatever else they wait for.
    """

    search: str = ""
    language: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    uniqueness: tuple[str, ...] = ()
    field: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    check: str = ""
    ids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain values of what is set."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Filter":
        """The filter again; an unknown condition is refused."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - names):
            raise QeuError(f"Unknown filter {unknown[0]!r}. Known: {', '.join(sorted(names))}.")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})  # type: ignore[arg-type]

    @property
    def term(self) -> str:
        """The search as texts are compared with it."""
        return fold(clean_text(self.search))

    def facet_values(self) -> dict[str, tuple[str, ...]]:
        """The facets that are restricted."""
        return {name: values for name in FACETS if (values := getattr(self, name))}


ALL = Filter()


def make_conditions(dataset: Dataset, where: Filter) -> tuple[str, list[object]]:
    """SQL for everything but the search."""
    parts, values = ["records.dataset = ?"], [dataset.id]
    for name, allowed in where.facet_values().items():
        parts.append(f"records.{name} IN ({', '.join('?' * len(allowed))})")
        values += allowed  # type: ignore[arg-type]
    if where.check:
        one = "" if where.check == "any" else " AND name = ?"
        parts.append(
            "records.id IN (SELECT record FROM findings WHERE findings.dataset = ? "
            f"AND findings.version = records.version{one})"
        )
        values += [dataset.id, where.check] if one else [dataset.id]  # type: ignore[list-item]
    if where.ids:
        parts.append("records.id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(where.ids)))  # type: ignore[arg-type]
    return " AND ".join(parts), values  # type: ignore[return-value]


def in_cell(cell: Sequence[str], wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether these facet values are among those wanted."""
    return all(cell[FACETS.index(name)] in values for name, values in wanted.items())
