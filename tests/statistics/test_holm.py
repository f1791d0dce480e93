import math

import numpy as np
import pytest

from acsnet.statistics import holm


def test_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04, times 4, 3, 2, 1, and never below the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))


def test_at_most_one() -> None:
    assert holm([0.5, 0.9]) == (1, 1)


def test_tests_that_could_not_be_done_do_not_count() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)
    assert all(math.isnan(value) for value in holm([math.nan, math.nan]))
    assert holm([]) == ()


def test_the_same_are_rejected_as_step_by_step() -> None:
    """As Holm wrote it: the smallest against level / n, the next against level / (n - 1), until one stands."""
    p_values = np.random.default_rng(0).random(12) ** 4
    adjusted = np.array(holm(p_values.tolist()))
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for step, index in enumerate(np.argsort(p_values)):
            if p_values[index] > level / (12 - step):
                break
            rejected.add(index)
        assert rejected == set(np.flatnonzero(adjusted <= level))
        assert 0 < len(rejected) < 12
