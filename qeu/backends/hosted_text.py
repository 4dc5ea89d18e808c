"""A hosted text while it comes in: thinking kept apart, stop texts, loops, and a bound on its size.

A server tells no tokens, so loops are looked for in the text itself; local rows see their tokens.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qeu.core.loops import find_loop

THINK_START, THINK_END = "<think>", "</think>"
LOOP_STEP = 64  # new characters between two looks for a loop
LOOP_WINDOW = 4_200  # characters looked at: four of the longest unit that counts as a loop
CHARS_PER_TOKEN = 32  # more than any tokenizer puts into one, on average
SPARE_CHARS = 1_000
# Where a chat template opened the thinking, only its end is written, on a line of its own.
_BARE_END = re.compile(rf"^[ \t]*{THINK_END}[ \t]*(?:\n|\Z)", re.MULTILINE)
_TAG_LINE = 64  # characters of the longest such line
_UNPAIRED = re.compile("[\ud800-\udfff]")


class SurrogateMender:
    """Joins characters that were cut into surrogates, and replaces halves that stay alone."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, piece: str) -> str:
        """Text that can be stored and encoded; a first half waits for its second."""
        text = (self._held + piece).replace("\0", "") if piece else ""
        if not text:
            return ""
        self._held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text[: len(text) - len(self._held)]
        if text.isascii() or not _UNPAIRED.search(text):
            return text
        # pairs become characters; what decodes to nothing becomes U+FFFD, two bytes each
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def finish(self) -> str:
        """What stands for a half that waited in vain."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""


class ThinkSplitter:
    """Takes `<think>…</think>` at the beginning of a text apart, however the pieces are cut."""

    def __init__(self, enabled: bool = True) -> None:
        self._state = "start" if enabled else "text"
        self._held = ""

    def push(self, piece: str) -> tuple[str, str]:
        """(thinking, text) that this piece adds; what may be a tag is held back."""
        self._held += piece
        thinking = ""
        if self._state == "start":
            lead = self._held.lstrip()
            if lead.startswith(THINK_START):
                self._state, self._held = "thinking", lead[len(THINK_START) :]
            elif not THINK_START.startswith(lead):  # an empty lead may still become the tag
                self._state = "text"
        if self._state == "thinking":
            before, tag, after = self._held.partition(THINK_END)
            if tag:
                self._state, thinking, self._held = "between", before, after
            else:
                keep = len(before) - held_back(before, [THINK_END])
                thinking, self._held = before[:keep], before[keep:]
        if self._state == "between":
            # the blank lines after the tag belong to neither
            self._held = self._held.lstrip()
            if self._held:
                self._state = "text"
        if self._state != "text":
            return thinking, ""
        text, self._held = self._held, ""
        return thinking, text

    def finish(self) -> tuple[str, str]:
        """What was held back and will not become a tag any more."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thinking" else ("", held)


class StopTexts:
    """Ends a text at the first of several stop texts, which may come in pieces."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """Text that is no part of a stop text; "" after one was found."""
        if self.found:
            return ""
        text = self._held + piece
        places = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        keep = len(text) - held_back(text, self._stops)
        self._held = text[keep:]
        return text[:keep]

    def finish(self) -> str:
        """What was held back and became no stop text."""
        held, self._held = self._held, ""
        return held


@dataclass(frozen=True)
class Added:
    """What a piece of the stream added: text to show, and thinking."""

    text: str = ""
    thinking: str = ""


class HostedText:
    """One row's text and thinking. `ended` says why no more is wanted: stop, loop, length.

    With `bare_end` text before an end of thinking that was never opened counts as thinking from
    then on, and `moved` says so: it was shown as text before.
    """

    def __init__(
        self,
        max_new_tokens: int,
        stops: Sequence[str] = (),
        *,
        think_tags: bool = True,
        bare_end: bool = False,
    ) -> None:
        self.ended = ""
        self.text = ""
        self.thinking = ""
        self._limit = SPARE_CHARS + CHARS_PER_TOKEN * max_new_tokens
        self._splitter = ThinkSplitter(think_tags)
        self._stops = StopTexts(stops)
        self._looked = {"text": 0, "thinking": 0}
        self._bare_end, self.moved = think_tags and bare_end, False
        self._searched = 0  # a bare end before this place was looked for
        self._menders = (SurrogateMender(), SurrogateMender())

    def push(self, content: str, thinking: str = "") -> Added:
        """Take a piece of the stream; nothing more is taken once it has ended."""
        if self.ended:
            return Added()
        content, thinking = self._menders[0].push(content), self._menders[1].push(thinking)
        room = max(0, self._limit - len(self.text) - len(self.thinking))
        full = len(content) + len(thinking) > room
        thought, text = self._splitter.push(content[:room])
        added = self._add(text, thinking[:room] + thought)
        self._move_thinking()
        if self._stops.found:
            self.ended = "stop"
        elif self._loops("text", self.text) or self._loops("thinking", self.thinking):
            self.ended = "loop"
        elif full:
            self.ended = "length"
        return self._joined(added, self._rest()) if self.ended in ("loop", "length") else added

    def finish(self) -> Added:
        """The stream is over: give out what was held back."""
        if self.ended:
            return Added()
        content, thinking = (mender.finish() for mender in self._menders)
        thought, text = self._splitter.push(content)
        added = self._joined(self._add(text, thinking + thought), self._rest())
        self._move_thinking(last=True)
        return added

    def _rest(self) -> Added:
        thought, text = self._splitter.finish()
        added = self._add(text, thought)
        if self._stops.found:
            return added
        held = self._stops.finish()
        self.text += held
        return Added(added.text + held, added.thinking)

    def _add(self, text: str, thinking: str) -> Added:
        shown = self._stops.push(text)
        self.text += shown
        self.thinking += thinking
        return Added(shown, thinking)

    def _move_thinking(self, *, last: bool = False) -> None:
        if self.moved:
            # the blank lines after the tag belong to neither
            self.text = self.text if self.text[:1].strip() else self.text.lstrip()
        if not self._bare_end or self.moved or self.thinking:
            return
        found = _BARE_END.search(self.text, self._searched)
        self._searched = max(0, len(self.text) - _TAG_LINE)
        if found is None or (found.end() == len(self.text) and not last and found[0][-1] != "\n"):
            return
        if THINK_START not in self.text[: found.start()]:
            self.thinking, self.text = self.text[: found.start()], self.text[found.end() :].lstrip()
            self.moved, self._looked = True, {"text": 0, "thinking": len(self.thinking)}

    def _joined(self, first: Added, then: Added) -> Added:
        return Added(first.text + then.text, first.thinking + then.thinking)

    def _loops(self, which: str, text: str) -> bool:
        if len(text) - self._looked[which] < LOOP_STEP:
            return False
        self._looked[which] = len(text)
        window = text[-LOOP_WINDOW:]
        loop = find_loop(window)
        # one that is over and was left behind is the model's affair
        return loop is not None and loop.end > len(window) - LOOP_STEP - loop.period


def held_back(text: str, marks: Iterable[str]) -> int:
    """Length of the longest proper beginning of any mark that the text ends with."""
    longest = 0
    for mark in marks:
        for length in range(min(len(mark) - 1, len(text)), longest, -1):
            if text.endswith(mark[:length]):
                longest = length
                break
    return longest
