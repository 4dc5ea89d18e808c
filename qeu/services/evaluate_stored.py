"""Evaluations as they are kept: whole in the workspace, their figures with an adapter."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from qeu.backends.adapter_files import list_adapters
from qeu.core.errors import QeuError
from qeu.core.eval_spec import EvalSpec
from qeu.core.paired import Comparison
from qeu.core.record import Record
from qeu.services.adapter_card import EVALUATION
from qeu.services.evaluate_result import (
    Average,
    EvalText,
    Evaluation,
    PairSummary,
    WayFacts,
    WaySummary,
)

_MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation to be shown, from the workspace or with an adapter.

    `records` is how many were asked. `adapter` names the one that it came with; its records and
    texts are not there then. `number` is its place in the workspace.
    """

    evaluation: Evaluation
    records: int
    notes: tuple[str, ...]
    at: str = ""
    adapter: str = ""
    number: int = 0


def evaluation_to_json(evaluation: Evaluation) -> dict[str, object]:
    """All of it, the asked records and every text too."""
    texts = [text.to_json() for text in evaluation.texts]
    asked = [record.to_json() for record in evaluation.records]
    return evaluation.to_json() | {"asked": asked, "texts": texts}


def evaluation_from_json(data: Mapping[str, object]) -> Evaluation:
    """The evaluation again, without records and texts where only its figures were kept.

    Raises QeuError where it is of another version.
    """
    try:
        return Evaluation(
            EvalSpec.from_json(_mapping(data["spec"])),
            tuple(Record.from_json(one) for one in _list(data.get("asked", []))),
            int(data["matching"]),  # type: ignore[call-overload]
            tuple(map(_way, _list(data["ways"]))),
            tuple(map(_pair, _list(data["pairs"]))),
            tuple(EvalText(**_known(EvalText, one)) for one in _list(data.get("texts", []))),  # type: ignore[arg-type]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QeuError(
            "A kept evaluation is of another version and cannot be shown. Evaluate again: "
            "texts that were written are kept."
        ) from error


def list_shipped(adapters: Path) -> list[KeptEvaluation]:
    """The evaluations that came with adapters and are of the weights that are there now."""
    found = []
    for adapter in list_adapters(adapters):
        data = _read_shipped(adapter.path / EVALUATION)
        if data is None:
            continue
        try:
            if data.get("adapter_hash") != adapter.hash:
                continue
            inner = _mapping(data["evaluation"])
            evaluation = evaluation_from_json(inner)
            count = int(inner["records"])  # type: ignore[call-overload]
            notes = tuple(map(str, _list(inner["notes"])))
        except (QeuError, OSError, KeyError, TypeError, ValueError):
            continue  # deleted at this moment, or another version's: its card tells the figures
        found.append(KeptEvaluation(evaluation, count, notes, adapter=adapter.name))
    return found


def _read_shipped(path: Path) -> Mapping[str, object] | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _way(data: object) -> WaySummary:
    way = _mapping(data)
    averages = {
        name: Average(**_known(Average, one)) for name, one in _mapping(way["averages"]).items()
    }  # type: ignore[arg-type]
    failed = {str(why): int(count) for why, count in _mapping(way["failed"]).items()}  # type: ignore[call-overload]
    return WaySummary(WayFacts(**_known(WayFacts, way)), averages, failed)  # type: ignore[arg-type]


def _pair(data: object) -> PairSummary:
    values = _known(PairSummary, data)
    compared = _mapping(values["comparisons"])
    values["comparisons"] = {name: _comparison(one) for name, one in compared.items()}
    if values.get("decided") is not None:
        values["decided"] = _comparison(values["decided"])
    values["trainings"] = tuple(_list(values.get("trainings", [])))
    if values.get("over_trainings") is not None:
        values["over_trainings"] = tuple(_list(values["over_trainings"]))
    return PairSummary(**values)  # type: ignore[arg-type]


def _comparison(data: object) -> Comparison:
    return Comparison(**_known(Comparison, data))  # type: ignore[arg-type]


def _known(cls: type, data: object) -> dict[str, object]:
    names = {f.name for f in fields(cls)}
    return {name: value for name, value in _mapping(data).items() if name in names}


def _mapping(data: object) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise TypeError("not an object")
    return data


def _list(data: object) -> Sequence[object]:
    if not isinstance(data, list | tuple):
        raise TypeError("not a list")
    return data
