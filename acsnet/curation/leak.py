"""What a plain random split would leak."""

from collections import Counter
from collections.abc import Sequence

from acsnet.errors import InputError


def expected_leak(copies: Sequence[int], test_share: float) -> float:
    """The share of test images with a copy among the rest, on average over all plain random splits.

    Of an image with m - 1 copies among N, n of which are tested, all copies are tested too with probability
    ((n - 1) / (N - 1)) * ((n - 2) / (N - 2)) * ... (m - 1 factors); otherwise a copy is trained on.

    Args:
        copies: the number of each image's set of copies.
        test_share: between 0 and 1.

    Returns:
        0-1.

    Raises:
        InputError: for a share that leaves either part empty.
    """
    count = len(copies)
    tested = round(count * test_share)
    if not 0 < tested < count:
        raise InputError(f"test_share is {test_share} of {count} images: one part would be empty")
    total = 0.0
    for size in Counter(copies).values():
        together = 1.0
        for taken in range(1, size):
            together *= max(0, tested - taken) / (count - taken)
        total += size * (1 - together)
    return total / count
