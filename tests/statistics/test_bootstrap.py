import itertools
import math

import numpy as np
import pytest
from scipy import stats

from acsnet.errors import InputError
from acsnet.statistics import bootstrap_mean
from acsnet.statistics.bootstrap import ClusterBootstrap
from acsnet.statistics.estimators import (
    Estimator,
    auroc_of,
    class_f1_of,
    estimator_of,
    macro_f1_of,
    mean_of,
    weighted_f1_of,
)


def alone(images: int) -> list[str]:
    return [str(index) for index in range(images)]


def test_independent_images_are_resampled_as_scipy_does() -> None:
    values = np.random.default_rng(0).beta(5, 2, size=60)
    ours = bootstrap_mean(values, alone(60), level=0.9, resamples=20_000)
    # The expanded percentiles of Hesterberg 2015.
    tail = stats.norm.cdf(stats.t.ppf(0.05, 59) * math.sqrt(60 / 59))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=1 - 2 * tail, method="percentile"
    ).confidence_interval
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)
    assert (ours.level, ours.resamples, ours.undefined, ours.groups, ours.reason) == (0.9, 20_000, 0, 60, "")


def test_whole_groups_are_drawn() -> None:
    """Three groups of 1, 2 and 3 images: the 27 draws give these means and no others, each as often as it should."""
    values, groups = np.array([1.0, 2, 4, 3, 5, 10]), ["a", "b", "b", "c", "c", "c"]
    members = {"a": [1.0], "b": [2.0, 4.0], "c": [3.0, 5.0, 10.0]}
    draws = [
        np.mean([value for name in drawn for value in members[name]]) for drawn in itertools.product("abc", repeat=3)
    ]
    found = ClusterBootstrap(groups, resamples=20_000).resample(mean_of(values)).distribution
    expected, times = np.unique(np.round(draws, 9), return_counts=True)
    seen, counts = np.unique(np.round(found, 9), return_counts=True)
    assert seen == pytest.approx(expected)
    assert counts / 20_000 == pytest.approx(times / 27, abs=0.015)


def test_the_order_of_images_and_the_names_of_groups_do_not_matter_to_the_estimate() -> None:
    values, groups = np.random.default_rng(0).random(30), [f"g{i // 3}" for i in range(30)]
    order = np.random.default_rng(1).permutation(30)
    first = bootstrap_mean(values, groups)
    second = bootstrap_mean(values[order], [groups[i] for i in order])
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_a_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert bootstrap_mean(values, alone(30), seed=3) == bootstrap_mean(values, alone(30), seed=3)
    assert bootstrap_mean(values, alone(30), seed=3).low != bootstrap_mean(values, alone(30), seed=4).low


