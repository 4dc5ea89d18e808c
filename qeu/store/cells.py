"""Values as cells of a table and back: no cell runs as a formula, no value loses its kind.

A text stands in its cell as it is. Anything else (number, list, true, nothing at all) stands as
`json:` and its JSON, as does a text that would be taken for such a cell.
"""

import json

from qeu.store.json_depth import is_too_deep

MARK = "json:"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def protect_cell(text: str) -> str:
    """A text that no spreadsheet runs as a formula: such a one gets an apostrophe in front."""
    return f"'{text}" if text.lstrip("'")[:1] in _FORMULA_STARTS and text else text


def restore_cell(text: str) -> str:
    """The text that `protect_cell` was given."""
    if text.startswith("'") and text.lstrip("'")[:1] in _FORMULA_STARTS and text.lstrip("'"):
        return text[1:]
    return text


def encode_cell(value: object, mark_empty: bool = False) -> str:
    """A value as the text of one cell.

    `mark_empty` tells an empty text from a cell with nothing in it, where the format does not.
    """
    if not isinstance(value, str):
        return MARK + json.dumps(value, ensure_ascii=False)
    if value.startswith(MARK) or (mark_empty and not value):
        return MARK + json.dumps(value, ensure_ascii=False)
    return value


def decode_cell(text: str) -> object:
    """The value that `encode_cell` was given; a text that is not its JSON stays what it is."""
    if not text.startswith(MARK) or is_too_deep(text):
        return text
    try:
        return json.loads(text[len(MARK) :])
    except ValueError:
        return text
