"""Compare two texts: what changed word by word, and how much wording they share.

Words for alphabets, single characters for Japanese and Chinese. Nothing here raises on any string.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from qeu.core.segments import CJK, Offsets, is_unspaced, sentence_spans

# difflib looks at every pair of equal units, several times over; up to here it takes well under a
# second (measured: 90,000 pairs 0.6 s).
MAX_UNITS = 3000
MAX_PAIRS = 100_000

_UNIT = re.compile(rf"[{CJK}]|\s+|[^\W{CJK}]+|.", re.DOTALL)
_LINES = re.compile(r"[^\n]*\n|[^\n]+\Z")

# Share of the reference's character n-grams, those of the question taken out, that may stand in a
# reasoning: (whole text, best sentence). Source: benchmarks/leak_accuracy.py on the 669 rows of
# instruction_ja, whose answers are the same in English and Japanese; a false alarm is the answer of
# the most similar other question. Both tests together, English and Japanese: false alarms 3.9% and
# 4.6% (chosen on one half of the rows, up to 7.5% on the other); found are 99% and 99% of reworded
# answers, 97% and 96% of a first third, 94% and 98% of one sentence hidden in another text.
# English takes 5-grams with single blanks: by bigrams alone the whole-text test needs 0.72 for 5%
# and finds 63% of hidden sentences, by 5-grams 97%. Chinese was not measured: as Japanese.
THRESHOLDS = {"spaced": (0.20, 0.32), "unspaced": (0.22, 0.36)}
_SIZE = {"spaced": 5, "unspaced": 2}
MIN_GRAMS = {"spaced": 15, "unspaced": 8}  # below that, chance decides
_MAX_SENTENCES = 120  # per side; of longer texts only the whole is compared beyond that

LEAK_SCORE = 0.5  # every share is scaled so that its own threshold comes to this

_NOT_WORD = re.compile(r"[\W_]+")


def word_diff(a: str, b: str) -> list[tuple[str, str]]:
    """Steps ("equal" | "delete" | "insert", text) that lead from `a` to `b`.

    The equal and deleted texts joined are `a`, the equal and inserted ones `b`, to the character.
    Above 3,000 words a side, or where the same few words come again and again, whole lines are
    compared; where there are too many of them, too, only the start that both share.
    """
    head = _common_prefix(a, b)
    left, right = _UNIT.findall(a[head:]), _UNIT.findall(b[head:])
    if _too_many(left, right):
        head = a.rfind("\n", 0, head) + 1
        left, right = _LINES.findall(a[head:]), _LINES.findall(b[head:])
    if _too_many(left, right):
        left, right = [a[head:]], [b[head:]]
    steps = [("equal", a[:head])]
    # white space is matched only beside words that match: it would be most of the work
    matcher = SequenceMatcher(str.isspace, left, right, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            steps.append(("equal", "".join(left[i1:i2])))
        else:
            steps += [("delete", "".join(left[i1:i2])), ("insert", "".join(right[j1:j2]))]
    return _joined([step for step in steps if step[1]])


def _too_many(left: list[str], right: list[str]) -> bool:
    if max(len(left), len(right)) > MAX_UNITS:
        return True
    counts = Counter(unit for unit in right if not unit.isspace())
    return sum(counts[unit] for unit in left) > MAX_PAIRS


def _common_prefix(a: str, b: str) -> int:
    """Length of the agreeing start, cut back to a place where no word is torn."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    while low and any(low < len(t) and not t[low].isspace() for t in (a, b)):
        if a[low - 1].isspace():
            break
        low -= 1
    return low


def _joined(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one kind as one step."""
    joined: list[tuple[str, str]] = []
    for kind, text in steps:
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined


@dataclass(frozen=True)
class SharedWording:
    """What a text shares with a reference: `score` 0 to 1, at 0.5 a threshold is reached.

    `whole` is the share of all the reference's n-grams; where that is too much, `whole_places` are
    the sentences made of them. `sentences` are those that hold most of one reference sentence, each
    with its share. Offsets are code points [start, end) into the text.
    """

    score: float
    whole: float
    whole_places: tuple[Offsets, ...]
    sentences: tuple[tuple[Offsets, float], ...]


def shared_wording(text: str, reference: str, known: str = "") -> SharedWording | None:
    """How much of the reference's wording, without what is `known`, stands in the text.

    Where the reference has too little wording of its own (8 bigrams, 15 5-grams), only the whole
    of it is looked for, letter for letter; None if it is not there, or too short for that, too.
    Thresholds: see THRESHOLDS.
    """
    kind = "unspaced" if is_unspaced(reference) else "spaced"
    size, least = _SIZE[kind], MIN_GRAMS[kind]
    whole_limit, sentence_limit = THRESHOLDS[kind]
    own, parts = _own_grams(reference, known, size, least)
    if len(own) < least:
        return _verbatim(text, reference, known, size, least)
    whole = len(own & _grams(text, size)) / len(own)
    score = _scaled(whole, whole_limit)
    near, touched, sentences = [], [], []
    for at, place in enumerate(sentence_spans(text)):
        grams = _grams(text[place[0] : place[1]], size)
        own_share = len(grams & own) / len(grams) if grams else 0.0
        near += [place] if own_share >= sentence_limit else []
        touched += [place] if own_share else []
        best = 0.0
        if at < _MAX_SENTENCES:
            best = max((len(grams & part) / len(part) for part in parts), default=0.0)
        score = max(score, _scaled(best, sentence_limit))
        sentences += [(place, best)] if best >= sentence_limit else []
    places = (near or touched) if whole >= whole_limit else []
    return SharedWording(score, whole, tuple(places), tuple(sentences))


def _verbatim(text: str, reference: str, known: str, size: int, least: int) -> SharedWording | None:
    wording = _flat(reference, size).strip()
    if len(wording) < least + size - 1 or wording in _flat(known, size):
        return None
    if wording not in _flat(text, size):
        return None
    begin = len(text) - len(text.lstrip())
    return SharedWording(1.0, 1.0, ((begin, len(text.rstrip())),), ())


def _scaled(share: float, limit: float) -> float:
    if share < limit:
        return LEAK_SCORE * share / limit
    return LEAK_SCORE + (1 - LEAK_SCORE) * (share - limit) / (1 - limit)


@lru_cache(maxsize=64)  # while a text streams in, the reference stays
def _own_grams(
    reference: str, known: str, size: int, least: int
) -> tuple[frozenset[str], list[frozenset[str]]]:
    asked = _grams(known, size)
    parts = [
        _grams(reference[start:end], size) - asked
        for start, end in sentence_spans(reference)[:_MAX_SENTENCES]
    ]
    return _grams(reference, size) - asked, [part for part in parts if len(part) >= least]


def _grams(text: str, size: int) -> frozenset[str]:
    flat = _flat(text, size)
    return frozenset(flat[at : at + size] for at in range(len(flat) - size + 1))


def _flat(text: str, size: int) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORD.sub("" if size == 2 else " ", folded)
