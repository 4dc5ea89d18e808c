"""What the commands write to a terminal: streams, widths, columns, the progress line."""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from qeu.core.text import clean_text

# Two columns of readable width and the line between them.
WIDE_COLUMNS = 100
MOST_COLUMNS = 180
# Signs for terminals that cannot show the good ones.
_PLAIN = str.maketrans({"✓": "+", "✗": "x", "·": "-", "│": "|", "─": "-", "…": "~"})


def prepare_streams() -> None:
    """Let no character crash the output: what an encoding cannot say is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """One line for the person, not for the program that reads our output."""
    print(_fitting(clean_text(text), sys.stderr.encoding), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Lines of the result."""
    print(_fitting(clean_text(text), sys.stdout.encoding))


def show_json(data: Mapping[str, object]) -> None:
    """The result as one object on one ASCII line."""
    print(json.dumps(data))


def _fitting(text: str, encoding: str | None) -> str:
    """The text with signs that this encoding has; letters stay what they are."""
    try:
        "✓✗·│─…".encode(encoding or "ascii")
    except UnicodeEncodeError:
        return text.translate(_PLAIN)
    return text


def terminal_columns() -> int:
    """Width to write results in; 80 where nobody looks at a terminal."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return 80
    return min(shutil.get_terminal_size((80, 24)).columns, MOST_COLUMNS)


def display_width(text: str) -> int:
    """Cells that the text takes: two for an East Asian character, none for an accent."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap_line(line: str, columns: int) -> list[str]:
    """One line broken to fit: at blanks where there are some, anywhere in a long word."""
    found, start, width, blank = [], 0, 0, 0
    at = 0
    while at < len(line):
        cells = _cells(line[at])
        if width + cells > columns and at > start:
            end = blank if blank > start else at
            found.append(line[start:end].rstrip())
            while end < len(line) and line[end] == " ":
                end += 1
            start = blank = at = end
            width = 0
            continue
        width += cells
        at += 1
        if line[at - 1] == " " or cells == 2:
            blank = at
    return [*found, line[start:].rstrip()] if start < len(line) or not found else found


def wrap_text(text: str, columns: int) -> list[str]:
    """All lines of a text, broken to fit."""
    lines = text.expandtabs(4).split("\n")
    return [part for line in lines for part in wrap_line(line, columns)]


def side_by_side(left: str, right: str, columns: int) -> str:
    """Two texts as columns of equal width."""
    each = (columns - 3) // 2
    pairs = zip_longest(wrap_text(left, each), wrap_text(right, each), fillvalue="")
    lines = (f"{one}{' ' * (each - display_width(one))} │ {two}" for one, two in pairs)
    return "\n".join(line.rstrip() for line in lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns, two blanks apart."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - display_width(cell))
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


class ProgressLine:
    """Standard error while work is going on: one line rewritten, or new lines into a log."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._rewrites = sys.stderr.isatty()
        self._said: dict[str, str] = {}
        self._drawn = False

    def log(self, subject: str, text: str, brief: bool = False) -> None:
        """A line that stays, said once; a brief one only where no line can be redrawn."""
        if self._quiet or self._said.get(subject) == text or (brief and self._rewrites):
            return
        self._said[subject] = text
        self.clear()
        say(text)

    def draw(self, text: str) -> None:
        """A line that the next one replaces; nothing where lines cannot be replaced."""
        if self._quiet or not self._rewrites:
            return
        columns = shutil.get_terminal_size((80, 24)).columns - 1
        line = wrap_line(" ".join(clean_text(text).split()), columns)[0]
        sys.stderr.write("\r\x1b[K" + _fitting(line, sys.stderr.encoding))
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the replaceable line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
