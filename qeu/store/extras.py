"""Columns that files brought besides a record's own: as columns of a table, with their kinds."""

from collections.abc import Mapping

from qeu.core.columns import FIELDS
from qeu.store.datasets import Dataset
from qeu.store.workspace import Workspace

# Holds as one object what cannot be a column: it has the name of a field, or none to speak of.
EXTRA = "extra"
_TAKEN = {*FIELDS, "status", "split", "review", "question", EXTRA}
# What Parquet can hold as it is, by the kinds of value that a column has; others become text.
_ARROW: Mapping[frozenset[str], str] = {
    frozenset({"true"}): "bool",
    frozenset({"false"}): "bool",
    frozenset({"true", "false"}): "bool",
    frozenset({"integer"}): "int64",
    frozenset({"real"}): "double",
}


def is_plain_name(name: str) -> bool:
    """Whether the name may head a column of its own and comes back from every format."""
    return bool(name) and name not in _TAKEN and name == name.strip().lstrip("\ufeff")


def flatten_extra(extra: Mapping[str, object]) -> dict[str, object]:
    """The values as columns; under EXTRA those that cannot be one."""
    flat = {name: value for name, value in extra.items() if is_plain_name(name)}
    rest = {name: value for name, value in extra.items() if name not in flat}
    return {**flat, EXTRA: rest} if rest else flat


def list_extra_names(workspace: Workspace, dataset: Dataset) -> tuple[str, ...]:
    """The columns that `flatten_extra` makes of the data set's records, by name; EXTRA last."""
    rows = workspace.read(
        "SELECT DISTINCT json_each.key FROM records, json_each(records.extra) "
        "WHERE records.dataset = ? AND records.extra != '{}' ORDER BY 1",
        (dataset.id,),
    )
    names = [row[0] for row in rows]
    plain = tuple(name for name in names if is_plain_name(name))
    return plain if len(plain) == len(names) else (*plain, EXTRA)


def arrow_types(workspace: Workspace, dataset: Dataset) -> dict[str, str]:
    """{column: type} of those whose values are all of one kind other than text."""
    rows = workspace.read(
        "SELECT one.key, one.type, typeof(one.value), CASE one.type WHEN 'array' THEN "
        "(SELECT group_concat(DISTINCT item.type || ' ' || typeof(item.value)) "
        "FROM json_each(one.value) item) END "
        "FROM records, json_each(records.extra) one "
        "WHERE records.dataset = ? AND records.extra != '{}' GROUP BY 1, 2, 3, 4",
        (dataset.id,),
    )
    kinds: dict[str, set[str]] = {}
    items: dict[str, set[str]] = {}
    for name, kind, held_as, inner in rows:
        kinds.setdefault(name, set()).add(_kind(kind, held_as))
        if kind == "array":
            told = (item.split(" ") for item in (inner or "").split(",") if item)
            items.setdefault(name, set()).update(_kind(*item) for item in told)
    found = {}
    for name in filter(is_plain_name, kinds):
        if kinds[name] == {"array"}:
            if items[name] <= {"text"}:
                found[name] = "list<string>"
            elif inner_type := _ARROW.get(frozenset(items[name])):
                found[name] = f"list<{inner_type}>"
        elif whole := _ARROW.get(frozenset(kinds[name])):
            found[name] = whole
    return found


def _kind(kind: str, held_as: str) -> str:
    """SQLite's name for a JSON value; integers beyond 64 bits, which it holds as real, are huge."""
    return "huge" if kind == "integer" and held_as != "integer" else kind
