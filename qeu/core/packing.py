"""How many rows texts make when several share one: best fit, longest first."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable


def count_packs(lengths: Iterable[int], limit: int) -> int:
    """Rows of at most `limit` tokens that hold texts of these lengths, each text whole.

    A longer text counts as cut at the limit. Each goes where it leaves the least room.
    """
    rooms: list[int] = []  # different sizes of room that rows have left, rising
    rows_with: Counter[int] = Counter()
    packs = 0
    for length in sorted((min(length, limit) for length in lengths), reverse=True):
        place = bisect_left(rooms, length)
        if place == len(rooms):
            packs += 1
            room = limit
        else:
            room = rooms[place]
            rows_with[room] -= 1
            if not rows_with[room]:
                del rooms[place]
        left = room - length
        if left:
            if not rows_with[left]:
                insort(rooms, left)
            rows_with[left] += 1
    return packs
