"""Move a data set to "Japanese in, English out"; outputs come from a bulk job, made elsewhere."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qeu.core.english_out import INSTRUCTIONS, STEPS, missing_steps, turn_to_english
from qeu.core.errors import QeuError
from qeu.services.data_preview import Preview, preview_change
from qeu.store.changes import Applied, Make, Progress, change_records
from qeu.store.datasets import Dataset, Stopped
from qeu.store.files import inspect_file, open_rows
from qeu.store.filters import ALL, Filter
from qeu.store.matching import matching_ids
from qeu.store.queries import find_by_seq, iterate_records
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace

_QUEUE = "english"
# Rows of a file between two looks at whether it should go on.
_TOGETHER = 200


@dataclass
class EnglishReport:
    """Which of the `checked` records (all in another language) lack which step; `complete` none.

    `seqs` {"instruction", "input" or "output": seqs}: no English, or the content not in its own.
    """

    checked: int = 0
    complete: int = 0
    seqs: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        counts = {name: len(self.seqs.get(name, ())) for name in STEPS}
        return {
            "checked": self.checked,
            "complete": self.complete,
            "missing": counts,
            "seqs": self.seqs,
        }


def check_english_out(
    workspace: Workspace,
    dataset: Dataset,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> EnglishReport:
    """What the matching records still lack to be in the form; English ones are not counted."""
    report = EnglishReport()
    ids = matching_ids(workspace, dataset, where)
    done = 0
    for batch in iterate_records(workspace, ids):
        if stop and stop.is_set():
            raise Stopped("The check")
        for stored in batch:
            if stored.record.language in ("en", "und"):
                continue
            missing = missing_steps(stored.record)
            report.checked += 1
            report.complete += not missing
            for name in missing:
                report.seqs.setdefault(name, []).append(stored.record.seq)
        done += len(batch)
        progress(done, len(ids))
    report.seqs = {name: report.seqs[name] for name in STEPS if name in report.seqs}
    return report


def read_outputs(
    workspace: Workspace,
    dataset: Dataset,
    path: Path,
    progress: Progress = lambda done, total: None,
) -> dict[int, str]:
    """{record id: answer} from a file whose rows hold `seq` and `output`.

    Raises QeuError for a row without them, or a seq that is not exactly one record's.
    """
    outputs = {}
    with open_rows(inspect_file(path)) as rows:
        for number, row in rows:
            values = row if isinstance(row, dict) else {}
            seq, output = values.get("seq"), values.get("output")
            if not isinstance(seq, str) or not isinstance(output, str) or not output.strip():
                raise QeuError(f"{path.name}, row {number}: expected texts named seq and output.")
            found = find_by_seq(workspace, dataset, seq.strip())
            if len(found) != 1:
                raise QeuError(
                    f"{path.name}, row {number}: {len(found)} records of {dataset.name!r} have "
                    f"the seq {seq!r}; expected one."
                )
            outputs[found[0].id] = output
            if number % _TOGETHER == 0:
                progress(number, 0)
    return outputs


def preview_english_out(
    workspace: Workspace,
    dataset: Dataset,
    outputs: Mapping[int, str],
    instructions: Mapping[str, str] = INSTRUCTIONS,
    where: Filter = ALL,
    progress: Progress = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Preview:
    """What would change; `outputs` {record id: English answer} as far as they are there."""
    make = _maker(outputs, instructions)
    return preview_change(workspace, dataset, make, where, progress, stop)


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
