"""Correction of p-values for the number of tests."""

import math
from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust the p-values of one family of tests by Holm's method (1979), by statsmodels.

    Rejecting what is adjusted to at most 0.05 keeps the chance of even one wrong rejection in the family at most 5 %,
    however the tests depend on each other.

    Args:
        p_values: of the family; NaN stands for a test that could not be done: it stays NaN and does not count.
    """
    from statsmodels.stats.multitest import multipletests

    values = np.array(p_values, np.float64)
    done = ~np.isnan(values)
    adjusted = np.full(len(values), math.nan)
    if done.any():
        adjusted[done] = multipletests(values[done], method="holm")[1]
    return tuple(adjusted.tolist())
