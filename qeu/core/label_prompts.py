"""What a model is asked when it labels a record, and the words that stand for each label.

The same question about a record without content tells what the model would say anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.labels import ALLOWED
from qeu.core.prompts import Message, Prompt, Segment
from qeu.core.record import Record

# Characters of question and answer that the model reads: a label is told by their beginning, and
# with Japanese at three tokens a character they must fit the 2,048 tokens of Phi-2.
MOST_QUESTION, MOST_ANSWER = 400, 150
# Calibrate Before Use (Zhao et al., 2021) takes such texts for "no content".
CONTENT_FREE = Record("N/A", output="N/A")
_WORDS: Mapping[str, Mapping[str, str]] = {
    "language": {"en": "English", "ja": "Japanese", "zh": "Chinese", "und": "another language"},
    "category": {
        "open_qa": "general question",
        "closed_qa": "question about a given text",
        "creative": "creative writing",
        "brainstorming": "list of ideas",
        "math": "mathematics",
        "code": "programming",
    },
    "uniqueness": {"simple": "one right answer", "complex": "many good answers"},
}
_ASK: Mapping[str, tuple[str, str]] = {
    "language": ("In which language is the question?", "Language:"),
    "category": ("What kind of task is this?", "Kind:"),
    "uniqueness": ("Does the question have one right answer or many good answers?", "It has"),
    "field": ("Which subject is the question about?", "Subject:"),
}


@dataclass(frozen=True)
class LabelQuestion:
    """A prompt, and for each allowed label the text whose probability behind it counts."""

    prompt: Prompt
    choices: Mapping[str, str]


def ask_label(record: Record, field: str, layout: str) -> LabelQuestion:
    """The question for one field; as a chat, or as plain text for models that know no chat."""
    words = {name: _WORDS.get(field, {}).get(name, name) for name in ALLOWED[field]}
    question, lead = _ASK[field]
    texts = [f"Question: {record.question[:MOST_QUESTION]}"]
    if field in ("uniqueness", "category") and record.output.strip():
        texts.append(f"Answer: {record.output.strip()[:MOST_ANSWER]}")
    asked = f"{question} Choose one of: {', '.join(words.values())}."
    text = "\n\n".join([*texts, asked])
    choices = {name: f" {word}" for name, word in words.items()}
    if layout == "chat":
        turn = Message("user", (Segment("task", text),))
        return LabelQuestion(Prompt("chat", "both", messages=(turn,), prefill=lead), choices)
    segments = (Segment("task", f"{text}\n{lead}"),)
    return LabelQuestion(Prompt("bonsai-v2", "answer", segments=segments), choices)
