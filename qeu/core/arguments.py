"""Texts as arguments of a command line, where `-` and `@FILE` have a meaning of their own."""

import re

_SPECIAL = re.compile(r"-\Z|@|\\+(?:-\Z|@)")


def protect_argument(text: str) -> str:
    """The text as an argument that is taken literally: with a backslash where one is needed."""
    return "\\" + text if _SPECIAL.match(text) else text


def unprotect_argument(text: str) -> str:
    """The text that an argument stands for, once it is known not to be `-` or `@FILE`."""
    return text[1:] if text.startswith("\\") and _SPECIAL.match(text) else text
