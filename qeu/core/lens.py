"""The next token under the lens: what a view of it shows, as plain values.

Nothing is computed here. Probabilities are shares of 1; entropy, surprise and divergence are in
bits. Positions count the tokens that a model wrote: 0 is the end of the prompt.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from qeu.core.sampling import Sampling

# In the order in which the sampler takes them.
DRAWN_STEPS = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")
GREEDY_STEPS = ("repetition_penalty", "greedy")
# What a token is: text, part of a character, a sign for the model alone, or nothing at all.
KINDS = ("text", "bytes", "control", "unused")
# Where a written token stands: in one of the two texts, or in what sets them apart.
PARTS = ("reasoning", "answer", "marker")

# How Python writes bytes that are no characters; a group, so that splitting keeps them.
_ESCAPED = re.compile("([\udc80-\udcff]+)")
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


@dataclass(frozen=True)
class ShownToken:
    """A token as a person can read it: blanks and line ends visible, bytes as `⟨E3 81⟩`."""

    id: int
    shown: str
    kind: str = "text"


@dataclass(frozen=True)
class Candidate:
    """One token that could come next.

    `rank` counts from 1 in the order after the repetition penalty. `before` is the model's own
    probability, `after` that behind each step of the picture. `removed_by` names the step that
    dropped it, "" where it can be drawn. `used` tells that the text holds it already, so that the
    repetition penalty is about it.
    """

    token: int
    shown: str
    kind: str
    rank: int
    before: float
    after: tuple[float, ...]
    removed_by: str
    used: bool


@dataclass(frozen=True)
class LensStep:
    """What one step did: `mass` is the share of the step before that it kept.

    `kept` counts the tokens that remain behind it. `active` is False where its setting is off.
    """

    name: str
    setting: float | int | bool
    active: bool
    kept: int
    removed: int
    mass: float
    entropy: float


@dataclass(frozen=True)
class LensPicture:
    """The choice of one token, step by step.

    `candidates` are the likeliest in the sampler's order, and behind them, where they are not
    among those, the written, the chosen and the model's own favourite; `rest` tells how probable
    all others are together, before the steps and behind each. `chosen` is what these settings take
    with the random number `uniform` (greedy needs none), None where that is unknown. `written` is
    what stands in the text, None behind its end.
    """

    steps: tuple[LensStep, ...]
    candidates: tuple[Candidate, ...]
    rest: tuple[float, ...]
    vocabulary: int
    entropy_before: float
    likeliest: int
    chosen: int | None
    written: int | None
    uniform: float | None

    @property
    def entropy_after(self) -> float:
        """Entropy of what the draw is made from."""
        return self.steps[-1].entropy

    @property
    def remaining(self) -> int:
        """Tokens that can be drawn."""
        return self.steps[-1].kept

    def find(self, token: int) -> Candidate | None:
        """The candidate of this id, if it is shown."""
        return next((one for one in self.candidates if one.token == token), None)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        counts = {"entropy_after": self.entropy_after, "remaining": self.remaining}
        return _plain(asdict(self)) | counts


@dataclass(frozen=True)
class ReadToken:
    """A written token and its surprise, -log2 of its probability under the model that reads it."""

    token: ShownToken
    part: str
    bits: float


@dataclass(frozen=True)
class PartMean:
    """Means over the tokens of one part; `divergence` None where there is one reader only."""

    part: str
    tokens: int
    bits: float
    other_bits: float | None = None
    divergence: float | None = None


@dataclass(frozen=True)
class Surprise:
    """A text as one model reads it, token by token, and each part's mean."""

    tokens: tuple[ReadToken, ...]
    means: tuple[PartMean, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class PairedToken:
    """A token that one side wrote, as both sides read it.

    `bits` is its surprise for the side that wrote it, `other_bits` for the other one. `divergence`
    is that of their next-token distributions there, D(writer ‖ other): how much the other one
    would have to learn. Both are None where the sides cannot read each other's tokens.
    """

    token: ShownToken
    part: str
    bits: float
    other_bits: float | None
    divergence: float | None


@dataclass(frozen=True)
class TwoSides:
    """Two texts, token by token, each read by both sides.

    `first_divergence` is the first position at which the written tokens differ, None where they
    are the same to the end. `why` says why tokens cannot be compared; "" where they can.
    """

    left: tuple[PairedToken, ...]
    right: tuple[PairedToken, ...]
    left_means: tuple[PartMean, ...]
    right_means: tuple[PartMean, ...]
    first_divergence: int | None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return _plain(asdict(self))


def steps_of(sampling: Sampling) -> tuple[str, ...]:
    """The names of the steps that these settings take, in their order."""
    return GREEDY_STEPS if sampling.is_greedy else DRAWN_STEPS


def find_divergence(left: Sequence[int], right: Sequence[int]) -> int | None:
    """The first position at which two rows of ids differ; None where they are the same."""
    shorter = min(len(left), len(right))
    found = next((at for at in range(shorter) if left[at] != right[at]), shorter)
    return None if found == len(left) == len(right) else found


def average_parts(tokens: Sequence[ReadToken | PairedToken]) -> tuple[PartMean, ...]:
    """The mean of each part that has tokens, reasoning before answer; markers count nowhere."""
    found = []
    for part in ("reasoning", "answer"):
        inside = [one for one in tokens if one.part == part]
        if not inside:
            continue
        bits = sum(one.bits for one in inside) / len(inside)
        other = _mean([one.other_bits for one in inside if isinstance(one, PairedToken)])
        apart = _mean([one.divergence for one in inside if isinstance(one, PairedToken)])
        found.append(PartMean(part, len(inside), bits, other, apart))
    return tuple(found)


def mark_parts(pieces: Sequence[bytes], reasoning: str, answer: str) -> list[str]:
    """The part that each token belongs to; `pieces` are the bytes of the tokens in their order.

    A token that holds the end of one and the beginning of the other counts to what it begins in.
    """
    whole = b"".join(pieces)
    spans = []
    end = 0
    for part, text in (("reasoning", reasoning), ("answer", answer)):
        data = text.encode("utf-8")
        # half a character at the end of a text is no longer in it
        start = whole.find(data, end) if data else -1
        if start >= 0:
            end = start + len(data)
            spans.append((part, start, end))
    found, at = [], 0
    for piece in pieces:
        stop = at + len(piece)
        parts = (part for part, first, last in spans if max(at, first) < min(stop, last))
        found.append(next(parts, "marker"))
        at = stop
    return found


def show_text(text: str) -> str:
    """The text with every blank, line end and invisible character made visible."""
    return "".join(map(_show_character, text))


def show_bytes(data: bytes) -> str:
    """Bytes as text, and what is no whole character by its numbers: `␣⟨E3 81⟩`."""
    text = data.decode("utf-8", "surrogateescape")
    return "".join(
        f"⟨{part.encode('utf-8', 'surrogateescape').hex(' ').upper()}⟩"
        if _ESCAPED.match(part)
        else show_text(part)
        for part in _ESCAPED.split(text)
    )


def _show_character(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    # controls, marks of direction, and blanks of odd widths would be seen by nobody
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zs", "Zl", "Zp"):
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _plain(data: Mapping[str, object]) -> dict[str, object]:
    """Tuples as lists, all the way down."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return value

    return {name: plain(value) for name, value in data.items()}
