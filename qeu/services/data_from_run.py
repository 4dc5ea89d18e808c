"""Put what a model wrote in a comparison into a data set, each field with who wrote it."""

import hashlib
from collections.abc import Mapping

from qeu.backends.catalog import find_model
from qeu.core.errors import QeuError
from qeu.core.generation import Generation
from qeu.core.language import identify
from qeu.core.record import Record
from qeu.core.votes import Vote
from qeu.services.runs import Live
from qeu.store.changes import change_records
from qeu.store.datasets import Dataset, find_dataset, list_datasets
from qeu.store.filters import Filter
from qeu.store.imports import Added, add_records, rows_of
from qeu.store.queries import find_by_seq
from qeu.store.records import StoredRecord
from qeu.store.workspace import Workspace, dump_json


def add_run(
    workspace: Workspace, name: str, live: Live, actor: str = "user", vote: Vote | None = None
) -> tuple[Dataset, StoredRecord]:
    """Add one side of a run to the data set `name`, which is made where it is missing.

    The question is a person's; what the model wrote follows as a second step, so that the origin
    of every field is told apart. `vote` is the one that this side won: it becomes part of the
    origin. Raises QeuError where there is nothing to keep.
    """
    generation = live.generation
    if generation is None:
        raise QeuError("This side has not finished. Wait for it, or stop it first.")
    written = _written(live, generation)
    if not any(text.strip() for text in written.values()):
        raise QeuError("This side wrote nothing that could be kept. Run it again, or the other.")
    asked = live.ask.record
    language = identify(asked.question[:200])[0]
    number = _next_number(workspace, name)
    seq = f"{number}{language.upper() if language != 'und' else ''}"
    given = {
        "reasoning": asked.reasoning if live.ask.use_reasoning else "",
        "output": asked.output,
    }
    bare = Record(
        instruction=asked.instruction,
        input=asked.input,
        **{field: "" if field in written else text for field, text in given.items()},
        seq=seq,
        no=number,
        category=asked.category,
        language=language,
    )
    about = _about(live, generation) | (_won(vote) if vote else {})
    row = {**bare.to_json(), "extra": {}}

    def tell(added: Added) -> Mapping[str, object]:
        return {
            "file": f"comparison of {about['model']}",
            "sha256": hashlib.sha256(dump_json(row).encode()).hexdigest(),
            "licence": "",
            "imported": added.imported,
            "unchanged": added.unchanged,
            "rejected": [],
        }

    add_records(workspace, name, rows_of([row]), tell, actor=actor)
    dataset = find_dataset(workspace, name)
    stored = find_by_seq(workspace, dataset, seq)[-1]
    change_records(
        workspace, dataset, lambda _: written, Filter(ids=(stored.id,)),
        what="The new record", kind="generate", data=about, actor=actor,
    )  # fmt: skip
    return dataset, find_by_seq(workspace, dataset, seq)[-1]


def _written(live: Live, generation: Generation) -> dict[str, str]:
    """The fields that the model wrote, by the target it was asked for."""
    if live.ask.target == "answer":
        return {"output": generation.answer}
    found = {"reasoning": generation.reasoning}
    return found | ({"output": generation.answer} if live.ask.target == "both" else {})


def _about(live: Live, generation: Generation) -> dict[str, object]:
    ask = live.ask
    try:
        licence = find_model(ask.model_name, local_paths=False).licence
    except QeuError:
        licence = "unknown"
    return {
        "key": "",
        "attempt": 1,
        "model": generation.model + (f"@{generation.adapter}" if generation.adapter else ""),
        "revision": generation.revision,
        "adapter_hash": generation.adapter_hash,
        "target": ask.target,
        "layout": generation.layout,
        "role": ask.role.id,
        "seed": generation.seed,
        "sampling": ask.sampling.to_json(),
        "finish_reason": generation.finish_reason,
        "text": generation.text,
        "error": generation.error,
        "licence": licence,
        # the reference answer is never shown to a model
        "hinted": False,
        "source": "compare",
    }


def _won(vote: Vote) -> dict[str, object]:
    """What a vote tells of the text that it prefers: over whose, in which run, and how."""
    return {
        "source": "vote",
        "vote": vote.run,
        "against": vote.right if vote.better == "left" else vote.left,
        "blind": vote.blind,
        "note": vote.note,
    }


def _next_number(workspace: Workspace, name: str) -> int:
    known = {dataset.name.casefold(): dataset for dataset in list_datasets(workspace)}
    dataset = known.get(name.strip().casefold())
    if dataset is None:
        return 1
    rows = workspace.read("SELECT max(seq_number) FROM records WHERE dataset = ?", (dataset.id,))
    return max(0, rows[0][0] or 0) + 1
