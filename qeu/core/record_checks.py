"""Checks of a whole record: the contract of its reasoning, and faults that data sets have.

The contract itself is `contract.py`; here are those that need question, output and labels.
"""

import re
from dataclasses import dataclass

from qeu.core.arithmetic import check_answer_of_sum, find_wrong_sums
from qeu.core.contract import Check, check_answer, check_reasoning
from qeu.core.language import identify
from qeu.core.record import Record
from qeu.core.text import fold

CHECKS = (
    *("lines", "length", "form", "language", "loop", "leak_reference", "leak_commit"),
    *("empty_output", "output_equals_input", "truncated", "wrong_language", "wrong_sum"),
    "near_duplicate",
)
_OPEN_END = re.compile(r"(?:[,、，:;([{「『（“-]|\b(?:and|or|the|a|an|of|to|with|because))\s*\Z")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’」』）)\]*_`]*\s")
_LIST_LINE = re.compile(r"\s*(?:[-*•・]|\(?\d{1,3}[.)、：:])")
_WORD_END = re.compile(r"\w\Z")
_LONG = 60


@dataclass(frozen=True)
class Finding:
    """One fault: of which check, in which field, where ([start, end) each), in one sentence."""

    name: str
    place: str
    spans: tuple[tuple[int, int], ...]
    message: str


def check_record(
    record: Record, reasoning_language: str = "", output_language: str = ""
) -> list[Finding]:
    """All faults of a record but near-duplicates, which need the others.

    `reasoning_language` "" accepts any; `output_language` "" expects the record's own, except of
    translations, and English where an English instruction stands over Japanese or Chinese content.
    """
    found = []
    if record.reasoning.strip():
        checks = check_reasoning(
            record.reasoning,
            category=record.category,
            question=record.question,
            reference=record.output,
            expected_language=reasoning_language or None,
        )
        found += [_from(check, "reasoning") for check in checks if check.verdict == "fail"]
    return found + _check_output(record, output_language)


def _check_output(record: Record, output_language: str) -> list[Finding]:
    output = record.output
    if not output.strip():
        return [Finding("empty_output", "output", (), "There is no answer.")]
    whole = ((0, len(output)),)
    found = []
    if len(output.strip()) > 3 and fold(output.strip()) in (
        fold(record.input.strip()),
        fold(record.instruction.strip()),
    ):
        found.append(
            Finding("output_equals_input", "output", whole, "The answer repeats the question.")
        )
    if span := _cut_off(output):
        found.append(Finding("truncated", "output", (span,), "The answer ends in mid-sentence."))
    expected = output_language or _language_of_answer(record)
    judged = expected != "und" and (
        output_language or record.category not in ("translation", "code")
    )
    for check in check_answer(output, expected_language=expected if judged else None):
        if check.verdict == "fail":
            name = "wrong_language" if check.name == "language" else check.name
            found.append(_from(check, "output", name))
    sums = find_wrong_sums(output)
    if not sums and (one := check_answer_of_sum(record.question, output)):
        sums = [one]
    if sums:
        told = "; ".join(f"{s.stated} stands where {s.right} comes out" for s in sums[:3])
        spans = tuple((s.start, s.end) for s in sums)
        found.append(Finding("wrong_sum", "output", spans, f"A sum is wrong: {told}."))
    return found


def _language_of_answer(record: Record) -> str:
    """English where the instruction is in English (the form of english_out.py), else its own."""
    foreign = record.language in ("ja", "zh") and record.input.strip()
    return "en" if foreign and identify(record.instruction)[0] == "en" else record.language


def _cut_off(output: str) -> tuple[int, int] | None:
    """The last stretch of an answer that breaks off: an open end, or running prose without one."""
    text = output.rstrip()
    last = text.rsplit("\n", 1)[-1]
    start = len(text) - len(last)
    if len(text) < _LONG or _LIST_LINE.match(last):
        return None
    if text.count("```") % 2:
        return start, len(text)
    if _OPEN_END.search(last) and not last.endswith(("--", "---", ":-")):
        return start, len(text)
    prose = len(last) >= _LONG // (1 if last.isascii() else 2)
    if prose and _WORD_END.search(last) and len(_SENTENCE_END.findall(text)) >= 2:
        return start, len(text)
    return None


def _from(check: Check, place: str, name: str = "") -> Finding:
    spans = tuple((span.start, span.end) for span in check.spans)
    return Finding(name or check.name, place, spans, check.message)
