import math

import numpy as np
import pytest

from acsnet.evaluation.statistics import holm


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


def test_few_families_have_a_wrong_rejection() -> None:
    rng = np.random.default_rng(0)
    families = rng.random((2000, 10))
    wrong = np.mean([min(holm(family)) < 0.05 for family in families[:600]])
    assert 0.03 < wrong < 0.075
    assert np.mean(families.min(axis=1) < 0.05) > 0.35, "without the correction, four families in ten have"
