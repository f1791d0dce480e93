"""Deterministic oversampling (Aumente-Maestro et al. 2025)."""

from collections import Counter
from collections.abc import Sequence


def oversample(labels: Sequence[str]) -> list[int]:
    """Repeat the images of small classes so that all classes are about equally frequent, with no randomness.

    Each image of a class with ``n`` of the training images stands ``round(largest / n)`` times in the result, where
    ``largest`` is the size of the largest class.

    Args:
        labels: the class of each image.

    Returns:
        Positions in ``labels``: each one its number of times, in rounds, so that no repetition follows at once.
    """
    counts = Counter(labels)
    largest = max(counts.values(), default=0)
    factors = {label: round(largest / count) for label, count in counts.items()}
    rounds = range(max(factors.values(), default=0))
    return [index for turn in rounds for index, label in enumerate(labels) if turn < factors[label]]
