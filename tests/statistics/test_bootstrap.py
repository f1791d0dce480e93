import itertools
import math

import numpy as np
import pytest
from scipy import stats

from acsnet.errors import InputError
from acsnet.statistics import bootstrap_mean
from acsnet.statistics.bootstrap import ClusterBootstrap
from acsnet.statistics.estimators import auroc_of, estimator_of, mean_of


def alone(images: int) -> list[str]:
    return [str(index) for index in range(images)]


def test_independent_images_are_resampled_as_scipy_does() -> None:
    values = np.random.default_rng(0).beta(5, 2, size=60)
    ours = bootstrap_mean(values, alone(60), level=0.9, resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile"
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
    positive = np.arange(40) < 4
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
        ([0.5, 0.6], ["a", "a"], "all images are of one group: there is nothing to resample"),
        ([0.5], ["a"], "all images are of one group: there is nothing to resample"),
    ],
)
def test_undefined_values_are_nan_with_a_reason(values: list[float], groups: list[str], reason: str) -> None:
    interval = bootstrap_mean(values, groups)
    assert interval.estimate == pytest.approx(np.mean(values), nan_ok=True)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.reason == reason


def test_equal_values_do_not_mean_certainty() -> None:
    interval = bootstrap_mean([0.0] * 20, alone(20))
    assert (interval.low, interval.high) == (0, 0)
    assert "all resamples have the same value: an interval of width 0" in interval.reason


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
