"""Paired tests, intervals and power agree with scipy, and with figures of statsmodels 0.15."""

import math
import random

import pytest

from qeu.core import paired
from qeu.core.paired import (
    compare_pairs,
    fewest_records,
    holm,
    mcnemar,
    mean_interval,
    share_interval,
    sign_flip,
    smallest_effect,
    wilcoxon,
)
from qeu.core.student import shift_at_power, t_cdf, t_quantile

stats = pytest.importorskip("scipy.stats")


def draws(seed: int, count: int, mean: float = 0.3) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(mean, 1) for _ in range(count)]


def test_mcnemar_is_the_exact_binomial_test():
    checked = 0
    for better in range(9):
        for worse in range(9):
            if better + worse:
                wanted = stats.binomtest(better, better + worse).pvalue
                assert mcnemar(better, worse) == pytest.approx(wanted)
                checked += 1
    assert checked == 80
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize("values", [draws(1, 12), draws(2, 9, 1.5), [1, 1, -1, 1, 1, 1, 0, 1]])
def test_flipping_signs_is_scipys_permutation_test(values):
    import numpy

    moved = numpy.array([one for one in values if one], float)
    wanted = stats.permutation_test(
        (moved,), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=math.inf
    )
    assert sign_flip(values) == pytest.approx(wanted.pvalue)


def test_shares_of_three_texts_are_flipped_exactly_and_like_all_others():
    draw = random.Random(5)
    values = [draw.choice((-2, -1, 0, 1, 1, 2, 3)) / 3 for _ in range(12)]
    exact = sign_flip(values)
    assert exact == pytest.approx(paired._all_flips([one for one in values if one]))
    many = [draw.choice((-3, -2, -1, 0, 0, 1, 2, 3, 3)) / 3 for _ in range(90)]
    drawn = paired._drawn_flips([one for one in many if one])
    assert sign_flip(many) == pytest.approx(drawn, abs=0.01)


def test_many_differences_are_drawn_by_the_same_seed_close_to_students_test():
    values = draws(3, 120, 0.2)
    p = sign_flip(values)
    assert p == sign_flip(values)
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert sign_flip(draws(4, 120, 3)) == pytest.approx(1 / 20_001)


def test_wilcoxon_agrees_with_and_without_ties():
    values = draws(6, 20)
    assert wilcoxon(values) == pytest.approx(stats.wilcoxon(values).pvalue)
    tied = [round(one) for one in draws(7, 60)]
    wanted = stats.wilcoxon(tied, method="asymptotic", correction=False).pvalue
    assert wilcoxon(tied) == pytest.approx(wanted)
    assert wilcoxon([0, 0]) == 1.0


def test_students_t_is_scipys():
    for freedom in (1, 2, 5, 30, 133, 1_000):
        for value in (-2.5, -0.3, 0.0, 1.7):
            assert t_cdf(value, freedom) == pytest.approx(stats.t.cdf(value, freedom), abs=1e-10)
        for probability in (0.6, 0.9, 0.975, 0.995):
            wanted = stats.t.ppf(probability, freedom)
            assert t_quantile(probability, freedom) == pytest.approx(wanted, rel=1e-9)


def test_the_interval_of_a_mean_is_students():
    values = draws(8, 15)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((wanted.low, wanted.high))
    assert mean_interval([1.0, 2.0]) is None


def test_the_interval_of_paired_shares_is_that_of_agresti_and_min():
    """Their example: 53 and 16 of 1,144 pairs differ (Agresti and Min 2005, Table 1, Wald+2)."""
    better, worse, n = 16, 53, 1144
    values = [1] * better + [-1] * worse + [0] * (n - better - worse)
    b, c, total = better + 0.5, worse + 0.5, n + 2
    middle = (b - c) / total
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / total) / total
    assert share_interval(values) == pytest.approx((middle - half, middle + half), rel=1e-5)
    low, high = share_interval([0] * 30)
    assert low < 0 < high
    low, high = share_interval([1] * 30)
    assert (low < 1, high) == (True, 1.0)
    assert share_interval([]) is None


def test_an_interval_of_shares_holds_the_truth_as_often_as_it_says():
    draw, held, runs = random.Random(9), 0, 400
    for _ in range(runs):
        values = [draw.choices((1, -1, 0), (0.25, 0.1, 0.65))[0] for _ in range(40)]
        low, high = share_interval(values)
        held += low <= 0.15 <= high
    assert 0.92 <= held / runs <= 0.985


# statsmodels.stats.power.TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
STATSMODELS = {5: 1.6819970833, 20: 0.6604416544, 101: 0.2814796954, 134: 0.2437849183}


@pytest.mark.parametrize("n", STATSMODELS)
def test_the_smallest_effect_is_that_of_statsmodels(n):
    assert shift_at_power(n - 1, 0.05, 0.8) / math.sqrt(n) == pytest.approx(
        STATSMODELS[n], rel=1e-4
    )


def test_the_smallest_effect_is_seen_four_times_of_five():
    draw, runs, n = random.Random(10), 300, 30
    spread = 1.0
    effect = shift_at_power(n - 1, 0.05, 0.8) / math.sqrt(n) * spread
    seen = 0
    for _ in range(runs):
        values = [draw.gauss(effect, spread) for _ in range(n)]
        seen += stats.ttest_1samp(values, 0).pvalue <= 0.05
    assert 0.72 <= seen / runs <= 0.88


def test_too_few_records_show_nothing_and_equal_ones_show_only_so_much():
    assert fewest_records() == 6
    assert fewest_records(0.01) == 8
    assert 2 / 2**6 <= 0.05 < 2 / 2**5
    assert smallest_effect([0.1, 0.2, 0.3, 0.4, 0.5]) is None
    assert smallest_effect([0.0] * 60, is_share=True) == pytest.approx(0.1)
    assert smallest_effect([0.0] * 60) is None
    assert smallest_effect([1, -1, 0] * 2, is_share=True) == 1.0


def test_holms_correction_is_that_of_statsmodels():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_yes_and_no_are_compared_by_mcnemar():
    left, right = [1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 1, 1, 0]
    found = compare_pairs(left, right, is_share=True)
    assert (found.n, found.left, found.right, found.difference) == (8, 0.25, 0.75, 0.5)
    assert (found.better, found.worse, found.equal) == (5, 1, 2)
    assert (found.test, found.p) == ("mcnemar", mcnemar(5, 1))
    assert found.low < 0.5 < found.high


def test_shares_and_numbers_are_compared_by_flipping_signs():
    found = compare_pairs([0, 1 / 3, 2 / 3, 0], [1, 1, 1, 1 / 3], is_share=True)
    assert found.test == "sign_flip"
    assert found.p == pytest.approx(2 / 2**4)
    numbers = compare_pairs(draws(11, 10), draws(12, 10))
    assert (numbers.test, numbers.n) == ("sign_flip", 10)


def test_none_one_and_equal_pairs_are_told_as_what_they_are():
    assert compare_pairs([], []) is None
    one = compare_pairs([0.0], [1.0])
    assert (one.n, one.p, one.low, one.smallest) == (1, 1.0, None, None)
    share = compare_pairs([0], [1], is_share=True)
    assert (share.p, share.low < 0, share.high, share.smallest) == (1.0, True, 1.0, None)
    same = compare_pairs([2.5] * 9, [2.5] * 9)
    assert (same.difference, same.low, same.high, same.p, same.equal) == (0, 0, 0, 1.0, 9)
    assert same.smallest is None
    with pytest.raises(ValueError, match=r"longer|shorter"):
        compare_pairs([1.0], [1.0, 2.0])
