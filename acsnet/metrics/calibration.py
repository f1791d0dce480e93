"""Metrics of the calibration of class probabilities."""

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.metrics._classes import check_probabilities


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Compute the Brier score (Brier 1950), from 0 (best) to 2.

    It is the squared error, summed over the classes and averaged over the images. With two classes it is twice the
    usual binary score, which sums over one class only. scikit-learn supports more than two classes since version 1.7.

    Args:
        labels: true class indices (N,).
        probabilities: class probabilities (N, K).

    Raises:
        InputError: if the shapes do not match, a label is out of range, or the probabilities of an image are not in
            0 to 1 with a sum of 1.

    Example:
        >>> from acsnet.metrics import brier_score
        >>> round(brier_score([0, 1], [[0.75, 0.25], [0.5, 0.5]]), 4)
        0.3125
    """
    truth, scores = check_probabilities(labels, probabilities)
    return float(np.mean(np.sum((scores - np.eye(scores.shape[1])[truth]) ** 2, axis=1)))


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15) -> float:
    """Compute the expected calibration error (Guo et al. 2017), from 0 (best) to 1.

    The images are assigned to bins of :func:`reliability_bins`. The error is the absolute difference between the
    accuracy and the mean probability of a bin, averaged over the bins with their numbers of images as weights.

    Args:
        labels: true class indices (N,).
        probabilities: class probabilities (N, K).
        bins: number of bins.

    Raises:
        InputError: if the shapes do not match, a label is out of range, the probabilities of an image are not in 0 to 1
            with a sum of 1, or the number of bins is below 1.

    Example:
        >>> from acsnet.metrics import expected_calibration_error
        >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.25, 0.75]])
        0.25
    """
    images, accuracy, confidence = reliability_bins(labels, probabilities, bins)
    filled = images > 0
    gaps = np.abs(accuracy[filled] - confidence[filled])
    return float((gaps * images[filled]).sum() / images.sum())


def reliability_bins(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute the values of a reliability diagram.

    Images are assigned to bins by the probability of the predicted class. The bins have the same width, and each
    includes its upper bound.

    Args:
        labels: true class indices (N,).
        probabilities: class probabilities (N, K).
        bins: number of bins.

    Returns:
        Three arrays (bins,): the number of images per bin, their accuracy and their mean probability. The last two are
        NaN for an empty bin.

    Raises:
        InputError: if the shapes do not match, a label is out of range, the probabilities of an image are not in 0 to 1
            with a sum of 1, or the number of bins is below 1.

    Example:
        >>> from acsnet.metrics import reliability_bins
        >>> probabilities = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
        >>> images, accuracy, mean_probability = reliability_bins([0, 1, 1], probabilities, bins=4)
        >>> images
        array([0, 0, 1, 2])
    """
    truth, scores = check_probabilities(labels, probabilities)
    if bins < 1:
        raise InputError(f"the number of bins is {bins}: expected at least 1")
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == truth
    upper_ends = np.linspace(0, 1, bins + 1)[1:]
    # Rounding errors can make a probability larger than 1; it belongs to the last bin.
    bin_of_image = np.minimum(np.searchsorted(upper_ends, confidence), bins - 1)
    images = np.bincount(bin_of_image, minlength=bins)
    sums = (np.bincount(bin_of_image, weights=values, minlength=bins) for values in (correct, confidence))
    accuracy, mean_confidence = (np.where(images > 0, total / np.maximum(images, 1), np.nan) for total in sums)
    return images, accuracy, mean_confidence
