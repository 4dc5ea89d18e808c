"""Read rows from JSON, JSONL and CSV files a piece at a time, whatever is wrong with them.

Every reader yields (row number from 1, what the row holds); a row that cannot be read is a
`RowError` in its place. Memory is bounded by MOST_ROW_CHARACTERS, not by the file.
"""

import csv
import json
from collections.abc import Iterator
from typing import TextIO

from qeu.core.columns import RowError
from qeu.store.cells import decode_cell, restore_cell
from qeu.store.json_depth import JSON_TOKEN, MOST_DEPTH, is_too_deep

MOST_ROW_CHARACTERS = 16 * 1024 * 1024
_PIECE = 1024 * 1024
Rows = Iterator[tuple[int, object]]


class _DuplicateKey(ValueError):
    pass


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise _DuplicateKey(name)
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_pairs)


def read_jsonl(file: TextIO) -> Rows:
    """One JSON value a line; empty lines are passed over but counted."""
    for number, line in enumerate(_lines(file), start=1):
        if isinstance(line, RowError):
            yield number, line
        elif line.strip():
            yield number, _parse(line)


def read_json(file: TextIO) -> Rows:
    """The members of one JSON list, or of the list under the only list-valued key of an object."""
    start = _skip_blanks(file)
    if start == "[":
        yield from _members(file)
        return
    text = start + file.read(4 * MOST_ROW_CHARACTERS)
    if len(text) > 4 * MOST_ROW_CHARACTERS:
        yield 1, RowError("", "It is one object of more than 64 MB; expected a list or JSONL.")
        return
    value = _parse(text)
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list)]
        if len(lists) == 1 and all(isinstance(item, dict) for item in lists[0]):
            yield from enumerate(lists[0], start=1)
            return
    yield 1, value


def _members(file: TextIO) -> Rows:
    """The file stands behind "[". Members are cut at their brackets: a bad one costs itself."""
    buffer, number, depth, deepest, in_string, dropped = "", 1, 0, 0, False, False
    while piece := file.read(_PIECE):
        if piece.endswith("\\"):
            piece += file.read(1)
        at, start = len(buffer), 0
        buffer += piece
        for token in JSON_TOKEN.finditer(buffer, at):
            sign = token[0]
            if in_string or sign == '"':
                in_string ^= sign == '"'
            elif sign in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif sign in "]}":
                depth -= 1
                if depth > 0:
                    continue
                end = token.end() if depth == 0 else token.start()
                segment, start = "" if dropped else buffer[start:end], token.end()
                if dropped or deepest > MOST_DEPTH:
                    yield number, _too_long("") if dropped else _too_deep()
                    number += 1
                else:
                    for value in _values(segment):
                        yield number, value
                        number += 1
                deepest, dropped = 0, False
                if depth < 0:
                    return
        buffer = buffer[start:]
        if len(buffer) > MOST_ROW_CHARACTERS:
            buffer, dropped = "", True
    reason = "The file ends in the middle of it; expected a list that ends with ]."
    yield number, _too_long("") if dropped else RowError("", reason)


def _values(segment: str) -> Iterator[object]:
    """The values of a stretch of a list: one object, or plain values with commas between."""
    at = 0
    while at < len(segment):
        if segment[at] in " \t\r\n,":
            at += 1
            continue
        if is_too_deep(segment, at):
            # quotes out of step hid these brackets from whoever cut the segment
            yield _too_deep()
            return
        try:
            value, at = _decoder.raw_decode(segment, at)
            yield value
        except ValueError as error:
            yield _explain(error)
            at = -1 if segment[at] in "[{" else segment.find("{", at)
            if at < 0:
                return


def read_csv(file: TextIO, head: list[str]) -> Rows:
    """Rows as {column: value} under the first line's names; , ; or a tab between the cells.

    `head` gets those names.
    """
    csv.field_size_limit(MOST_ROW_CHARACTERS)
    lines = _lines(file)
    problems: list[RowError] = []

    def good_lines() -> Iterator[str]:
        for line in lines:
            if isinstance(line, RowError):
                problems.append(line)
            else:
                yield line

    source = good_lines()
    first = next(source, "")
    if problems or not first.strip():
        yield 1, problems[0] if problems else RowError("", "The file is empty.")
        return
    delimiter = max(",\t;", key=first.count)

    def with_head() -> Iterator[str]:
        yield first
        yield from source

    reader = csv.reader(with_head(), delimiter=delimiter, strict=False)
    names: list[str] = []
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            number += 1
            yield number, RowError("", f"Its cells cannot be told apart ({error}).")
            continue
        while problems:
            number += 1
            yield number, problems.pop(0)
        if not names:
            names = unique_names(cells)
            head += names
            continue
        number += 1
        if len(cells) > len(names):
            reason = f"It has {len(cells)} cells; expected {len(names)}, as the first line names."
            yield number, RowError("", reason)
        elif any(cells):
            bare = dict(zip(names, map(restore_cell, cells), strict=False))
            yield number, {name: decode_cell(text) for name, text in bare.items() if text}
    yield from enumerate(problems, start=number + 1)


def unique_names(names: list[str]) -> list[str]:
    """Column names as keys: none empty, none twice."""
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        plain = restore_cell(name).strip().lstrip("\ufeff") or f"column {place}"
        times = 2
        unique = plain
        while unique in found:
            unique, times = f"{plain} ({times})", times + 1
        found.append(unique)
    return found


def _lines(file: TextIO) -> Iterator["str | RowError"]:
    """Lines with their ends; one that is too long or not in the encoding is a problem instead."""
    while line := file.readline(MOST_ROW_CHARACTERS):
        if len(line) == MOST_ROW_CHARACTERS and not line.endswith("\n"):
            while (more := file.readline(MOST_ROW_CHARACTERS)) and not more.endswith("\n"):
                pass
            yield _too_long("")
        elif not line.isascii() and _has_bad_bytes(line):
            yield RowError("", f"It has bytes that are not {file.encoding}; expected text.")
        else:
            yield line


def _has_bad_bytes(line: str) -> bool:
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _skip_blanks(file: TextIO) -> str:
    while (character := file.read(1)) and character.isspace():
        pass
    return character


def _parse(text: str) -> object:
    if is_too_deep(text):
        return _too_deep()
    try:
        value, end = _decoder.raw_decode(text, len(text) - len(text.lstrip()))
    except ValueError as error:
        return _explain(error)
    if text[end:].strip():
        return RowError("", "Behind the JSON value stands more; expected one value a row.")
    return value


def _explain(error: ValueError) -> RowError:
    if isinstance(error, _DuplicateKey):
        name = str(error)[:60]
        return RowError(name, f"The column {name!r} is there twice; expected each name once.")
    if isinstance(error, json.JSONDecodeError):
        return RowError("", f"It is not JSON ({error.msg}, character {error.colno:,}).")
    return RowError("", "It holds a number that is too long; expected at most 4,300 digits.")


def _too_deep() -> RowError:
    return RowError("", "It is nested too deeply; expected an object with plain columns.")


def _too_long(more: str) -> RowError:
    size = MOST_ROW_CHARACTERS // 1024**2
    return RowError("", f"It is longer than {size} million characters{more}; expected a record.")
