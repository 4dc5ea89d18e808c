"""What a model is asked in a bulk job, record by record; `prompts.render` does the rendering."""

import re
from collections.abc import Sequence
from dataclasses import replace

from qeu.core.contract import Check
from qeu.core.errors import QeuError
from qeu.core.job_spec import JobSpec
from qeu.core.prompts import Message, Prompt, Segment, render
from qeu.core.record import Record
from qeu.core.roles import ROLES, Role
from qeu.core.translate_prompts import ask_translation

HINT = "The right answer, for your eyes only; think of what leads to it, and do not give it away:"
VIEW = "Think the way this person does:"
RETRY = "Your last text broke these rules: {rules} Write it again so that it holds them."
_PLACES = re.compile(r"\{(instruction|input|reasoning|output|question|view|category|language)\}")


def job_role(spec: JobSpec, feedback: str = "") -> Role:
    """The role's text with the view behind it, and what was wrong with the last text."""
    parts = [spec.role_text or ROLES[spec.role].text]
    if spec.view:
        parts.append(f"{VIEW}\n{spec.view}")
    if feedback:
        parts.append(feedback)
    return Role(spec.role, "\n\n".join(parts))


def job_prompt(spec: JobSpec, record: Record, layout: str, feedback: str = "") -> Prompt:
    """The prompt for one record; raises QeuError where the record lacks what the job needs.

    `layout` is the one that the model is asked in.
    """
    if spec.target == "translation":
        text = str(getattr(record, spec.text_field)).strip()
        if not text:
            raise QeuError(f"The record has no {spec.text_field} to translate.")
        return ask_translation(text, record.language, spec.to_language, layout)
    if spec.target == "template":
        return _template_prompt(spec, record, layout, feedback)
    if spec.hinted:
        record = hinted(record)
    if spec.target == "answer" and not spec.use_reasoning:
        record = replace(record, reasoning="")
    role = job_role(spec, feedback)
    # in the logician's way of asking, an edited wording must speak whatever the role is
    return render(record, layout, role, spec.target, logician=role).prompt


def hinted(record: Record) -> Record:
    """The record with its answer shown behind the question, for a teacher only."""
    answer = record.output.strip()
    if not answer:
        raise QeuError("The record has no answer to write a reasoning from (hinted).")
    shown = f"{HINT}\n{answer}"
    return replace(record, input=f"{record.input.strip()}\n\n{shown}".strip())


def retry_feedback(broken: Sequence[Check]) -> str:
    """What a model is told of its last text: which rule broke, and where."""
    rules = []
    for check in broken:
        where = ", ".join(f'"{span.note}"' for span in check.spans[:2])
        rules.append(check.message + (f" ({where})" if where else ""))
    return RETRY.format(rules=" ".join(rules)) if rules else ""


def _template_prompt(spec: JobSpec, record: Record, layout: str, feedback: str) -> Prompt:
    """A free prompt: its words as the task, the record's values in their places."""
    values = {
        "instruction": record.instruction,
        "input": record.input,
        "reasoning": record.reasoning,
        "output": record.output,
        "question": record.question,
        "view": spec.view,
        "category": record.category,
        "language": record.language,
    }
    segments: list[Segment] = []
    at = 0
    for place in _PLACES.finditer(spec.template):
        segments.append(Segment("task", spec.template[at : place.start()]))
        name = place[1] if place[1] in ("instruction", "input", "reasoning", "output") else "input"
        segments.append(Segment(name, values[place[1]].strip()))
        at = place.end()
    segments.append(Segment("task", spec.template[at:]))
    role = job_role(replace(spec, view="") if "{view}" in spec.template else spec, feedback)
    if layout == "chat":
        messages = (
            Message("system", (Segment("system", role.text),)),
            Message("user", tuple(s for s in segments if s.text)),
        )
        return Prompt("chat", "answer", messages=messages)
    asked = "".join(segment.text for segment in segments)
    return render(Record(instruction=asked), layout, role, "answer").prompt
