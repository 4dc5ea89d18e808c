"""Label records by plain heuristics that say how sure they are; no model.

Language by script, category and field by the words of the question, uniqueness by category and
form of the answer. A label below SURE is for a person to look at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.label_words import CATEGORY_WORDS, FIELD_WORDS, ONE_ANSWER, OPEN
from qeu.core.language import identify
from qeu.core.record import CATEGORIES, LANGUAGES, UNIQUENESS, Record

SURE = 0.6
LABELS = ("language", "category", "uniqueness", "field")
FIELD_NAMES = ("computing", "mathematics", "science", "history", "geography", "health", "business",
               "food", "arts", "sports", "language", "other")  # fmt: skip
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "language": LANGUAGES,
    "category": CATEGORIES,
    "uniqueness": UNIQUENESS,
    "field": FIELD_NAMES,
}


@dataclass(frozen=True)
class Label:
    """A proposed value, how sure from 0 to 1, and the words or rule that speak for it."""

    value: str
    confidence: float
    why: str


_ALWAYS: Mapping[str, str] = {"creative": "complex", "brainstorming": "complex", "math": "simple",
                              "classification": "simple"}  # fmt: skip


def label_record(record: Record, wanted: tuple[str, ...] = LABELS) -> dict[str, Label]:
    """A label for each of the wanted fields, from the record's own texts."""
    makers = {
        "language": label_language,
        "category": label_category,
        "field": label_field,
    }
    found = {name: makers[name](record) for name in wanted if name in makers}
    if "uniqueness" in wanted:
        category = found["category"].value if "category" in found else record.category
        found["uniqueness"] = label_uniqueness(record, category)
    return found


def label_language(record: Record) -> Label:
    """Language of the question's content: of the input where it has sentences, or the instruction.

    In "Translate into English: 猫がいる" the content is Japanese.
    """
    content = record.input if len(record.input.strip()) >= 8 else record.instruction
    code, certain = identify(content)
    if code == "und" and content is record.input:
        code, certain = identify(record.instruction)
    return Label(code, 0.95 if certain else 0.4, "script and small words")


def label_category(record: Record) -> Label:
    """Kind of task by the words of the instruction."""
    text = record.instruction[:600]
    for category, pattern in CATEGORY_WORDS:
        if found := pattern.search(text):
            early = found.start() < 60
            return Label(category, 0.85 if early else 0.65, f"“{found[0].strip()[:30]}”")
    if len(record.input.strip()) > 200:
        return Label("closed_qa", 0.65, "a long text to answer from")
    asks = text.rstrip()[-1:] in "?？" or ONE_ANSWER.search(text) or OPEN.search(text)
    return Label("open_qa", 0.7 if asks else 0.5, "a question" if asks else "nothing else fits")


def label_uniqueness(record: Record, category: str) -> Label:
    """Whether there is one right answer."""
    if category in _ALWAYS:
        return Label(_ALWAYS[category], 0.85, f"category {category}")
    length = len(record.output.strip())
    if OPEN.search(record.instruction):
        return Label("complex", 0.75, "asks for an explanation or opinion")
    if ONE_ANSWER.search(record.instruction):
        return Label("simple", 0.8 if length < 200 else 0.65, "asks for a fact")
    if 0 < length < 40:
        return Label("simple", 0.65, "a short answer")
    return Label("complex", 0.65 if length > 400 else 0.5, "a long answer" if length > 400 else "")


def label_field(record: Record) -> Label:
    """Subject area by the words of the question: the one with most different words."""
    text = f"{record.instruction}\n{record.input}"[:1500]
    scores = {
        name: len({found.lower() for found in pattern.findall(text)})
        for name, pattern in FIELD_WORDS
        if pattern.search(text)
    }
    if not scores:
        return Label("other", 0.65, "no word of a subject")
    best = max(scores, key=lambda name: scores[name])
    share = scores[best] / sum(scores.values())
    return Label(best, 0.5 + 0.4 * share if share > 0.5 else 0.5, f"{scores[best]} word(s)")
