"""Change several fields of one record as one step, unless somebody else changed it meanwhile."""

from collections.abc import Mapping

from qeu.core.errors import QeuError
from qeu.store.changes import Also, change_records, check_value, edit_record
from qeu.store.datasets import Dataset
from qeu.store.filters import Filter
from qeu.store.queries import get_record
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace


class EditConflict(QeuError):
    """Somebody else changed the record since it was read; nothing of this edit was stored."""


def edit_fields(
    workspace: Workspace,
    dataset: Dataset,
    number: int,
    version: int,
    values: Mapping[str, str],
    actor: str = "user",
    about: Mapping[str, object] | None = None,
    also: Also = lambda workspace, event: None,
) -> StoredRecord:
    """Set these fields of the record that was seen at `version`; the record as it is now.

    `about` joins the event: who wrote the texts, under which licence; what `also` stores is kept
    with the change or not at all. Raises EditConflict where
    the record has another version by now, QeuError for a value that cannot be.
    """
    seen = get_record(workspace, dataset, number)
    _refuse_other(seen, version)
    checked = {field: check_value(field, text) for field, text in values.items()}
    new = {field: text for field, text in checked.items() if text != seen.value(field)}
    if not new:
        also(workspace, 0)
        return seen
    if len(new) == 1:
        [(field, text)] = new.items()
        return edit_record(
            workspace, dataset, number, version, field, text,
            actor=actor, about=about, also=also,
        )  # fmt: skip

    def make(stored: StoredRecord) -> Mapping[str, str]:
        _refuse_other(stored, version)  # within the transaction: nobody comes in between
        return new

    before = {field: seen.value(field) for field in new}
    change_records(
        workspace, dataset, make, Filter(ids=(number,)),
        what="The edit", kind="edit", actor=actor, also=also,
        data={
            **(about or {}), "field": ", ".join(new), "before": before, "after": new,
            "record": number,
        },
    )  # fmt: skip
    return get_record(workspace, dataset, number)


def _refuse_other(stored: StoredRecord, version: int) -> None:
    if stored.version != version:
        raise EditConflict(
            f"Record {stored.record.seq or stored.id} was changed by somebody else while you were "
            "editing; yours was not stored. Compare the two before you store yours."
        )
