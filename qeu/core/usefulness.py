"""How much a reasoning helps a student to the answer: leaks cut, donors chosen, losses combined.

A reasoning that helped only by telling the answer would win against none at all. So sentences that
leak are cut first, and what is left is held against a reasoning of the same kind for another
question: what both bring, such as length and tone, cancels out. Computes no loss itself.
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from qeu.core.leak import LeakReport, commits_to_answer, states_reference
from qeu.core.record import Record
from qeu.core.segments import Offsets, sentence_spans

# Donors of nearly the same length that the seed draws among.
NEAR = 8
# What still leaks when so often its leaking sentences were cut gives the answer away as a whole.
_MOST_ROUNDS = 8
_Z = 1.959964  # 95% of a normal distribution lie within so many deviations


@dataclass(frozen=True)
class Cut:
    """A reasoning without its leaking sentences: what is left, and how many were cut.

    `leak` is the score of the whole text, 0 to 1, a leak from 0.5 on; `partial` where its wording
    could not be compared with an answer in another language, so that some may be left.
    """

    text: str
    sentences: int = 0
    leak: float = 0.0
    partial: bool = False


def cut_leaks(reasoning: str, record: Record) -> Cut:
    """Cut the sentences that state the record's answer or commit to any; a clean text stays."""
    asked, kind = record.question, record.category
    return _cut(
        reasoning,
        lambda text: (
            states_reference(text, record.output, asked, category=kind),
            commits_to_answer(text, asked, category=kind),
        ),
    )


def cut_statements(reasoning: str, record: Record) -> Cut:
    """Cut only what states this record's answer: a donor's text may do so by chance."""
    asked, kind = record.question, record.category
    return _cut(
        reasoning, lambda text: (states_reference(text, record.output, asked, category=kind),)
    )


def _cut(reasoning: str, look: Callable[[str], Sequence[LeakReport]]) -> Cut:
    """Cut and look again until nothing leaks: what is left may make up a leak of its own."""
    text, count = reasoning.strip(), 0
    reports = first = look(text)
    leak, partial = max(report.score for report in first), any(report.partial for report in first)
    for _ in range(_MOST_ROUNDS):
        leaking = [report for report in reports if report.leaked]
        if not leaking:
            return Cut(text, count, leak, partial)
        text, cut = _without(text, [(s.start, s.end) for one in leaking for s in one.spans])
        if not cut:
            break
        count += cut
        reports = look(text)
    return Cut("", count + len(sentence_spans(text)), leak, partial)


def _without(text: str, places: Sequence[Offsets]) -> tuple[str, int]:
    """The text without the sentences that these places touch, and how many they are."""
    kept, cut, last_end = "", 0, 0
    for start, end in sentence_spans(text):
        if any(start < stop and begin < end for begin, stop in places):
            cut += 1
            continue
        if kept:
            gap = text[last_end:start]
            if gap.strip():  # sentences stood here
                gap = "\n" if "\n" in gap else gap[: len(gap) - len(gap.lstrip())]
            kept += gap
        kept += text[start:end]
        last_end = end
    return kept, cut


@dataclass(frozen=True)
class Candidate:
    """A reasoning that may stand in for another one: `key` finds it, `record` is whose it is.

    `length` in characters. Any two of the same record never stand in for each other.
    """

    key: int
    record: int
    category: str
    language: str
    length: int


class DonorPool:
    """All candidates by category and language, in order of their length."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._groups: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        for one in candidates:
            group = self._groups.setdefault((one.category, one.language), [])
            group.append((one.length, one.key, one.record))
        for group in self._groups.values():
            group.sort()

    def donors(self, one: Candidate, seed: int) -> Iterator[int]:
        """Keys of donors, to be taken in turn: the NEAR of most similar length, drawn by the seed,
        then the next ones; empty where the category has nobody else in this language."""
        near: list[int] = []
        for key in self._by_length(one):
            near.append(key)
            if len(near) == NEAR:
                yield from _shuffled(near, one.key, seed)
                near = []
        yield from _shuffled(near, one.key, seed)

    def _by_length(self, one: Candidate) -> Iterator[int]:
        group = self._groups.get((one.category, one.language), [])
        above = bisect_left(group, (one.length, one.key, 0))
        below = above - 1
        while below >= 0 or above < len(group):
            up = group[above][0] - one.length if above < len(group) else math.inf
            down = one.length - group[below][0] if below >= 0 else math.inf
            at = above if up <= down else below
            above, below = (above + 1, below) if up <= down else (above, below - 1)
            if group[at][2] != one.record:
                yield group[at][1]


def _shuffled(keys: Sequence[int], key: int, seed: int) -> list[int]:
    """The keys in an order that hangs on the seed and `key` alone, not on who else is there."""
    return sorted(keys, key=lambda k: hashlib.sha256(f"{seed}/{key}/{k}".encode()).digest())


@dataclass(frozen=True)
class Usefulness:
    """Losses per token of the record's answer, in nats; None where one could not be had.

    `own` behind the reasoning itself, `shuffled` behind another record's, `without` behind none.
    `useful` is shuffled minus own, `gain_without` without minus own: above 0 the reasoning helps.
    `cut_own` and `cut_shuffled` count the sentences that leaked; `tokens` are the answer's, its
    end included.
    """

    own: float | None
    shuffled: float | None
    without: float | None
    useful: float | None
    gain_without: float | None
    cut_own: int
    cut_shuffled: int
    tokens: int


def combine(
    own: float | None,
    shuffled: float | None,
    without: float | None,
    *,
    cut_own: int = 0,
    cut_shuffled: int = 0,
    tokens: int = 0,
) -> Usefulness:
    """The two columns from the three losses."""
    return Usefulness(
        own, shuffled, without, _difference(shuffled, own), _difference(without, own),
        cut_own, cut_shuffled, tokens,
    )  # fmt: skip


def _difference(other: float | None, own: float | None) -> float | None:
    return None if other is None or own is None else other - own


@dataclass(frozen=True)
class Mean:
    """A mean of `count` values and half the width of its 95% interval, None for fewer than 3."""

    value: float
    half_width: float | None
    count: int


def mean_of(values: Sequence[float]) -> Mean | None:
    """The mean with its interval by Student's t; None of nothing."""
    count = len(values)
    if not count:
        return None
    mean = math.fsum(values) / count
    if count < 3:
        return Mean(mean, None, count)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Mean(mean, _t_quantile(count - 1) * math.sqrt(variance / count), count)


def _t_quantile(freedom: int) -> float:
    """Student's t for 95%, by the Cornish-Fisher series: off by 0.8% at 2 degrees, then less."""
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )
