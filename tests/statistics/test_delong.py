import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from acsnet.errors import InputError
from acsnet.statistics import delong_interval, delong_test
from acsnet.statistics.delong import auroc_covariance

# Albumin, total protein and K-G score of 43 patients, and whether surgery helped: DeLong, DeLong and
# Clarke-Pearson 1988, as printed in the SAS/STAT User's Guide, "Comparing Receiver Operating Characteristic Curves".
OVARIAN_CANCER = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1   3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0   3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1   3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0   2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def by_definition(positive: npt.NDArray, scores: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Every pair of a positive and a negative image, one by one: DeLong et al., equations 1, 4 and 5."""
    of_class, others = scores[:, positive], scores[:, ~positive]
    networks = zip(of_class, others, strict=True)
    wins = np.array([[[1.0 if x > y else 0.5 if x == y else 0.0 for y in ys] for x in xs] for xs, ys in networks])
    covariance = np.cov(wins.mean(axis=2)) / of_class.shape[1] + np.cov(wins.mean(axis=1)) / others.shape[1]
    return wins.mean(axis=(1, 2)), covariance


@pytest.mark.parametrize("decimals", [1, 8], ids=["with ties", "without"])
@pytest.mark.parametrize("positives", [2, 13, 38])
def test_against_the_definition(decimals: int, positives: int) -> None:
    rng = np.random.default_rng(positives)
    positive = rng.permutation(40) < positives
    scores = (rng.normal(size=(3, 40)) + 0.8 * positive).round(decimals)
    areas, covariance = auroc_covariance(positive, scores)
    expected_areas, expected_covariance = by_definition(positive, scores)
    assert areas == pytest.approx(expected_areas, abs=1e-12)
    assert areas == pytest.approx([roc_auc_score(positive, row) for row in scores], abs=1e-12)
    assert covariance == pytest.approx(expected_covariance, abs=1e-12)


def test_the_example_of_the_publication() -> None:
    table = np.array(OVARIAN_CANCER.split(), float).reshape(-1, 4)
    positive, scores = table[:, 3] == 1, np.stack([table[:, 0], table[:, 1], 10 - table[:, 2]])
    areas, covariance = auroc_covariance(positive, scores)
    assert areas == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    chi_square = (contrast @ areas) @ np.linalg.solve(contrast @ covariance @ contrast.T, contrast @ areas)
    assert chi_square == pytest.approx(2.5340, abs=5e-5)
    assert stats.chi2.sf(chi_square, 2) == pytest.approx(0.2817, abs=5e-5)
    interval = delong_interval(positive, scores[2])
    assert (interval.low, interval.high) == pytest.approx((0.5243, 0.9273), abs=5e-5)
    assert interval.estimate == pytest.approx(0.7258, abs=5e-5)
    assert interval.reason == "the rarer class is in only 12 groups: the interval is unreliable, probably too narrow"


def test_the_test_is_the_contrast_of_two() -> None:
    rng = np.random.default_rng(3)
    positive = np.arange(50) < 20
    scores = rng.normal(size=(2, 50)) + [[1.5], [0.3]] * positive
    areas, covariance = by_definition(positive, scores)
    z = (areas[0] - areas[1]) / math.sqrt(np.array([1, -1]) @ covariance @ [1, -1])
    result = delong_test(positive, *scores)
    assert result.difference == pytest.approx(areas[0] - areas[1])
    assert result.statistic == pytest.approx(z)
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert (result.n, result.reason) == (50, "")
    assert delong_test(positive, *scores[::-1]).statistic == pytest.approx(-z)


def test_p_values_are_uniform_where_networks_are_equal() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(120) < 45
    p_values = []
    for _ in range(600):
        shared = rng.normal(size=120) + positive
        p_values.append(delong_test(positive, *(shared + rng.normal(size=(2, 120)))).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.075


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    positive = np.arange(150) < 60
    truth = stats.norm.cdf(1 / math.sqrt(2))  # two normal distributions, a standard deviation apart
    intervals = [delong_interval(positive, rng.normal(size=150) + positive) for _ in range(600)]
    assert 0.92 < np.mean([interval.low <= truth <= interval.high for interval in intervals]) < 0.975


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("positives", [4, 7, 8, 19, 20, 21, 42, 46])
def test_few_groups_of_a_class_are_a_caveat(positives: int, copies: int) -> None:
    """50 groups of one or three images; the rarer class counts, whichever it is."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(50), copies)
    groups, positive = [*map(str, numbers)], numbers < positives
    scores = rng.normal(size=(2, len(numbers))) + positive
    rarer = min(positives, 50 - positives)
    interval, test = delong_interval(positive, scores[0], groups=groups), delong_test(positive, *scores, groups)
    few = f"the rarer class is in only {rarer} groups: "
    expected = f"{few}the interval is unreliable, probably too narrow" if rarer < 20 else ""
    assert interval.reason == expected
    assert test.reason == (f"{few}the p-value is unreliable, possibly too small" if rarer < 8 else "")
    assert not math.isnan(interval.low + test.p_value)


def test_copies_in_a_group_tell_nothing_new() -> None:
    """With every image there three times, as one group, the covariance stays; as single images it would shrink."""
    rng = np.random.default_rng(5)
    positive = np.arange(40) < 15
    scores = (rng.normal(size=(3, 40)) + positive).round(1)
    areas, covariance = auroc_covariance(positive, scores)
    groups = [str(index) for index in range(40)] * 3
    thrice = auroc_covariance(np.tile(positive, 3), np.tile(scores, 3), groups)
    assert thrice[0] == pytest.approx(areas)
    assert thrice[1] == pytest.approx(covariance)
    shrunk = auroc_covariance(np.tile(positive, 3), np.tile(scores, 3))[1]
    assert (np.diag(shrunk) < np.diag(covariance) / 2).all()
    single = auroc_covariance(positive, scores, groups[:40])
    assert single[1] == pytest.approx(covariance)


def test_grouped_tests_keep_their_level_and_ungrouped_ones_do_not() -> None:
    """60 groups of 4 images, some of both classes: equal networks differ in 5 of 100 trials, as they should."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(60), 4)
    positive = (numbers < 20) | ((numbers < 40) & (np.arange(240) % 2 == 0))
    groups = [*map(str, numbers)]
    by_group, by_image = [], []
    for _ in range(400):
        scores = rng.normal(size=(2, 60))[:, numbers] + 0.5 * rng.normal(size=(2, 240)) + positive
        by_group.append(delong_test(positive, *scores, groups).p_value < 0.05)
        by_image.append(delong_test(positive, *scores).p_value < 0.05)
    assert 0.025 < np.mean(by_group) < 0.085
    assert np.mean(by_image) > 0.12


def test_networks_that_order_alike_are_equal() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    result = delong_test(np.arange(30) % 3 == 0, scores, np.exp(scores))
    assert (result.difference, result.p_value) == (0, 1)
    assert result.reason == "both networks rank the images alike"


def test_bounds_stay_within_0_and_1() -> None:
    positive = np.array([1, 1, 1, 0, 0, 0], bool)
    interval = delong_interval(positive, [0.9, 0.8, 0.4, 0.5, 0.2, 0.1])
    assert interval.estimate == pytest.approx(8 / 9)
    assert interval.high == 1
    perfect = delong_interval(positive, [0.9, 0.8, 0.7, 0.5, 0.2, 0.1])
    assert (perfect.low, perfect.high) == (1, 1)
    assert "variance is 0: an interval of width 0 does not mean certainty" in perfect.reason


def test_without_variance_there_is_no_p_value() -> None:
    """One network orders perfectly, the other gives every image the same: no pair tells of any spread."""
    result = delong_test([1, 1, 0, 0], [4, 3, 2, 1], [1, 1, 1, 1])
    assert result.difference == 0.5
    assert math.isnan(result.p_value)
    assert result.reason == "the estimated variance is 0"


@pytest.mark.parametrize(
    ("positive", "counts", "area"),
    [([0, 0, 0, 0], "0 and 4", math.nan), ([1, 1, 1, 1], "4 and 0", math.nan), ([1, 0, 0, 0], "1 and 3", 1.0)],
)
def test_too_few_images_of_a_class(positive: list[int], counts: str, area: float) -> None:
    reason = f"needs images of the class and of other classes from at least two groups each, received {counts}"
    interval = delong_interval(positive, [4, 3, 2, 1])
    assert interval.estimate == pytest.approx(area, nan_ok=True)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.reason == reason
    result = delong_test(positive, [4, 3, 2, 1], [4, 1, 2, 3])
    assert math.isnan(result.p_value)
    assert math.isnan(result.statistic)
    assert result.reason == reason


@pytest.mark.parametrize(
    ("positive", "scores", "match"),
    [
        ([1, 0, 1], [[0.1, 0.2]], r"shapes \(3,\) and \(1, 2\): expected \(N,\) and \(M, N\)"),
        ([1, 0], [0.1, 0.2], r"shapes \(2,\) and \(2,\): expected \(N,\) and \(M, N\)"),
        ([[1, 0]], [[0.1, 0.2]], r"shapes \(1, 2\) and \(1, 2\)"),
        ([1, 0], [[0.1, math.nan]], "a score is not a finite number: every image needs a finite score of each network"),
    ],
)
def test_wrong_input_is_refused(positive: list, scores: list, match: str) -> None:
    with pytest.raises(InputError, match=match):
        auroc_covariance(positive, scores)


def test_two_networks_of_other_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"received shapes \(2,\) and \(3,\): expected \(N,\) twice"):
        delong_test([1, 0], [0.1, 0.2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_are_shares(level: float) -> None:
    with pytest.raises(InputError, match=f"the confidence level is {level}: expected a number between 0 and 1"):
        delong_interval([1, 0, 1, 0], [1, 2, 3, 4], level)
