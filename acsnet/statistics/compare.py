"""Comparison of networks: estimates with confidence intervals, and corrected paired tests."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.statistics.bootstrap import BootstrapInterval, ClusterBootstrap, Resampled
from acsnet.statistics.estimators import mean_of
from acsnet.statistics.folds import FoldSummary, summarize_folds
from acsnet.statistics.metrics import METRICS, Metric
from acsnet.statistics.paired import holm
from acsnet.statistics.pooling import check_comparable, pool_networks
from acsnet.statistics.results import PairedTest
from acsnet.statistics.runs import SELECTED_ON_TEST, RunResult


@dataclass(frozen=True)
class NetworkEstimates:
    """The metrics of one network.

    Attributes:
        name: the name of the network.
        runs: the number of pooled folds.
        estimates: the metrics of all images with intervals, by their names in :data:`METRICS`.
        folds: mean and standard deviation over folds of every metric, by its dotted name in ``metrics.json``.
    """

    name: str
    runs: int
    estimates: dict[str, BootstrapInterval]
    folds: dict[str, FoldSummary]


@dataclass(frozen=True)
class NetworkPair:
    """Two networks tested against each other in one metric.

    Attributes:
        first, second: their names.
        metric: the name of the metric in :data:`METRICS`.
        difference: first minus second, with its interval; not corrected for the number of pairs.
        test: the paired test.
        adjusted_p: its p-value after Holm's correction over all pairs in this metric; NaN if undefined.
    """

    first: str
    second: str
    metric: str
    difference: BootstrapInterval
    test: PairedTest
    adjusted_p: float


@dataclass(frozen=True)
class Comparison:
    """A comparison of networks on the same images.

    Attributes:
        networks: the metrics of each network.
        pairs: the paired tests, ordered by metric.
        reference: the network that the others are tested against, or None for all pairs.
        level: the confidence level of the intervals, 0-1.
        images: the number of images.
        groups: the number of groups of images.
        classes: the number of images of each class.
        notes: remarks that a reader needs to interpret the results.
    """

    networks: tuple[NetworkEstimates, ...]
    pairs: tuple[NetworkPair, ...]
    reference: str | None
    level: float
    images: int
    groups: int
    classes: dict[str, int]
    notes: tuple[str, ...]


def compare(
    runs: Sequence[RunResult],
    reference: str | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    allow_selected_on_test: bool = False,
) -> Comparison:
    """Compare networks that were tested on the same images.

    Runs of one name are folds of one network and are pooled. By default every pair of networks is tested. Testing only
    against the network with the best results would favor it, because it is best partly by chance. A reference that was
    chosen before the results were known needs fewer tests, so the correction is smaller. Each metric is a separate
    family of tests.

    Args:
        runs: the runs of all networks, in any order.
        reference: the network to test the others against; by default all pairs are tested.
        level: the confidence level of the intervals, between 0 and 1.
        resamples: the number of bootstrap resamples.
        seed: the seed of the resamples.
        allow_selected_on_test: compare networks whose epoch was selected on the test subset with others, although
            their metrics are too good; a note names them.

    Raises:
        InputError: without runs, or if the level or number of resamples is out of range.
        UnknownNameError: if the reference is not one of the networks.
        RunError: if the networks cannot be compared (:func:`check_comparable`), or the folds of one cannot be pooled.

    Example:
        Usually ``runs, problems = read_runs([Path("runs/unet/test"), Path("runs/acsnet/test")])``. Here the results of
        two networks without classes are given directly:

        >>> def make_result(name: str, dice: list[float]) -> RunResult:
        ...     images = tuple(("busi", f"benign ({index}).png") for index in range(len(dice)))
        ...     values = {"dice": np.array(dice), "iou": np.array(dice), "hd95": np.ones(len(dice))}
        ...     return RunResult(
        ...         name=name, folders=(), class_names=("benign",), subset="test", split_hashes=("1b36",),
        ...         dataset_hashes=("0777",), metrics=({},), provenance=({},), images=images,
        ...         labels=("benign",) * len(dice), groups=tuple(image for _, image in images), predicted=None,
        ...         probabilities=None, per_image=values,
        ...     )
        >>> unet = make_result("unet", [0.9, 0.8, 0.7, 0.9, 0.6, 0.8])
        >>> fpn = make_result("fpn", [0.7, 0.7, 0.6, 0.5, 0.5, 0.5])
        >>> pair = compare([unet, fpn]).pairs[0]
        >>> f"{pair.metric}: {pair.difference.estimate:.3f}, p = {pair.test.p_value:.3f}"
        'dice_lesion: 0.200, p = 0.031'
    """
    if not runs:
        raise InputError("there are no runs to compare: pass at least one result")
    networks = pool_networks(runs)
    by_name = {network.name: network for network in networks}
    if reference is not None:
        look_up("network", reference, by_name, "")
    check_comparable(networks, allow_selected_on_test)
    bootstrap = ClusterBootstrap(networks[0].groups, resamples, seed)
    resampled = {
        (network.name, key): _resample(bootstrap, network, metric)
        for network in networks
        for key, metric in METRICS.items()
    }
    pairs = _select_pairs(networks, reference)
    tested = [_test_pairs(pairs, key, metric, resampled, level) for key, metric in METRICS.items() if metric.test]
    return Comparison(
        networks=tuple(
            NetworkEstimates(
                name=network.name,
                runs=len(network.folders),
                estimates={key: resampled[network.name, key].interval(level) for key in METRICS},
                folds=summarize_folds(network.metrics),
            )
            for network in networks
        ),
        pairs=tuple(chain.from_iterable(tested)),
        reference=reference,
        level=level,
        images=len(networks[0].images),
        groups=len(set(networks[0].groups)),
        classes={label: networks[0].labels.count(label) for label in networks[0].class_names},
        notes=tuple(_notes(networks)),
    )


def paired_differences(
    first: RunResult,
    second: RunResult,
    metrics: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, BootstrapInterval]:
    """Compute the differences, first minus second, in some of :data:`METRICS`, with intervals but without tests.

    Args:
        first: the results of a network, pooled over its folds.
        second: those of another network, or of the same one evaluated in another way.
        metrics: names of :data:`METRICS`.
        level: the confidence level of the intervals, between 0 and 1.
        resamples: the number of bootstrap resamples.
        seed: the seed of the resamples.

    Raises:
        InputError: if the level or number of resamples is out of range.
        RunError: if the two cannot be compared (:func:`check_comparable`).
    """
    check_comparable([first, second])
    bootstrap = ClusterBootstrap(first.groups, resamples, seed)
    one, other = ({key: _resample(bootstrap, network, METRICS[key]) for key in metrics} for network in (first, second))
    return {key: (one[key] - other[key]).interval(level) for key in metrics}


def _select_pairs(networks: Sequence[RunResult], reference: str | None) -> list[tuple[RunResult, RunResult]]:
    if reference is None:
        return [*combinations(networks, 2)]
    others = [network for network in networks if network.name != reference]
    return [(other, network) for other in others for network in networks if network.name == reference]


def _resample(bootstrap: ClusterBootstrap, network: RunResult, metric: Metric) -> Resampled:
    reason = metric.why_missing(network)
    if reason:
        return replace(bootstrap.resample(mean_of(np.full(len(network.images), math.nan))), reason=reason)
    resampled = bootstrap.resample(metric.estimator(network))
    return replace(resampled, reason=f"needs {metric.needs}") if math.isnan(resampled.estimate) else resampled


def _test_pairs(
    pairs: Sequence[tuple[RunResult, RunResult]],
    key: str,
    metric: Metric,
    resampled: Mapping[tuple[str, str], Resampled],
    level: float,
) -> list[NetworkPair]:
    """Test every pair in one metric, and correct for the number of pairs."""
    tests = [_test(metric, first, second) for first, second in pairs]
    adjusted = holm([test.p_value for test in tests])
    return [
        NetworkPair(
            first=first.name,
            second=second.name,
            metric=key,
            difference=(resampled[first.name, key] - resampled[second.name, key]).interval(level),
            test=test,
            adjusted_p=p_value,
        )
        for (first, second), test, p_value in zip(pairs, tests, adjusted, strict=True)
    ]


def _test(metric: Metric, first: RunResult, second: RunResult) -> PairedTest:
    reason = metric.why_missing(first) or metric.why_missing(second)
    if reason or metric.test is None:
        return PairedTest(math.nan, math.nan, math.nan, 0, len(first.images), reason)
    return metric.test(first, second)


def _notes(networks: Sequence[RunResult]) -> Iterator[str]:
    first = networks[0]
    selected = [network.name for network in networks if network.selected_on_test]
    if selected:
        yield f"{', '.join(selected)}: {SELECTED_ON_TEST}, which makes the metrics too good"
    absent = [name for name in first.class_names if name not in first.labels]
    if absent:
        yield f"no image is {' or '.join(absent)}: metrics of the class are undefined, averages leave it out"
    sizes = Counter(first.groups)
    grouped = sum(size for size in sizes.values() if size > 1)
    if grouped:
        yield f"{grouped} of {len(first.images)} images share a group with another: intervals and tests account for it"
    pooled = [network.name for network in networks if len(network.folders) > 1]
    if pooled:
        yield f"folds are pooled ({', '.join(pooled)}): AUROC also ranks images of different folds"
