"""Mean and standard deviation of metrics over the folds of a cross-validation."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acsnet.errors import InputError


@dataclass(frozen=True)
class FoldSummary:
    """One metric over folds.

    Attributes:
        mean: the mean over the folds in which it is defined; None without such a fold.
        deviation: the standard deviation (n - 1 in the denominator); None with fewer than two such folds.
        folds: the number of folds in which it is defined.
        undefined: the number of other folds.
        reason: why the deviation or the mean is None, and in which folds the metric is undefined; otherwise "".
    """

    mean: float | None
    deviation: float | None
    folds: int
    undefined: int
    reason: str


def summarize_folds(metrics: Sequence[Mapping[str, Any]]) -> dict[str, FoldSummary]:
    """Average every metric over several folds.

    Args:
        metrics: one mapping per fold, as in ``metrics.json``: numbers and None in nested mappings. Lists, strings and
            booleans are skipped. None, NaN and missing entries are undefined.

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
        raise InputError("there are no folds to average: pass the metrics of at least one fold")
    folds = [dict(_numbers(fold)) for fold in metrics]
    names = dict.fromkeys(name for fold in folds for name in fold)
    return {name: _summarize([fold.get(name) for fold in folds]) for name in names}


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            yield f"{prefix}{key}", None if value is None or np.isnan(value) else float(value)


def _summarize(values: Sequence[float | None]) -> FoldSummary:
    known = [value for value in values if value is not None]
    undefined = [str(fold) for fold, value in enumerate(values, start=1) if value is None]
    reasons = [f"undefined in fold {', '.join(undefined)} of {len(values)}"] if undefined else []
    if len(known) == 1:
        reasons.append("one fold has no standard deviation")
    return FoldSummary(
        mean=statistics.fmean(known) if known else None,
        deviation=statistics.stdev(known) if len(known) > 1 else None,
        folds=len(known),
        undefined=len(undefined),
        reason="; ".join(reasons),
    )
