"""The page's words: a folder a language, a JSON file a part of the page, one key a text."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

WORDS_DIR = Path(__file__).parent / "words"
# Codes are those that browsers send; the frontend never asks for a bare "zh".
LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "ja": "日本語",
    "zh-CN": "简体中文",
    "zh-TW": "繁體中文",
}
COOKIE = "qeu_lang"


@cache
def words(language: str) -> Mapping[str, str]:
    """All texts of one language by key; its files are put together in the order of their names."""
    found: dict[str, str] = {}
    for path in sorted((WORDS_DIR / language).glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def text(key: str, language: str, /, **values: object) -> str:
    """One text with its placeholders filled; in English where a language lacks it.

    A key that English lacks is a defect and raises KeyError; tests hold all languages to all keys.
    """
    found = words(language).get(key) or words("en")[key]
    return found.format(**values) if values else found


def pick_language(chosen: str | None, accepted: str | None) -> str:
    """The page's language from the visitor's choice, else from an Accept-Language header.

    Languages in the header are taken in the order written there, which is how browsers sort them.
    """
    if chosen in LANGUAGES:
        return chosen
    for part in (accepted or "").split(","):
        code, _, weight = part.strip().lower().partition(";")
        if weight.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            continue
        if code.startswith("zh"):
            traditional = "hans" not in code and any(
                mark in code for mark in ("tw", "hk", "mo", "hant")
            )
            return "zh-TW" if traditional else "zh-CN"
        if code[:2] in LANGUAGES:
            return code[:2]
    return "en"
