"""Near-duplicates by shared character groups, so that Japanese and Chinese work like English.

MinHash of 3-character shingles, 16 bands of 4 values: pairs of a Jaccard similarity of 0.8 meet in
a band with 99.9 %, of 0.5 with 64 %, of 0.3 with 12 %. Those that meet are compared exactly.
"""

import re
import zlib
from collections.abc import Iterable, Sequence

from qeu.core.text import fold

_LETTERS = re.compile(r"[^\W_]+")
SHINGLE = 3
BANDS, ROWS = 16, 4
SIMILAR = 0.7
# Longer texts are compared by their first characters; so are all of a bucket that is too full.
MOST_CHARACTERS = 2_000
MOST_IN_BUCKET = 50
_EMPTY = 1 << 62


def shingles(text: str) -> frozenset[str]:
    """All groups of three characters of the text, blanks and punctuation left out."""
    plain = "".join(_LETTERS.findall(fold(text[:MOST_CHARACTERS])))
    if len(plain) < SHINGLE:
        return frozenset((plain,)) if plain else frozenset()
    return frozenset(plain[i : i + SHINGLE] for i in range(len(plain) - SHINGLE + 1))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard: shared groups among all groups; 1 is equal, 0 nothing shared."""
    return len(one & other) / len(one | other) if one or other else 0.0


def bands(found: frozenset[str]) -> tuple[int, ...]:
    """One number per band; similar texts share at least one of them.

    One hash a shingle: each falls into a bin and the smallest of a bin counts; an empty bin takes
    the value of the next one that is not (one-permutation hashing, densified by rotation).
    """
    bins: list[int] = [_EMPTY] * (BANDS * ROWS)
    for shingle in found:
        value = zlib.crc32(shingle.encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15
        value = (value ^ (value >> 29)) & 0xFFFFFFFFFFFF
        place = value % len(bins)
        if value < bins[place]:
            bins[place] = value
    if not found:
        return ()
    value = next(v for v in bins if v != _EMPTY)
    for place in range(len(bins) - 1, -1, -1):
        if bins[place] == _EMPTY:
            bins[place] = value + 1
        else:
            value = bins[place]
    return tuple(hash((band, *bins[band * ROWS : band * ROWS + ROWS])) for band in range(BANDS))


class NearDuplicates:
    """Texts remembered one by one, and which of them another one resembles."""

    def __init__(self, threshold: float = SIMILAR) -> None:
        self.threshold = threshold
        self._buckets: dict[int, list[int]] = {}
        self._texts: list[str] = []
        self._known: dict[str, int] = {}

    def similar(self, text: str) -> list[tuple[int, float]]:
        """(place of an earlier text, similarity) at or above the threshold, most similar first."""
        plain = text[:MOST_CHARACTERS]
        if plain in self._known:
            return [(self._known[plain], 1.0)]
        found = shingles(plain)
        places = {place for key in bands(found) for place in self._buckets.get(key, ())}
        scored = [(place, similarity(found, shingles(self._texts[place]))) for place in places]
        return sorted((p for p in scored if p[1] >= self.threshold), key=lambda p: (-p[1], p[0]))

    def add(self, text: str) -> None:
        """Remember a text under the next place."""
        plain = text[:MOST_CHARACTERS]
        place = len(self._texts)
        self._texts.append(plain)
        if self._known.setdefault(plain, place) == place:
            for key in bands(shingles(plain)):
                bucket = self._buckets.setdefault(key, [])
                if len(bucket) < MOST_IN_BUCKET:
                    bucket.append(place)


def group_similar(texts: Iterable[str], threshold: float = SIMILAR) -> list[int]:
    """For each text the place of the first one of its group: similar to it, or to one of its."""
    index, leaders = NearDuplicates(threshold), []
    for place, text in enumerate(texts):
        leaders.append(place)
        for other, _ in index.similar(text):
            join(leaders, place, other)
        index.add(text)
    return [leader(leaders, place) for place in range(len(leaders))]


def join(leaders: list[int], one: int, other: int) -> None:
    """Make two groups one; the earlier leader leads."""
    first, second = sorted((leader(leaders, one), leader(leaders, other)))
    leaders[second] = first


def leader(leaders: Sequence[int], place: int) -> int:
    """The first member of the group that a place belongs to."""
    while leaders[place] != place:
        place = leaders[place]
    return place
