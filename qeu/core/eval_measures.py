"""What is measured on one text of an evaluation: a yes is 1, a no 0, None what cannot be told."""

from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.chrf import chrf
from qeu.core.contract import CREATIVE_CATEGORIES, check_answer, check_reasoning
from qeu.core.exact_match import is_right
from qeu.core.generation import Generation
from qeu.core.language import identify
from qeu.core.record import Record


@dataclass(frozen=True)
class Measure:
    """A measure: shares are of texts for which it could be told.

    `better` 1: more is better, -1: less is, 0: neither. `digits` behind the point in tables.
    """

    name: str
    label: str
    is_share: bool
    better: int
    unit: str = ""
    digits: int = 3


MEASURES: tuple[Measure, ...] = (
    Measure("right", "answers that are right (checkable ones)", True, 1),
    Measure("answer_loss", "loss on the reference answer", False, -1, "nats a token"),
    Measure("reasoning_loss", "loss on the reference reasoning", False, -1, "nats a token"),
    Measure("useful", "usefulness of the reasoning", False, 1, "nats a token"),
    Measure("gain", "gain over no reasoning", False, 1, "nats a token"),
    Measure("reference", "agreement with the reference (chrF)", False, 1, "0 to 1"),
    Measure("contract", "reasonings that keep the contract", True, 1),
    Measure("contract_creative", "creative reasonings that keep the contract", True, 1),
    Measure("leak_reference", "reasonings that state the reference", True, -1),
    Measure("leak_commit", "reasonings that commit to an answer", True, -1),
    Measure("language", "answers in the language of the reference", True, 1),
    Measure("loop", "texts that run into a loop", True, -1),
    Measure("closed", "texts that come to an end with an answer", True, 1),
    Measure("length", "length of the text", False, 0, "tokens", 0),
    Measure("tokens_per_s", "speed", False, 0, "tokens/s", 1),
)
BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}
Values = dict[str, float | None]


def measure_text(
    record: Record, reasoning: str, answer: str, last: Generation, *, writes_reasoning: bool
) -> Values:
    """All but the losses, of one text; `reasoning` counts only where the way wrote it itself.

    `last` is the generation that the answer comes from.
    """
    values: Values = {
        "right": _number(is_right(answer, record)),
        "reference": chrf(answer, record.output) if record.output.strip() else None,
        "language": _language(answer, record),
        "closed": float(
            bool(answer)
            and last.finish_reason == "stop"
            and bool(reasoning or not writes_reasoning)
        ),
        "length": float(last.new_tokens),
        "tokens_per_s": last.tokens_per_s or None,
    }
    texts = (reasoning, answer) if writes_reasoning else (answer,)
    looping = any(_verdicts_of(text).get("loop") == "fail" for text in texts)
    values["loop"] = float(looping or last.finish_reason == "loop")
    return values | (_of_reasoning(record, reasoning) if writes_reasoning else {})


def measure_leaks(record: Record, reasoning: str) -> Values:
    """Both leaks of a reasoning that was given, as they are told of one that was written."""
    found = _of_reasoning(record, reasoning)
    return {name: found[name] for name in ("leak_reference", "leak_commit")}


def _of_reasoning(record: Record, reasoning: str) -> Values:
    verdicts = {
        check.name: check.verdict
        for check in check_reasoning(
            reasoning,
            category=record.category,
            question=record.question,
            reference=record.output,
        )
    }
    keeps = float("fail" not in verdicts.values())
    return {
        "contract": keeps,
        "contract_creative": keeps if record.category in CREATIVE_CATEGORIES else None,
        "leak_reference": _failing(verdicts["leak_reference"]),
        "leak_commit": _failing(verdicts["leak_commit"]),
    }


def _failing(verdict: str) -> float | None:
    """1 for a leak, 0 for none; None where there was no text, or only a part could be compared."""
    return {"fail": 1.0, "pass": 0.0}.get(verdict)


def _verdicts_of(answer: str, language: str | None = None) -> dict[str, str]:
    found = check_answer(answer, expected_language=language)
    return {check.name: check.verdict for check in found}


def _language(answer: str, record: Record) -> float | None:
    language, certain = identify(record.output)
    if not certain:
        return None
    if not answer.strip():
        return None  # that there is none is told by `closed`
    verdict = _verdicts_of(answer, language)["language"]
    return {"pass": 1.0, "fail": 0.0}.get(verdict)


def _number(value: bool | None) -> float | None:
    return None if value is None else float(value)
