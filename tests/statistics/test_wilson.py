import math

import pytest

from acsnet.errors import InputError
from acsnet.statistics import wilson_interval


def test_the_formula() -> None:
    """Wilson 1927: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)."""
    z, n, p = 1.959963984540054, 20, 0.9
    center, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = wilson_interval(18, 20)
    assert interval.estimate == p
    assert interval.low == pytest.approx((center - spread) / (1 + z * z / n))
    assert interval.high == pytest.approx((center + spread) / (1 + z * z / n))


def test_all_none_and_no_images() -> None:
    assert wilson_interval(5, 5).high == pytest.approx(1)
    assert 0.5 < wilson_interval(5, 5).low < 0.6
    assert wilson_interval(0, 5).low == pytest.approx(0)
    nothing = wilson_interval(0, 0)
    assert math.isnan(nothing.estimate)
    assert nothing.reason == "no such images"


@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_impossible_numbers(successes: int, n: int, level: float) -> None:
    with pytest.raises(InputError, match=f"received {successes} of {n} images and the level {level}: expected 0 to"):
        wilson_interval(successes, n, level)
