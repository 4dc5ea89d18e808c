"""The four roles and the task sentences, in wording of our own that a person may edit."""

from collections.abc import Mapping
from dataclasses import dataclass

from qeu.core.errors import QeuError


@dataclass(frozen=True)
class Role:
    """A system message in force: an id that code uses and the text that the model reads."""

    id: str
    text: str


ROLE_IDS = ("assistant", "translator", "creator", "logician")

ROLES: Mapping[str, Role] = {
    "assistant": Role(
        "assistant",
        "You are a helpful AI assistant. You understand several languages and answer in English. "
        "A question in another language is first turned into English for yourself. "
        "If reasoning is given, follow it to reach the answer.",
    ),
    "translator": Role(
        "translator",
        "You are a translator, fluent in several languages. Render the text faithfully and "
        "naturally in the language that is asked for. If reasoning is given, follow it.",
    ),
    "creator": Role(
        "creator",
        "You are a creator of attractive free text such as stories, slogans and advertisements. "
        "When the instruction is not in English, first turn it into English for yourself. "
        "If reasoning is given, let it guide what you write.",
    ),
    "logician": Role(
        "logician",
        "You are a logician. You teach a person how to think about a question so that they find "
        "a better answer on their own. You explain the procedure and never give the answer away.",
    ),
}

# What a model is told when its text is to be a reasoning. One sentence set per kind of record.
REASONING_TASK = (
    "Write reasoning for the following question. Say which points of this question matter, "
    "in which order to think about them, and what to watch out for. "
    "Do not state the answer. Use at most 5 lines and 120 words."
)
CREATIVE_REASONING_TASK = (
    "Write reasoning for the following creative task. Say step by step what makes a good result "
    'for exactly this task. Begin every sentence with "Creator should" or "You should". '
    "Do not write the result itself. Use at most 5 lines and 120 words."
)


# Stands for: each record is asked in the role that its category calls for.
BY_CATEGORY = Role("by_category", "")
_CATEGORY_ROLES = {"creative": "creator", "translation": "translator"}


def role_for(role: Role, category: str) -> Role:
    """The role itself, or for BY_CATEGORY that of the category."""
    if role.id != BY_CATEGORY.id:
        return role
    return ROLES[_CATEGORY_ROLES.get(category, "assistant")]


def find_role(role_id: str) -> Role:
    """The role with this id; raises QeuError naming the four."""
    if role_id not in ROLES:
        raise QeuError(f"Unknown role {role_id!r}. Choose one of: {', '.join(ROLE_IDS)}.")
    return ROLES[role_id]


def reasoning_task(category: str) -> str:
    """The task sentences that ask for a reasoning, by the record's category."""
    return CREATIVE_REASONING_TASK if category == "creative" else REASONING_TASK
