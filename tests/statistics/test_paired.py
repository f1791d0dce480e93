import itertools
import math

import numpy as np
import pytest
from scipy import stats

from acsnet.errors import InputError
from acsnet.statistics import holm, mcnemar_test, wilcoxon_test


def test_wilcoxon_by_hand() -> None:
    """Differences 1, 2, -3, 4, 5 (tenths): the negative ranks sum to 3; of the 32 signs, 5 have a sum of at most 3."""
    first = np.array([0.5, 0.6, 0.2, 0.8, 0.9])
    result = wilcoxon_test(first, first - np.array([0.1, 0.2, -0.3, 0.4, 0.5]))
    sums = [sum(rank for rank, sign in enumerate(signs, 1) if sign) for signs in itertools.product([0, 1], repeat=5)]
    assert result.statistic == 3
    assert result.p_value == pytest.approx(2 * np.mean(np.array(sums) <= 3))
    assert result.difference == pytest.approx(0.18)
    assert (result.n, result.left_out, result.reason) == (5, 0, "")


def test_wilcoxon_keeps_the_ranks_of_ties() -> None:
    """As Pratt: images where both are equal take the lowest ranks, so agreement on many makes a difference weaker."""
    rng = np.random.default_rng(0)
    first, second = rng.random(60), rng.random(60)
    first[:20] = second[:20]
    result = wilcoxon_test(first, second)
    expected = stats.wilcoxon(first, second, zero_method="pratt")
    assert (result.statistic, result.p_value) == (expected.statistic, expected.pvalue)
    ranks = stats.rankdata(abs(first - second))
    by_hand = min(ranks[first > second].sum(), ranks[first < second].sum())
    assert result.statistic == by_hand != stats.wilcoxon(first, second).statistic


def test_wilcoxon_leaves_out_images_without_a_value() -> None:
    first, second = [0.5, math.nan, 0.7, 0.9, 0.3], [0.4, 0.6, math.nan, 0.6, 0.5]
    result = wilcoxon_test(first, second)
    assert (result.n, result.left_out) == (3, 2)
    assert result.p_value == wilcoxon_test([0.5, 0.9, 0.3], [0.4, 0.6, 0.5]).p_value
    nothing = wilcoxon_test([math.nan], [0.5])
    assert math.isnan(nothing.p_value)
    assert (nothing.n, nothing.left_out, nothing.reason) == (0, 1, "no image has values of both networks")


def test_wilcoxon_of_equal_networks_and_of_one_image() -> None:
    equal = wilcoxon_test([0.5, 0.5], [0.5, 0.5])
    assert (equal.difference, equal.p_value, equal.reason) == (0, 1, "the values are equal on every image")
    assert wilcoxon_test([0.5], [0.4]).p_value == 1


def test_wilcoxon_p_values_are_uniform_where_networks_are_equal() -> None:
    rng = np.random.default_rng(0)
    shared = rng.random((500, 60))
    p_values = [wilcoxon_test(row + rng.normal(size=60), row + rng.normal(size=60)).p_value for row in shared]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    shifted = [wilcoxon_test(row + 1 + rng.normal(size=60), row + rng.normal(size=60)).p_value for row in shared]
    assert np.mean(np.array(shifted) < 0.05) > 0.9


@pytest.mark.parametrize(("only_first", "only_second"), [(1, 0), (3, 9), (10, 2), (7, 7), (40, 25)])
def test_mcnemar_is_the_binomial_test(only_first: int, only_second: int) -> None:
    first = np.array([1] * only_first + [0] * only_second + [1] * 6 + [0] * 5)
    second = np.array([0] * only_first + [1] * only_second + [1] * 6 + [0] * 5)
    result = mcnemar_test(first, second)
    assert result.p_value == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)
    assert result.statistic == min(only_first, only_second)
    assert result.difference == pytest.approx(first.mean() - second.mean())
    assert result.n == only_first + only_second + 11


def test_mcnemar_by_hand() -> None:
    """Of 4 images on which they differ the first is right on all: 2 of the 16 outcomes are as uneven."""
    assert mcnemar_test([1, 1, 1, 1, 0], [0, 0, 0, 0, 0]).p_value == pytest.approx(2 / 16)


def test_mcnemar_of_equal_networks_and_of_no_image() -> None:
    equal = mcnemar_test([1, 0], [1, 0])
    assert (equal.difference, equal.p_value, equal.reason) == (0, 1, "both networks are correct on the same images")
    nothing = mcnemar_test([], [])
    assert math.isnan(nothing.p_value)
    assert nothing.reason == "there are no images"


def test_mcnemar_keeps_its_level() -> None:
    """Its p-values are not uniform, since counts are whole: they may only be too large."""
    rng = np.random.default_rng(0)
    p_values = np.array([mcnemar_test(*(rng.random((2, 150)) < 0.7)).p_value for _ in range(500)])
    assert 0.01 < np.mean(p_values < 0.05) < 0.06
    assert all(np.mean(p_values < level) < level + 0.03 for level in (0.1, 0.2, 0.5))


