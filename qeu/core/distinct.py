"""How varied the words of a text are: distinct n-grams as a share of all (distinct-n).

Li et al. 2016. Counted within one text: pooled over several it would fall with their number, and
one text could not be held against many. Words are runs of letters and digits; each character of
Japanese and Chinese counts as one.
"""

import re

from qeu.core.segments import CJK
from qeu.core.text import fold

_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")


def distinct_n(text: str, n: int) -> float | None:
    """The share from 0 to 1, case ignored; None for a text of fewer than `n` words."""
    words = _WORD.findall(fold(text))
    grams = list(zip(*(words[at:] for at in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else None
