"""Rows that texts share: never over the limit, never more than needed by much."""

import random

import pytest

from qeu.core.packing import count_packs


@pytest.mark.parametrize(
    ("lengths", "rows"),
    [
        ([], 0),
        ([10], 1),
        ([6, 4], 1),
        ([6, 5], 2),
        ([10, 10, 10], 3),
        ([25, 10], 2),
        ([7, 6, 4, 3], 2),
        ([5, 5, 5, 5, 1], 3),
        ([4, 8, 1, 4, 2, 1], 2),
    ],
)
def test_rows_of_ten_tokens(lengths, rows):
    assert count_packs(lengths, 10) == rows


def test_it_is_what_fitting_one_by_one_finds():
    draw = random.Random(0)
    for _ in range(20):
        lengths = [draw.randint(1, 130) for _ in range(300)]
        rooms: list[int] = []
        for length in sorted((min(n, 100) for n in lengths), reverse=True):
            fitting = [room for room in rooms if room >= length]
            if fitting:
                rooms.remove(min(fitting))
            rooms.append((min(fitting) if fitting else 100) - length)
        assert count_packs(lengths, 100) == len(rooms)
