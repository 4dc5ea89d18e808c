"""Sentences of the core, the services and the engines in the page's language.

They are written in English where they arise; the command line and the files keep them so. Here
each is recognised by the template it was made from, and said again in another language.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter

SENTENCES_DIR = Path(__file__).parent / "sentences"
# A longer text is none of ours, or nobody reads it on a page.
LONGEST = 8_000
# Sentences of one template, with those that its values bring; and of one message.
MOST_TOGETHER = 6
MOST_SENTENCES = 80
# Phrases within phrases.
DEEPEST = 5
_BETWEEN = re.compile(r"(?<=[.!?…;]) (?=\S)")
# What stands between the phrases of a list, for the semicolon of English.
_LISTED = {"ja": "、", "zh-CN": "；", "zh-TW": "；"}
_PLACE = re.compile(r"\{(\d+)(?:!t)?\}")
_WIDE_END = re.compile(r"[\u3000-\u303f\uff00-\uffef]\Z")


@dataclass(frozen=True)
class Template:
    """An English template and its translation.

    In a translation `{0}` is a value as it stands, `{0!t}` one that is a phrase of ours itself.
    """

    pattern: re.Pattern[str]
    literal: str  # the longest stretch between two values: a quick test before the pattern
    letters: int
    translation: str


@cache
def templates(language: str) -> Sequence[Template]:
    """All templates of a language, those that say most first."""
    path = SENTENCES_DIR / f"{language}.json"
    found: Mapping[str, str] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    made = [_compile(english.strip(), told) for english, told in found.items()]
    return sorted(made, key=lambda template: -template.letters)


def tell(sentence: str, language: str) -> str:
    """The sentence, or the several in it, in this language; what is not known stays as it is."""
    if language == "en" or not sentence or len(sentence) > LONGEST:
        return sentence
    return _tell(sentence, language)[1]


@lru_cache(maxsize=2048)
def _tell(text: str, language: str, depth: int = 0) -> tuple[int, str]:
    """(letters known, told): the text is cut so that most of its letters are those of templates."""
    pieces = _BETWEEN.split(text)
    if len(pieces) > MOST_SENTENCES or depth > DEEPEST:
        return 0, text
    best = [(0, "")]
    for end in range(1, len(pieces) + 1):
        choices = []
        for start in range(end - 1, max(0, end - MOST_TOGETHER) - 1, -1):
            letters, told = _match_part(" ".join(pieces[start:end]), language, depth)
            before = best[start]
            choices.append((before[0] + letters, _joined(before[1], told)))
        best.append(max(choices, key=lambda choice: choice[0]))
    letters, told = best[-1]
    return (letters, told) if letters else (0, text)


def _match_part(text: str, language: str, depth: int) -> tuple[int, str]:
    letters, told = _match(text.removesuffix(";"), language, depth)
    if letters and text.endswith(";"):
        return letters, told + _LISTED[language]
    return _match(text, language, depth)


def _match(text: str, language: str, depth: int) -> tuple[int, str]:
    """(letters that a template has in common with the text, translation); 0 if none fits."""
    lowered = text.lower()
    for template in templates(language):
        if template.literal in lowered and (found := template.pattern.fullmatch(text)):
            values = [_Value(value, language, depth) for value in found.groups()]
            told = _FORMATTER.vformat(template.translation, values, {})
            # punctuation alone makes a template only where the phrases in it are ours
            if letters := template.letters + sum(value.letters for value in values):
                return letters, told
    return 0, text


class _Value:
    """A value in a sentence; `letters` of it are known once its own translation is asked for."""

    def __init__(self, text: str, language: str, depth: int) -> None:
        self.text, self.language, self.depth, self.letters = text, language, depth, 0

    def told(self) -> str:
        self.letters, told = _tell(self.text.strip(), self.language, self.depth + 1)
        return told


class _Formatter(Formatter):
    def convert_field(self, value: object, conversion: str | None) -> object:
        assert isinstance(value, _Value)
        return value.told() if conversion == "t" else value.text


_FORMATTER = _Formatter()


def _compile(english: str, translation: str) -> Template:
    """A template as a pattern without backtracking: every value ends where its literal begins."""
    literals = [part.replace("{{", "{").replace("}}", "}") for part in _PLACE.split(english)[::2]]
    first, *rest = literals
    pattern = re.escape(first)
    if first[:1].isalpha():  # a phrase may begin a sentence
        pattern = f"(?i:{re.escape(first[0])}){re.escape(first[1:])}"
    for literal in rest[:-1]:
        pattern += f"(?>(.*?){re.escape(literal)})"
    if rest:
        # a phrase has no full stop: that one belongs to the sentence around it
        end = r"(?<!\.)" if english[0].islower() and not rest[-1] else ""
        pattern += f"(.*){re.escape(rest[-1])}{end}"
    longest = max(literals, key=len).lower()
    letters = sum(character.isalpha() for literal in literals for character in literal)
    return Template(re.compile(pattern, re.DOTALL), longest, letters, translation)


def _joined(before: str, after: str) -> str:
    gap = "" if not before or _WIDE_END.search(before) else " "
    return before + gap + after
