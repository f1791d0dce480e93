"""Networks side by side: estimates with intervals, and corrected tests of each pair."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np

from acsnet._utils.naming import look_up
from acsnet.errors import InputError
from acsnet.statistics.bootstrap import BootstrapInterval, ClusterBootstrap, Resampled
from acsnet.statistics.folds import FoldSummary, summarize_folds
from acsnet.statistics.holm import holm
from acsnet.statistics.measures import MEASURES, Measure
from acsnet.statistics.pooling import check_comparable, pool_networks
from acsnet.statistics.results import PairedTest
from acsnet.statistics.runs import RunResult
from acsnet.statistics.statistic import mean_of


@dataclass(frozen=True)
class NetworkEstimates:
    """What one network reaches.

    Attributes:
        name: of the network.
        runs: how many folds are pooled.
        estimates: of all images, with intervals, by the names of :data:`MEASURES`.
        folds: mean and standard deviation over folds of every metric, by its dotted name in ``metrics.json``.
    """

    name: str
    runs: int
    estimates: dict[str, BootstrapInterval]
    folds: dict[str, FoldSummary]


@dataclass(frozen=True)
class NetworkPair:
    """Two networks tested against each other in one measure.

    Attributes:
        first, second: their names.
        measure: one of the names of :data:`MEASURES`.
        difference: first less second, with its interval; not corrected for the number of pairs.
        test: the paired test.
        adjusted_p: its p-value after Holm's correction over all pairs of this measure; NaN where it has none.
    """

    first: str
    second: str
    measure: str
    difference: BootstrapInterval
    test: PairedTest
    adjusted_p: float


@dataclass(frozen=True)
class Comparison:
    """Networks side by side on the same images.

    Attributes:
        networks: what each reaches.
        pairs: the tests, measure by measure.
        reference: the network that the others are tested against, or None for all pairs.
        level: of confidence of the intervals, 0-1.
        images: how many.
        groups: of how many groups.
        classes: how many images of each class.
        notes: what a reader must know.
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
) -> Comparison:
    """Compare networks tested on the same images; runs of one name are folds of one network, and pooled.

    By default every pair is tested. To test only against the network that turned out best would favor it: it is best
    partly by chance, on these very images. Name a reference that was chosen before the results were seen, and there are
    fewer tests to correct for. Each measure is a family of tests of its own.

    Args:
        runs: of one network or several, in any order.
        reference: the network to test the others against; by default all pairs are tested.
        level: of confidence of the intervals, 0-1, both excluded.
        resamples: of the groups of images, for the intervals.
        seed: of the resamples.

    Raises:
        InputError: for no run, or a level or number of resamples out of range.
        UnknownNameError: for a reference that is none of the networks.
        RunError: where the networks cannot be compared (:func:`check_comparable`), or the folds of one not be pooled.
    """
    if not runs:
        raise InputError("there is no run to compare: give the results of one at least")
    networks = pool_networks(runs)
    by_name = {network.name: network for network in networks}
    if reference is not None:
        look_up("network", reference, by_name, "")
    check_comparable(networks)
    bootstrap = ClusterBootstrap(networks[0].groups, resamples, seed)
    resampled = {
        (network.name, key): _resample(bootstrap, network, measure)
        for network in networks
        for key, measure in MEASURES.items()
    }
    pairs = _pairs(networks, reference)
    tested = [_test_pairs(pairs, key, measure, resampled, level) for key, measure in MEASURES.items() if measure.test]
    return Comparison(
        networks=tuple(
            NetworkEstimates(
                name=network.name,
                runs=len(network.folders),
                estimates={key: resampled[network.name, key].interval(level) for key in MEASURES},
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
    measures: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, BootstrapInterval]:
    """First less second in some of :data:`MEASURES`, of the same images, with intervals and without a test.

    Args:
        first, second: two networks, or two ways to use one, each pooled over its folds.
        measures: names of :data:`MEASURES`.
        level: of confidence of the intervals, 0-1, both excluded.
        resamples: of the groups of images.
        seed: of the resamples.

    Raises:
        InputError: for a level or number of resamples out of range.
        RunError: where the two cannot be compared (:func:`check_comparable`).
    """
    check_comparable([first, second])
    bootstrap = ClusterBootstrap(first.groups, resamples, seed)
    one, other = (
        {key: _resample(bootstrap, network, MEASURES[key]) for key in measures} for network in (first, second)
    )
    return {key: (one[key] - other[key]).interval(level) for key in measures}


def _pairs(networks: Sequence[RunResult], reference: str | None) -> list[tuple[RunResult, RunResult]]:
    if reference is None:
        return [*combinations(networks, 2)]
    others = [network for network in networks if network.name != reference]
    return [(other, network) for other in others for network in networks if network.name == reference]


def _resample(bootstrap: ClusterBootstrap, network: RunResult, measure: Measure) -> Resampled:
    reason = measure.missing(network)
    if reason:
        return replace(bootstrap.resample(mean_of(np.full(len(network.images), math.nan))), reason=reason)
    resampled = bootstrap.resample(measure.statistic(network))
    return replace(resampled, reason=f"needs {measure.needs}") if math.isnan(resampled.estimate) else resampled


def _test_pairs(
    pairs: Sequence[tuple[RunResult, RunResult]],
    key: str,
    measure: Measure,
    resampled: Mapping[tuple[str, str], Resampled],
    level: float,
) -> list[NetworkPair]:
    """Test every pair in one measure, and correct for their number."""
    tests = [_test(measure, first, second) for first, second in pairs]
    adjusted = holm([test.p_value for test in tests])
    return [
        NetworkPair(
            first=first.name,
            second=second.name,
            measure=key,
            difference=(resampled[first.name, key] - resampled[second.name, key]).interval(level),
            test=test,
            adjusted_p=p_value,
        )
        for (first, second), test, p_value in zip(pairs, tests, adjusted, strict=True)
    ]


def _test(measure: Measure, first: RunResult, second: RunResult) -> PairedTest:
    reason = measure.missing(first) or measure.missing(second)
    if reason or measure.test is None:
        return PairedTest(math.nan, math.nan, math.nan, 0, len(first.images), reason)
    return measure.test(first, second)


def _notes(networks: Sequence[RunResult]) -> Iterator[str]:
    first = networks[0]
    absent = [name for name in first.class_names if name not in first.labels]
    if absent:
        yield f"no image is {' or '.join(absent)}: what needs one is undefined or leaves the class out"
    sizes = Counter(first.groups)
    together = sum(size for size in sizes.values() if size > 1)
    if together:
        yield f"{together} of {len(first.images)} images share a group with another: intervals and tests allow for it"
    pooled = [network.name for network in networks if len(network.folders) > 1]
    if pooled:
        yield f"folds are pooled ({', '.join(pooled)}): AUROC also orders images of different folds"
