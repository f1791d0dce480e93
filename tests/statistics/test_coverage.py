"""How often 95 % intervals of few groups cover the truth, by simulation.

Groups have 1 to 5 images that resemble each other (correlation 0.6), and 40 % of them are malignant. Only intervals
without a caveat count.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm

from acsnet._utils.typing import BoolArray, Float64Array, IndexArray
from acsnet.statistics.bootstrap import FEW_GROUPS, ClusterBootstrap
from acsnet.statistics.estimators import Estimator, auroc_of, mean_of

# What is asked of intervals of 10 groups or more, and of FEW_GROUPS or more.
COVERAGE, COVERAGE_OF_FEW = 0.92, 0.89


def dice(latent: Float64Array) -> Float64Array:
    """Skewed values in 0 to 1: 12 % are 0, the others 0.4 to 1."""
    rank = norm.cdf(latent)
    return np.where(rank < 0.12, 0.0, 1 - 0.6 * (1 - np.clip((rank - 0.12) / 0.88, 0, 1)) ** 1.5)


# Each: the estimator for latent values (N,) and malignant images (N,), and its true value.
SIMULATED: dict[str, tuple[Callable[[Float64Array, BoolArray], Estimator], float]] = {
    # The mean of 0.6 (1 - x) ** 1.5 over x in 0 to 1 is 0.24.
    "dice": (lambda latent, _: mean_of(dice(latent)), 0.88 * (1 - 0.24)),
    "accuracy": (lambda latent, _: mean_of(latent < norm.ppf(0.8)), 0.8),
    # Of two networks that are good on opposite images.
    "difference": (lambda latent, _: mean_of(dice(latent) - dice(-latent)), 0.0),
    "sensitivity": (lambda latent, malignant: mean_of(np.where(malignant, latent < norm.ppf(0.75), np.nan)), 0.75),
    "auroc": (lambda latent, malignant: auroc_of(malignant, latent + 1.5 * malignant), norm.cdf(1.5 / math.sqrt(2))),
}


@dataclass(frozen=True)
class Simulation:
    """Fractions of intervals that cover the truth, their number, and the ratio of their mean widths."""

    covered: float
    covered_by_plain: float
    intervals: int
    width: float

    def holds(self, coverage: float) -> bool:
        """Whether the covered fraction is not below this coverage by more than chance (1 % of the simulations)."""
        return self.covered >= coverage - norm.ppf(0.99) * math.sqrt(coverage * (1 - coverage) / self.intervals)


def group_numbers(groups: int) -> IndexArray:
    return np.repeat(np.arange(groups), np.arange(groups) % 5 + 1)


def simulate(metric: str, groups: int, trials: int, least: int = FEW_GROUPS) -> Simulation:
    """Simulate intervals that rest on at least ``least`` groups."""
    make, truth = SIMULATED[metric]
    numbers, rng = group_numbers(groups), np.random.default_rng(groups)
    bootstrap = ClusterBootstrap([*map(str, numbers)])
    bounds = []
    for _ in range(trials):
        own = rng.normal(size=len(numbers))
        latent = math.sqrt(0.6) * rng.normal(size=groups)[numbers] + math.sqrt(0.4) * own
        resampled = bootstrap.resample(make(latent, (rng.random(groups) < 0.4)[numbers]))
        interval = resampled.interval()
        if not interval.reason or interval.groups in range(least, FEW_GROUPS):
            plain = np.nanquantile(resampled.distribution, [0.025, 0.975])
            bounds.append((interval.low, interval.high, *plain))
    low, high, plain_low, plain_high = np.array(bounds).T
    return Simulation(
        covered=float(np.mean((low <= truth) & (truth <= high))),
        covered_by_plain=float(np.mean((plain_low <= truth) & (truth <= plain_high))),
        intervals=len(bounds),
        width=float((high - low).mean() / (plain_high - plain_low).mean()),
    )


@pytest.mark.parametrize(
    ("metric", "trials"), [("dice", 800), ("accuracy", 800), ("difference", 600), ("sensitivity", 800), ("auroc", 500)]
)
def test_intervals_of_ten_groups_cover_the_truth(metric: str, trials: int) -> None:
    simulation = simulate(metric, 10, trials)
    assert simulation.holds(COVERAGE)
    assert simulation.covered_by_plain < simulation.covered - 0.02


def test_fewer_groups_than_the_limit_cover_too_rarely() -> None:
    """The limit is where it has to be: without a caveat, intervals of 3 groups would be taken for reliable."""
    assert not simulate("dice", 3, 300, least=3).holds(COVERAGE_OF_FEW)


@pytest.mark.slow
@pytest.mark.parametrize("metric", SIMULATED)
@pytest.mark.parametrize("groups", [5, 8, 10, 15, 20, 40])
def test_intervals_of_any_number_of_groups_cover_the_truth(metric: str, groups: int) -> None:
    if metric == "auroc" and groups < 10:
        pytest.skip("hardly any draw has five groups of both classes")
    simulation = simulate(metric, groups, 2000)
    print(metric, groups, simulation)
    assert simulation.holds(COVERAGE if groups >= 10 else COVERAGE_OF_FEW)
    if metric in ("dice", "accuracy") and groups == 40:
        assert 1 < simulation.width < 1.06


@pytest.mark.slow
@pytest.mark.parametrize("groups", [3, 4])
def test_intervals_with_a_caveat_cover_too_rarely(groups: int) -> None:
    simulation = simulate("dice", groups, 2000, least=groups)
    print(groups, simulation)
    assert not simulation.holds(COVERAGE_OF_FEW)
