"""Label a data set by heuristics, or with labels that a model gave; unsure ones queue.

The queue is the filter `review`: a record stays in it until somebody sets the field by hand or
accepts the record.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.labels import LABELS, SURE, Label, label_record
from qeu.services.data_preview import Preview, preview_change
from qeu.store.changes import Applied, Make, Progress, change_records
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class Given:
    """Labels that a model gave the record that had `version`; for another they do not count."""

    version: int
    labels: Mapping[str, Label]


@dataclass(frozen=True)
class LabelOptions:
    """Which `fields` to label; unsure ones are set too, and queued, unless `keep_unsure`.

    `given` {record id: labels} are a model's, in place of the heuristics (`model` names it); what
    is not among them stays as it is. `sure` is the confidence below which a person looks.
    """

    fields: tuple[str, ...] = LABELS
    sure: float = SURE
    keep_unsure: bool = False
    given: Mapping[int, Given] | None = None
    model: str = ""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.fields if name not in LABELS]:
            raise QeuError(f"Cannot label {unknown[0]!r}. Choose among: {', '.join(LABELS)}.")


def preview_labels(
    workspace: Workspace,
    dataset: Dataset,
    options: LabelOptions | None = None,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Preview:
    """What labelling would change."""
    return preview_change(
        workspace, dataset, _maker(options or LabelOptions()), where, progress, stop
    )


def run_labels(
    workspace: Workspace,
    dataset: Dataset,
    options: LabelOptions | None = None,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Applied:
    """Set the labels and the queue in one change."""
    options = options or LabelOptions()
    by = options.model or "heuristics"
    rule = {"do": "label", "fields": list(options.fields), "by": by, "sure": options.sure}
    data = {"rules": [rule], "model": options.model, "where": where.to_json()}
    return change_records(
        workspace, dataset, _maker(options), where,
        what="Labelling", data=data, progress=progress, stop=stop,
    )  # fmt: skip


def _maker(options: LabelOptions) -> Make:
    def make(stored: StoredRecord) -> dict[str, str] | None:
        if options.given is None:
            labels: Mapping[str, Label] = label_record(stored.record, options.fields)
        else:
            given = options.given.get(stored.id)
            if given is None or given.version != stored.version:
                return None
            labels = {n: label for n, label in given.labels.items() if n in options.fields}
        unsure = sorted(name for name, label in labels.items() if label.confidence < options.sure)
        new = {
            name: label.value
            for name, label in labels.items()
            if not (options.keep_unsure and name in unsure)
        }
        others = [n for n in stored.review.split(",") if n and n not in options.fields]
        return new | {"review": ",".join(sorted({*others, *unsure}))}

    return make
