"""How deep brackets of a JSON text are nested, told without parsing it."""

import re

# Python's parser fails far above; after such a failure CPython 3.11 miscounts its own depth, so
# that it must never come to it.
MOST_DEPTH = 100
JSON_TOKEN = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def is_too_deep(text: str, start: int = 0) -> bool:
    """Whether the value that begins at `start` is nested deeper than may be parsed.

    As far as the text is JSON, this sees what a parser would see: brackets inside strings are
    left out, and the end of the value is the end.
    """
    if text.count("[", start) + text.count("{", start) <= MOST_DEPTH:
        return False
    depth, in_string = 0, False
    for token in JSON_TOKEN.finditer(text, start):
        sign = token[0]
        if in_string or sign == '"':
            in_string ^= sign == '"'
        elif sign in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                return True
        elif sign in "]}":
            depth -= 1
            if depth <= 0:
                return False
    return False
