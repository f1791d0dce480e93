"""Mean and standard deviation of figures over the folds of a cross-validation."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acsnet.errors import InputError


@dataclass(frozen=True)
class FoldSummary:
    """One figure over folds.

    Attributes:
        mean: over the folds that have it; None where none has.
        deviation: the standard deviation of a fold (n - 1 in the denominator); None with less than two.
        folds: how many folds have the figure.
        undefined: how many do not.
        reason: why the deviation or the mean is None and which folds lack the figure; else "".
    """

    mean: float | None
    deviation: float | None
    folds: int
    undefined: int
    reason: str


def summarize_folds(metrics: Sequence[Mapping[str, Any]]) -> dict[str, FoldSummary]:
    """Average every number of the metrics of several folds.

    Args:
        metrics: one mapping a fold, as ``metrics.json`` holds it: numbers and None, in mappings of any depth. Lists,
            texts and truth values are left out. None, NaN and an entry that is not there are all undefined.

    Returns:
        The summary of each number by its dotted name, as ``segmentation.lesion.dice``, in order of first appearance.

    Raises:
        InputError: for no fold.
    """
    if not metrics:
        raise InputError("there is no fold to average: give the metrics of one at least")
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
    lacking = [str(fold) for fold, value in enumerate(values, start=1) if value is None]
    reasons = [f"undefined in fold {', '.join(lacking)} of {len(values)}"] if lacking else []
    if len(known) == 1:
        reasons.append("one fold has no standard deviation")
    return FoldSummary(
        mean=statistics.fmean(known) if known else None,
        deviation=statistics.stdev(known) if len(known) > 1 else None,
        folds=len(known),
        undefined=len(lacking),
        reason="; ".join(reasons),
    )
