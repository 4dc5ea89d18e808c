"""Move a data set to "Japanese in, English out"; outputs come from a bulk job, made elsewhere."""

import threading
from collections.abc import Mapping

from qeu.core.english_out import INSTRUCTIONS, missing_steps, turn_to_english
from qeu.services.data_preview import Preview, preview_change
from qeu.store.changes import Applied, Make, Progress, change_records
from qeu.store.datasets import Dataset
from qeu.store.filters import ALL, Filter
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

_QUEUE = "english"


def preview_english_out(
    workspace: Workspace,
    dataset: Dataset,
    outputs: Mapping[int, str],
    instructions: Mapping[str, str] = INSTRUCTIONS,
    where: Filter = ALL,
) -> Preview:
    """What would change; `outputs` {record id: English answer} as far as they are there."""
    return preview_change(workspace, dataset, _maker(outputs, instructions), where)


def run_english_out(
    workspace: Workspace,
    dataset: Dataset,
    outputs: Mapping[int, str],
    instructions: Mapping[str, str] = INSTRUCTIONS,
    where: Filter = ALL,
    model: str = "",
    licence: str = "",
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Applied:
    """Change the records as one step; what is still missing is queued under `review` "english".

    `model` and `licence` say who wrote the outputs.
    """
    rule = {"do": "english out", "instructions": dict(instructions)}
    data = {"rules": [rule], "model": model, "licence": licence, "where": where.to_json()}
    return change_records(
        workspace, dataset, _maker(outputs, instructions), where,
        what="The change to English answers", data=data, progress=progress, stop=stop,
    )  # fmt: skip


def _maker(outputs: Mapping[int, str], instructions: Mapping[str, str]) -> Make:
    def make(stored: StoredRecord) -> dict[str, str]:
        record = turn_to_english(stored.record, outputs.get(stored.id, ""), instructions)
        others = [name for name in stored.review.split(",") if name and name != _QUEUE]
        queue = [*others, _QUEUE] if missing_steps(record) else others
        return {
            "instruction": record.instruction,
            "input": record.input,
            "output": record.output,
            "review": ",".join(sorted(queue)),
        }

    return make
