import numpy as np
import pytest

from acsnet._utils.seeds import derived_seed


@pytest.mark.parametrize("seed", [0, 1, 42_948])
def test_small_seeds_are_as_they_were(seed: int) -> None:
    """So that runs of earlier versions of the package are resumed with the same numbers."""
    assert derived_seed(seed, 7, 100_003) == seed * 100_003 + 7
    assert derived_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, 42_949, 20_240_101, 2**32 - 1, 10**30])
def test_every_seed_is_one_of_numpy_also_with_the_number_of_a_process(seed: int) -> None:
    found = {derived_seed(seed, step, 100_003) for step in range(50)}
    assert len(found) == 50
    for value in found:
        np.random.RandomState(value)
        np.random.RandomState(value + 1023)
