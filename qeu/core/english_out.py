"""Japanese (or Chinese) in, English out: what a record becomes, and whether it has become that."""

from collections.abc import Mapping
from dataclasses import replace

from qeu.core.language import identify
from qeu.core.record import Record

# Said in English where the whole question stood in the instruction; the question becomes the input.
INSTRUCTIONS: Mapping[str, str] = {
    "creative": "Fulfil the following request. Write in English.",
    "summarization": "Do what the following text asks and summarize in English.",
}
STEPS = ("instruction", "input", "output")
DEFAULT_INSTRUCTION = "Answer the following question in English."


def turn_to_english(
    record: Record, output: str = "", instructions: Mapping[str, str] = INSTRUCTIONS
) -> Record:
    """The record with an English instruction, its content as it is, and the English `output`.

    `instructions` holds translations by the instruction's own text, then wordings by category.
    Without an `output` the present one stays, to be translated. English records are left alone.
    """
    if record.language in ("en", "und"):
        return record
    translated = instructions.get(record.instruction.strip())
    if identify(record.instruction) == ("en", True):
        instruction, content = record.instruction, record.input
    elif record.input.strip():
        wording = instructions.get(record.category, DEFAULT_INSTRUCTION)
        # without a translation the instruction is content too: nothing of it is lost
        instruction = translated or wording
        content = record.input if translated else f"{record.instruction}\n\n{record.input}"
    else:
        instruction = instructions.get(record.category, DEFAULT_INSTRUCTION)
        content = record.instruction
    return replace(record, instruction=instruction, input=content, output=output or record.output)


def missing_steps(record: Record) -> list[str]:
    """Fields not yet in the form: "instruction" or "output" no English, "input" not its own."""
    if record.language in ("en", "und"):
        return []
    missing = []
    if identify(record.instruction)[0] != "en":
        missing.append("instruction")
    if identify(record.input)[0] not in (record.language, "und") or not record.input.strip():
        missing.append("input")
    if identify(record.output)[0] != "en":
        missing.append("output")
    return missing