def test_wilcoxon_by_group_by_hand() -> None:
    """Signed ranks 1, 2, -3, 4, 5 in groups of 2, 1 and 2: the sums are 3, -3, 9, and z 9 / sqrt(9 + 9 + 81)."""
    first = np.array([0.5, 0.6, 0.2, 0.8, 0.9])
    second = first - np.array([0.1, 0.2, -0.3, 0.4, 0.5])
    result = wilcoxon_test(first, second, ["a", "a", "b", "c", "c"])
    assert result.statistic == pytest.approx(9 / math.sqrt(99))
    assert result.p_value == pytest.approx(2 * stats.norm.sf(9 / math.sqrt(99)))
    assert result.by_group
    alone = wilcoxon_test(first, second, list("abcde"))
    assert alone == wilcoxon_test(first, second)
    assert not alone.by_group


def test_by_group_wilcoxon_has_the_variance_of_scipy_where_all_but_two_are_alone() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(200).round(1), rng.random(200).round(1)
    # Both images of the first group are equal, and count for neither network.
    first[:2] = second[:2]
    result = wilcoxon_test(first, second, ["0", *map(str, range(199))])
    expected = stats.wilcoxon(first, second, zero_method="pratt", method="approx")
    assert result.by_group
    assert result.p_value == pytest.approx(expected.pvalue, abs=2e-3)


def test_mcnemar_by_group_by_hand() -> None:
    """The first is right where the second is not on 2, 0 and 1 images of the groups, and wrong so on 0, 1 and 0."""
    first, second = [1, 1, 0, 1, 1], [0, 0, 1, 0, 1]
    result = mcnemar_test(first, second, ["a", "a", "b", "c", "c"])
    assert result.statistic == pytest.approx(2 / math.sqrt(4 + 1 + 1))
    assert result.p_value == pytest.approx(2 * stats.norm.sf(2 / math.sqrt(6)))
    assert (result.difference, result.by_group) == (pytest.approx(0.4), True)
    # Groups in which two images cancel out show no difference.
    assert mcnemar_test([1, 0], [0, 1], ["a", "a"]).p_value == 1


@pytest.mark.parametrize("test", [wilcoxon_test, mcnemar_test])
def test_grouped_tests_keep_their_level_and_ungrouped_ones_do_not(test) -> None:
    rng = np.random.default_rng(1)
    numbers = np.repeat(np.arange(50), 4)
    by_group, by_image = [], []
    for _ in range(400):
        values = rng.normal(size=(2, 50))[:, numbers] + 0.4 * rng.normal(size=(2, 200))
        pair = values if test is wilcoxon_test else values > 0
        by_group.append(test(*pair, [*map(str, numbers)]).p_value < 0.05)
        by_image.append(test(*pair).p_value < 0.05)
    assert 0.025 < np.mean(by_group) < 0.08
    assert np.mean(by_image) > 0.15


@pytest.mark.parametrize("test", [wilcoxon_test, mcnemar_test])
@pytest.mark.parametrize("groups", [3, 5, 8, 12, 15])
def test_tests_of_few_groups_of_unequal_sizes_do_not_reject_too_often(test, groups: int) -> None:
    """Equal networks; the bound is exceeded by chance in 1 % of the simulations."""
    rng = np.random.default_rng(groups)
    numbers = np.repeat(np.arange(groups), np.arange(groups) % 5 + 1)
    rejected = []
    for _ in range(300):
        values = 0.6**0.5 * rng.normal(size=(2, groups))[:, numbers] + 0.4**0.5 * rng.normal(size=(2, len(numbers)))
        pair = values if test is wilcoxon_test else values > 0
        rejected.append(test(*pair, [*map(str, numbers)]).p_value < 0.05)
    assert np.mean(rejected) <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / 300)
    if groups == 3:
        assert not any(rejected)


def test_groups_of_other_images_are_refused() -> None:
    with pytest.raises(InputError, match="received 2 images and 3 groups: expected one group per image"):
        wilcoxon_test([1, 0], [0, 1], ["a", "b", "c"])


@pytest.mark.parametrize("test", [wilcoxon_test, mcnemar_test])
@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ([1, 0], [1, 0, 1], r"received shapes \(2,\) and \(3,\): expected \(N,\) twice, one value per image"),
        ([[1, 0]], [[1, 0]], r"received shapes \(1, 2\) and \(1, 2\)"),
    ],
)
def test_wrong_input_is_refused(test, first: list, second: list, match: str) -> None:
    with pytest.raises(InputError, match=match):
        test(first, second)


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04, times 4, 3, 2, 1, and never below the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))


def test_holm_is_at_most_one() -> None:
    assert holm([0.5, 0.9]) == (1, 1)


def test_holm_does_not_count_impossible_tests() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)
    assert all(math.isnan(value) for value in holm([math.nan, math.nan]))
    assert holm([]) == ()


def test_holm_rejects_the_same_as_step_by_step() -> None:
    """As Holm wrote it: the smallest against level / n, the next against level / (n - 1), until one is not rejected."""
    p_values = np.random.default_rng(0).random(12) ** 4
    adjusted = np.array(holm(p_values.tolist()))
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for step, index in enumerate(np.argsort(p_values)):
            if p_values[index] > level / (12 - step):
                break
            rejected.add(index)
        assert rejected == set(np.flatnonzero(adjusted <= level))
        assert 0 < len(rejected) < 12
