"""How much two texts agree: character n-gram F-score, which needs no words and no tokenizer.

Popović 2015 (chrF): the mean over n = 1 … 6 of precision and of recall of character n-grams, blanks
left out, joined as F. β = 1 here, so that neither text is the reference and the score is symmetric.
"""

from collections import Counter
from collections.abc import Sequence

from qeu.core.text import fold

ORDER = 6
# Longer texts are compared by their first characters: a reasoning has at most 120 words.
MOST_CHARACTERS = 4_000


def ngrams(text: str, order: int = ORDER) -> list[Counter[str]]:
    """The character n-grams of a text for n = 1 … order; case and blanks do not count."""
    plain = "".join(fold(text[:MOST_CHARACTERS]).split())
    return [
        Counter(plain[at : at + n] for at in range(len(plain) - n + 1)) for n in range(1, order + 1)
    ]


def chrf(one: str, other: str) -> float:
    """Agreement from 0 (no character shared) to 1 (the same); two empty texts agree."""
    return chrf_of(ngrams(one), ngrams(other))


def chrf_of(one: Sequence[Counter[str]], other: Sequence[Counter[str]]) -> float:
    """The same for n-grams counted before, where one text meets many."""
    shares = []
    for first, second in zip(one, other, strict=True):
        sizes = first.total(), second.total()
        if not any(sizes):  # both are shorter than n
            continue
        shared = (first & second).total()
        shares.append(
            (shared / sizes[0] if sizes[0] else 0.0, shared / sizes[1] if sizes[1] else 0.0)
        )
    if not shares:
        return 1.0
    precision = sum(share for share, _ in shares) / len(shares)
    recall = sum(share for _, share in shares) / len(shares)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def pairwise(texts: Sequence[str]) -> list[list[float]]:
    """The scores of all pairs, as a square; 1 on its diagonal."""
    counted = [ngrams(text) for text in texts]
    scores = [[1.0] * len(texts) for _ in texts]
    for row in range(len(texts)):
        for column in range(row):
            scores[row][column] = scores[column][row] = chrf_of(counted[row], counted[column])
    return scores
