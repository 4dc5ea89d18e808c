"""Make text from outside safe to store, encode and show, without changing what it says."""

import re
import unicodedata

# C0 and C1 controls except tab and line feed; they break terminals, XML and SQLite tools.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Normalise line ends, drop control characters, replace lone surrogates by U+FFFD.

    Everything else stays, right-to-left marks included: they belong to the text.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _SURROGATES.sub("\ufffd", text)
    return _CONTROLS.sub("", text)


def clean_value(text: str) -> str:
    """A field's value as it enters a prompt: cleaned and stripped at both ends."""
    return clean_text(text).strip()


def one_line(text: str, limit: int = 80) -> str:
    """The text on one line, cut to `limit` characters with an ellipsis, for lists and titles."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def fold(text: str) -> str:
    """Text as searches compare it: compatibility forms unified, case ignored."""
    return unicodedata.normalize("NFKC", text).casefold()
