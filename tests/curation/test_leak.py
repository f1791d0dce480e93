from itertools import combinations

import pytest

from acsnet.curation.leak import expected_leak
from acsnet.errors import InputError


@pytest.mark.parametrize("copies", [[0, 0, 1, 2], [0, 0, 0, 1, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0] * 6])
@pytest.mark.parametrize("tested", [1, 2, 3])
def test_agrees_with_counting_every_split(copies: list[int], tested: int) -> None:
    count = len(copies)
    shares = []
    for test in combinations(range(count), tested):
        trained = {copies[index] for index in range(count) if index not in test}
        shares.append(sum(copies[index] in trained for index in test) / tested)
    assert expected_leak(copies, tested / count) == pytest.approx(sum(shares) / len(shares))


def test_no_copies_no_leak() -> None:
    assert expected_leak(range(100), 0.2) == 0


@pytest.mark.parametrize("share", [0.0, 1.0, 0.01])
def test_a_share_that_leaves_a_part_empty(share: float) -> None:
    with pytest.raises(InputError, match=r"test_share is .* of 10 images: one part would be empty"):
        expected_leak([0] * 10, share)