def test_images_of_a_group_are_not_taken_for_independent() -> None:
    """40 groups of 6 images that resemble each other: the interval by groups covers the truth as it should; one that
    takes the 240 images for independent is far too narrow."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 6)
    by_group = by_image = 0
    for trial in range(300):
        values = rng.normal(size=40)[groups] + 0.5 * rng.normal(size=240)
        clustered = bootstrap_mean(values, [*map(str, groups)], resamples=400, seed=trial)
        naive = bootstrap_mean(values, alone(240), resamples=400, seed=trial)
        by_group += clustered.low <= 0 <= clustered.high
        by_image += naive.low <= 0 <= naive.high
    assert 0.90 < by_group / 300 < 0.98
    assert by_image / 300 < 0.75


def test_the_area_under_the_curve_of_groups() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 2)
    positive = groups < 25
    truth, covered = stats.norm.cdf(1 / math.sqrt(2 * 1.25)), 0
    for trial in range(200):
        scores = rng.normal(size=60)[groups] + 0.5 * rng.normal(size=120) + positive
        interval = ClusterBootstrap([*map(str, groups)], 400, trial).interval(auroc_of(positive, scores))
        covered += interval.low <= truth <= interval.high
    assert 0.90 < covered / 200 < 0.985


def test_the_difference_of_two_is_resampled_in_pairs() -> None:
    """Networks that differ by 0.05 on every image differ by exactly that in every resample."""
    values = np.random.default_rng(0).random(40)
    bootstrap = ClusterBootstrap(alone(40))
    first, second = bootstrap.resample(mean_of(values + 0.05)), bootstrap.resample(mean_of(values))
    interval = (first - second).interval()
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.05, 0.05, 0.05))
    assert first.interval().high - first.interval().low > 0.1


def test_many_images_are_resampled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_mean(values, alone(50), resamples=100)
    monkeypatch.setattr("acsnet.statistics.bootstrap._VALUES_PER_CHUNK", 350)
    assert bootstrap_mean(values, alone(50), resamples=100) == whole


def test_a_few_resamples_without_a_class_are_left_out_and_counted() -> None:
    positive = np.arange(40) < 5
    interval = ClusterBootstrap(alone(40)).interval(auroc_of(positive, np.random.default_rng(0).random(40)))
    assert 0 < interval.undefined < 0.05 * 2000
    assert interval.resamples + interval.undefined == 2000
    assert interval.low < interval.estimate < interval.high
    assert interval.reason == ""


def test_too_many_undefined_resamples_have_no_interval() -> None:
    scores = np.random.default_rng(0).random(40)
    interval = ClusterBootstrap(alone(40)).interval(auroc_of(np.arange(40) < 2, scores))
    assert 0 < interval.estimate < 1
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert f"undefined for {interval.undefined} of 2000 resamples: too few groups" in interval.reason
    # About exp(-2) of the resamples have neither of the two.
    assert 0.08 < interval.undefined / 2000 < 0.18


@pytest.mark.parametrize(
    ("values", "groups", "reason"),
    [
        ([math.nan, math.nan], ["a", "b"], "undefined for these images"),
        ([0.5, 0.6], ["a", "a"], "the images are of one group: there is nothing to resample"),
        ([0.5], ["a"], "the images are of one group: there is nothing to resample"),
        ([0.5, 0.7, math.nan], ["a", "a", "b"], "the images are of one group: there is nothing to resample"),
    ],
)
def test_undefined_values_are_nan_with_a_reason(values: list[float], groups: list[str], reason: str) -> None:
    interval = bootstrap_mean(values, groups)
    assert interval.estimate == pytest.approx(np.mean([x for x in values if x >= 0] or math.nan), nan_ok=True)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.reason == reason


def test_equal_values_do_not_mean_certainty() -> None:
    interval = bootstrap_mean([0.0] * 20, alone(20))
    assert (interval.low, interval.high) == (0, 0)
    assert "all resamples have the same value: an interval of width 0" in interval.reason


LABELS = ["a"] * 3 + ["b"] * 12
PREDICTED = ["a", "b", "a", "a"] + ["b"] * 11
ABSENT = np.where(np.array(LABELS) == "a", np.linspace(0, 1, 15), math.nan)


@pytest.mark.parametrize(
    ("estimator", "groups"),
    [
        (mean_of(np.linspace(0, 1, 15)), 15),
        (mean_of(ABSENT), 3),
        (auroc_of(np.array(LABELS) == "a", np.linspace(0, 1, 15) ** 2 % 0.3), 3),
        (auroc_of(np.array(LABELS) == "b", np.linspace(0, 1, 15) ** 2 % 0.3), 3),
        (class_f1_of(LABELS, PREDICTED, "a"), 3),
        (class_f1_of(LABELS, PREDICTED, "b"), 12),
        (macro_f1_of(LABELS, PREDICTED), 15),
        (weighted_f1_of(LABELS, PREDICTED), 15),
    ],
    ids=["all", "of a class", "auroc", "auroc of the others", "F1 of a", "F1 of b", "macro F1", "weighted F1"],
)
def test_a_metric_rests_on_the_groups_that_it_needs(estimator: Estimator, groups: int) -> None:
    """The percentiles are those for the groups with images that the metric needs, and few of them are a caveat."""
    resampled = ClusterBootstrap(alone(15), 4000).resample(estimator)
    interval = resampled.interval()
    assert interval.groups == resampled.groups == groups
    tail = stats.norm.cdf(stats.t.ppf(0.025, groups - 1) * math.sqrt(groups / (groups - 1)))
    defined = resampled.distribution[~np.isnan(resampled.distribution)]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(defined, [tail, 1 - tail]))
    few = "the images are of only 3 groups: the interval is unreliable, probably too narrow"
    assert interval.reason == (few if groups == 3 else "")


@pytest.mark.parametrize(("groups", "few"), [(2, True), (3, True), (4, True), (5, False), (6, False), (40, False)])
def test_few_groups_are_a_caveat(groups: int, few: bool) -> None:
    values = np.random.default_rng(0).random(3 * groups)
    numbers = [str(index // 3) for index in range(3 * groups)]
    interval = bootstrap_mean(values, numbers)
    assert interval.low < interval.estimate < interval.high
    assert interval.reason.startswith(f"the images are of only {groups} groups: ") == few
    bootstrap = ClusterBootstrap(numbers)
    one_class = np.where(np.arange(3 * groups) < 12, values, math.nan)
    difference = bootstrap.resample(mean_of(values)) - bootstrap.resample(mean_of(one_class))
    assert difference.groups == min(groups, 4)


def test_many_groups_have_plain_percentiles() -> None:
    values = np.random.default_rng(0).random(2000)
    resampled = ClusterBootstrap(alone(2000)).resample(mean_of(values))
    interval = resampled.interval()
    plain = np.quantile(resampled.distribution, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(plain, abs=0.01 * (interval.high - interval.low))


def test_any_metric_can_be_resampled() -> None:
    values = np.random.default_rng(0).random(30)
    interval = ClusterBootstrap(alone(30), 200).interval(estimator_of(lambda some: float(np.median(values[some]))))
    assert interval.low < interval.estimate == pytest.approx(np.median(values))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="received 0 images and 2000 resamples: expected at least one of each"):
        ClusterBootstrap([])
    with pytest.raises(InputError, match="received 1 images and 0 resamples"):
        ClusterBootstrap(["a"], resamples=0)
    with pytest.raises(InputError, match=r"values of shape \(2,\) and 3 groups: expected one of each per image"):
        bootstrap_mean([1, 2], ["a", "b", "c"])
    with pytest.raises(InputError, match=r"the confidence level is 95: expected .* between 0 and 1, such as 0\.95"):
        bootstrap_mean([1, 2], ["a", "b"], level=95)
