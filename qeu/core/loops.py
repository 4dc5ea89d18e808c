"""Find endless repetition in text and in a growing list of token ids.

A loop is a unit repeated back to back, letter for letter (digits may count up). Repetition in other
words is not seen. Nothing here raises; offsets are code points, or tokens, [start, end).
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Source: the recipe of vmlx-swift PR 229 (4 repeats of at least 32 characters), widened to short
# units by a floor on the whole run. Held against 2,337 human, translated and GPT-4 answers
# (instruction_ja in Japanese and English, an Alpaca-GPT4 sample): none is reported.
MIN_REPEATS = 4
MIN_REPEATS_LONG = 3  # a whole paragraph three times over is no style any more
LONG_PERIOD = 120  # characters
MIN_RUN = 60  # characters of an alphabet
MIN_RUN_CJK = 30  # Japanese and Chinese say as much in half the characters
MIN_RUN_NO_LETTERS = 160  # rules, table borders and a googol's zeros are no loops
MAX_PERIOD = 1000  # characters
MIN_REPEATS_COUNTED = 6  # "1. Do it\n2. Do it\n": the same but for the digits
MIN_LETTERS_COUNTED = 8

MAX_PERIOD_TOKENS = 96
MIN_RUN_TOKENS = 32
LONG_PERIOD_TOKENS = 40

_ANCHOR = 12  # characters; where an anchor comes again, a period may lie between
_STRIDE = 8  # characters between anchors: the shortest loop holds at least one
_OCCURRENCES = 4  # how many such places are tried: a unit may hold its own anchor twice
_LETTERS = re.compile(r"[^\W\d_]")
_CJK_LETTER = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_DIGIT = re.compile("[0-9]")
_SAME_DIGITS = {ord(digit): "0" for digit in "123456789"}


@dataclass(frozen=True)
class Loop:
    """A run [start, end) that is `repeats` whole units of `period` characters (or tokens) long."""

    start: int
    end: int
    period: int
    repeats: int


def find_loop(text: str) -> Loop | None:
    """The first loop anywhere in the text, or None; offsets are code points.

    Anchors are compared at a fixed number of places per character, so the time grows in step with
    the length of the text. Thresholds: see the constants of this module.
    """
    loop = _first_loop(text, _needed_run)
    if loop is None and _DIGIT.search(text):
        loop = _first_loop(text.translate(_SAME_DIGITS), _needed_counted_run)
    return loop


def _first_loop(text: str, needed_run: Callable[[str], int]) -> Loop | None:
    at = 0
    while at + _ANCHOR < len(text):
        run = _run_through(text, at)
        if run and run.end - run.start >= needed_run(text[run.start : run.start + run.period]):
            return run
        # a run that is long but allowed (a ruler line) is left behind in one step
        at = max(at + _STRIDE, run.end - run.period - _ANCHOR + 1 if run else 0)
    return None


def _run_through(text: str, at: int) -> Loop | None:
    """The run with the shortest period that `at` lies in, if it may be long enough for a loop."""
    anchor = text[at : at + _ANCHOR]
    again = at
    for _ in range(_OCCURRENCES):
        again = text.find(anchor, again + 1, at + MAX_PERIOD + _ANCHOR)
        if again < 0:
            return None
        period = again - at
        end = again + _agreeing(text, at, again)
        # the least run that any unit may have; most candidates end here
        if end - at + _STRIDE < max(MIN_RUN_CJK, MIN_REPEATS_LONG * period):
            continue
        start = at
        while start > 0 and text[start - 1] == text[start - 1 + period]:
            start -= 1
        if end - start >= max(MIN_RUN_CJK, MIN_REPEATS_LONG * period):
            return Loop(start, end, period, (end - start) // period)
    return None


def _agreeing(text: str, first: int, second: int) -> int:
    """How many characters after `first` equal those after `second`, by doubling and halving."""
    low, step = _ANCHOR, 64
    longest = len(text) - second
    while low < longest:
        step = min(step, longest - low)
        if text[first + low : first + low + step] == text[second + low : second + low + step]:
            low += step
            step *= 2
        elif step == 1:
            break
        else:
            step = max(1, step // 4)
    return low


def _needed_run(unit: str) -> int:
    repeats = MIN_REPEATS_LONG if len(unit) >= LONG_PERIOD else MIN_REPEATS
    if not _LETTERS.search(unit):
        least = MIN_RUN_NO_LETTERS
    else:
        least = MIN_RUN_CJK if _CJK_LETTER.search(unit) else MIN_RUN
    return max(least, repeats * len(unit))


def _needed_counted_run(unit: str) -> int:
    if "0" not in unit or len(_LETTERS.findall(unit)) < MIN_LETTERS_COUNTED:
        return sys.maxsize
    return max(MIN_RUN, MIN_REPEATS_COUNTED * len(unit))


def tail_loop(ids: Sequence[int]) -> Loop | None:
    """The loop that a growing list of token ids ends in, or None; offsets are tokens.

    At most the last 97 ids are looked at while there is no loop: a few microseconds per call.
    Needed: 4 repeats and 32 tokens; 3 repeats from 40 tokens a unit on.
    """
    total = len(ids)
    if total < MIN_RUN_TOKENS:
        return None
    recent = list(ids[-(MAX_PERIOD_TOKENS + 1) :])
    recent.reverse()
    last, before = recent[0], recent[1]
    for period in range(1, len(recent)):
        if recent[period] != last:
            continue
        if period + 1 < len(recent) and recent[period + 1] != before:
            continue
        repeats = MIN_REPEATS if period < LONG_PERIOD_TOKENS else MIN_REPEATS_LONG
        need = max(MIN_RUN_TOKENS, repeats * period)
        if need <= total and ids[total - need + period :] == ids[total - need : total - period]:
            start = total - need
            while start > 0 and ids[start - 1] == ids[start - 1 + period]:
                start -= 1
            return Loop(start, total, period, (total - start) // period)
    return None
