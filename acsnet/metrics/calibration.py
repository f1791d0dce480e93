"""How far predicted probabilities can be believed."""

import numpy as np
import numpy.typing as npt

from acsnet.errors import InputError
from acsnet.metrics._classes import check_probabilities


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Give the Brier score (Brier 1950) of class probabilities (N, K) for true class indices (N,): 0 (best) to 2.

    It is the squared error summed over the classes, then averaged over the images; with two classes it is twice the
    figure that counts one of them. scikit-learn has it for more than two classes from version 1.7 on.

    Raises:
        InputError: shapes do not fit, a label is out of range, or the probabilities of an image are not in 0 to 1 with
            sum 1.
    """
    truth, scores = check_probabilities(labels, probabilities)
    return float(np.mean(np.sum((scores - np.eye(scores.shape[1])[truth]) ** 2, axis=1)))


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15) -> float:
    """Give the expected calibration error (Guo et al. 2017) of class probabilities (N, K) for indices (N,): 0 to 1.

    The images are sorted into bins of equal width, each with its upper end, by the probability of the class that is
    predicted. The error is the difference between accuracy and mean probability of a bin, averaged over the bins by
    their number of images; 0 is best.

    Raises:
        InputError: shapes do not fit, a label is out of range, the probabilities of an image are not in 0 to 1 with
            sum 1, or there is no bin.
    """
    images, accuracy, confidence = reliability_bins(labels, probabilities, bins)
    filled = images > 0
    gaps = np.abs(accuracy[filled] - confidence[filled])
    return float((gaps * images[filled]).sum() / images.sum())


def reliability_bins(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 15
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give what a reliability diagram shows of class probabilities (N, K) for true class indices (N,).

    Bins are of equal width, each with its upper end, by the probability of the class that is predicted.

    Returns:
        Of each bin the number of images, their accuracy and their mean probability, (bins,) each; NaN of an empty bin.

    Raises:
        InputError: shapes do not fit, a label is out of range, the probabilities of an image are not in 0 to 1 with
            sum 1, or there is no bin.
    """
    truth, scores = check_probabilities(labels, probabilities)
    if bins < 1:
        raise InputError(f"{bins} bins: expected 1 or more")
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == truth
    upper_ends = np.linspace(0, 1, bins + 1)[1:]
    # Probabilities that sum to a little more than 1 belong to the last bin.
    bin_of_image = np.minimum(np.searchsorted(upper_ends, confidence), bins - 1)
    images = np.bincount(bin_of_image, minlength=bins)
    sums = (np.bincount(bin_of_image, weights=values, minlength=bins) for values in (correct, confidence))
    accuracy, mean_confidence = (np.where(images > 0, total / np.maximum(images, 1), np.nan) for total in sums)
    return images, accuracy, mean_confidence
