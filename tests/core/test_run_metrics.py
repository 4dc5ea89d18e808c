"""What a run measured, read back."""

from pathlib import Path

import pytest

from qeu.core.run_metrics import KINDS, read_metrics, smooth, thin_out

LITERAL = (Path(__file__).parents[1] / "contract" / "metrics.jsonl").read_text("utf-8")


def test_all_kinds_of_lines_are_read_from_the_literal() -> None:
    metrics = read_metrics(LITERAL)
    assert set(metrics.lines) == set(KINDS)
    assert metrics.curve("train", "loss") == [(1, 2.31), (21, 1.88)]
    assert metrics.curve("validation", "reasoning_loss") == [(0, 2.87)]
    assert metrics.last_step == 21


def test_what_came_after_the_step_that_a_run_went_on_from_is_void() -> None:
    text = "".join(f'{{"kind":"train","step":{n},"loss":{n}.5}}\n' for n in range(1, 8))
    text += '{"kind":"resumed","step":4}\n{"kind":"train","step":5,"loss":0.5}\n'
    assert read_metrics(text).curve("train", "loss") == [
        (1, 1.5), (2, 2.5), (3, 3.5), (4, 4.5), (5, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("rest", ['{"kind":"train","st', "\n\n", '{"kind":"train"}\n', "[1]\n"])
def test_half_a_line_costs_no_other(rest: str) -> None:
    metrics = read_metrics('{"kind":"train","step":1,"loss":2.0}\n' + rest)
    assert metrics.curve("train", "loss") == [(1, 2.0)]


@pytest.mark.parametrize("begin", ['{"kind":"train"', '{"kind": "train"'])
def test_of_many_steps_some_are_read_and_all_of_the_rest(begin: str) -> None:
    steps = [f'{begin},"step":{n},"loss":{n}.0}}\n' for n in range(1, 101)]
    saves = [f'{{"kind":"validation","step":{n},"loss":1.0}}\n' for n in range(0, 101, 2)]
    metrics = read_metrics("".join(steps + saves), 10)
    assert [step for step, _ in metrics.curve("train", "loss")] == [*range(1, 101, 10), 100]
    assert len(metrics.of("validation")) == len(saves)
    resumed = '{"kind":"resumed","step":45}\n' + steps[45]
    assert read_metrics("".join(steps) + resumed, 10).curve("train", "loss")[-2:] == [
        (41, 41.0), (46, 46.0),
    ]  # fmt: skip
    few = "".join(steps[:10])
    assert read_metrics(few, 10) == read_metrics(few)


def test_no_file_is_no_metrics() -> None:
    assert read_metrics("").last_step == 0


def test_a_long_curve_keeps_its_end_and_its_means() -> None:
    points = [(step, float(step)) for step in range(1, 10_001)]
    thin = thin_out(points, 100)
    assert len(thin) == 100
    assert thin[-1] == (10_000, 9_950.5)
    assert thin_out(points[:100], 100) == points[:100]


def test_a_smoothed_curve_starts_where_it_starts() -> None:
    assert smooth([(1, 4.0), (2, 4.0), (3, 8.0)], 0.5) == [
        (1, 4.0), (2, 4.0), (3, pytest.approx(44 / 7)),
    ]  # fmt: skip
    assert smooth([(1, 4.0), (2, 6.0)], 0.0) == [(1, 4.0), (2, 6.0)]
