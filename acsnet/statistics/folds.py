"""Mean and standard deviation of metrics over the folds of a cross-validation."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acsnet.errors import InputError

_NO_FOLDS = "there are no folds to average: pass the metrics of at least one fold"


@dataclass(frozen=True)
class FoldSummary:
    """One metric over folds.

    Attributes:
        mean: the mean over the folds in which it is defined; None without such a fold.
        deviation: the standard deviation (n - 1 in the denominator, n for metrics of publications); None with fewer
            than two such folds.
        folds: the number of folds in which it is defined.
        undefined: the number of other folds.
        reason: why the deviation or the mean is None, and in which folds the metric is undefined; otherwise "".
    """

    mean: float | None
    deviation: float | None
    folds: int
    undefined: int
    reason: str


def summarize_folds(metrics: Sequence[Mapping[str, Any]], *, population: bool = False) -> dict[str, FoldSummary]:
    """Average every metric over several folds.

    Args:
        metrics: one mapping per fold, as in ``metrics.json``: numbers and None in nested mappings. Lists, strings and
            booleans are skipped. None, NaN and missing entries are undefined.
        population: divide by n instead of n - 1 in the standard deviation.

    Returns:
        The summary of each metric by its dotted name, such as ``segmentation.lesion.dice``, in order of first
        appearance.

    Raises:
        InputError: if there are no folds.

    Example:
        >>> folds = [{"segmentation": {"dice": 0.7}}, {"segmentation": {"dice": 0.8}}]
        >>> summary = summarize_folds(folds)["segmentation.dice"]
        >>> f"{summary.mean:.2f} ± {summary.deviation:.2f}"
        '0.75 ± 0.07'
    """
    if not metrics:
        raise InputError(_NO_FOLDS)
    folds = [dict(_numbers(fold)) for fold in metrics]
    names = dict.fromkeys(name for fold in folds for name in fold)
    return {name: _summarize([fold.get(name) for fold in folds], population) for name in names}


def summarize_published(metrics: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, FoldSummary]]:
    """Average the metrics of publications over several folds, as the publications do.

    The standard deviation has n in its denominator: He et al. use NumPy's default, and Aumente-Maestro et al. take
    pandas' deviation (n - 1) of the folds together with their mean, which is the same number.

    Args:
        metrics: one mapping per fold, as in ``metrics.json``.

    Returns:
        Publication -> metric -> summary, of the publications that every fold has.

    Raises:
        InputError: if there are no folds.

    Example:
        >>> from acsnet.statistics import summarize_published
        >>> folds = [{"published": {"he2024": {"dice": 0.7}}}, {"published": {"he2024": {"dice": 0.8}}}]
        >>> summary = summarize_published(folds)["he2024"]["dice"]
        >>> f"{summary.mean:.2f} ± {summary.deviation:.2f}"
        '0.75 ± 0.05'
    """
    if not metrics:
        raise InputError(_NO_FOLDS)
    published = [fold.get("published") or {} for fold in metrics]
    shared = [name for name in published[0] if all(name in own for own in published)]
    return {name: summarize_folds([own[name] for own in published], population=True) for name in shared}


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            yield f"{prefix}{key}", None if value is None or np.isnan(value) else float(value)


def _summarize(values: Sequence[float | None], population: bool) -> FoldSummary:
    known = [value for value in values if value is not None]
    undefined = [str(fold) for fold, value in enumerate(values, start=1) if value is None]
    reasons = [f"undefined in fold {', '.join(undefined)} of {len(values)}"] if undefined else []
    if len(known) == 1:
        reasons.append("one fold has no standard deviation")
    deviation = statistics.pstdev if population else statistics.stdev
    return FoldSummary(
        mean=statistics.fmean(known) if known else None,
        deviation=deviation(known) if len(known) > 1 else None,
        folds=len(known),
        undefined=len(undefined),
        reason="; ".join(reasons),
    )
