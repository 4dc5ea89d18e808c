"""Label a data set: by heuristics, or by a model that scores the allowed labels; unsure ones queue.

The queue is the filter `review`: a record stays in it until somebody sets the field by hand or
accepts the record.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qeu.core.errors import QeuError
from qeu.core.labels import LABELS, SURE, Label, label_record
from qeu.core.record import CATEGORIES, LANGUAGES, UNIQUENESS, Record
from qeu.services.data_preview import Preview, preview_change
from qeu.store.changes import Applied, Make, Progress, change_records
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

# Log-probability of each allowed label, given record and field; a model that is fit for it.
Score = Callable[[Record, str, Sequence[str]], Mapping[str, float]]
FIELD_NAMES = ("computing", "mathematics", "science", "history", "geography", "health", "business",
               "food", "arts", "sports", "language", "other")  # fmt: skip
ALLOWED: Mapping[str, Sequence[str]] = {
    "language": LANGUAGES,
    "category": CATEGORIES,
    "uniqueness": UNIQUENESS,
    "field": FIELD_NAMES,
}


@dataclass(frozen=True)
class LabelOptions:
    """Which `fields` to label; unsure ones are set too, and queued, unless `keep_unsure`.

    `score` asks a model instead of the heuristics (`model` names it); `sure` is the confidence
    below which a person looks.
    """

    fields: tuple[str, ...] = LABELS
    sure: float = SURE
    keep_unsure: bool = False
    score: Score | None = None
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


def score_labels(record: Record, fields: Sequence[str], score: Score) -> dict[str, Label]:
    """The most probable label of each field; confidence is its share among the allowed ones."""
    found = {}
    for field in fields:
        scores = dict(score(record, field, ALLOWED[field]))
        best = max(scores, key=lambda name: scores[name])
        share = 1 / sum(math.exp(value - scores[best]) for value in scores.values())
        found[field] = Label(best, share, "log-probability")
    return found


def _maker(options: LabelOptions) -> Make:
    def make(stored: StoredRecord) -> dict[str, str]:
        if options.score:
            labels = score_labels(stored.record, options.fields, options.score)
        else:
            labels = label_record(stored.record, options.fields)
        unsure = sorted(name for name, label in labels.items() if label.confidence < options.sure)
        new = {
            name: label.value
            for name, label in labels.items()
            if not (options.keep_unsure and name in unsure)
        }
        others = [n for n in stored.review.split(",") if n and n not in options.fields]
        return new | {"review": ",".join(sorted({*others, *unsure}))}

    return make
