"""Uncertainty of averaged probabilities: the predictive entropy, scaled to 0..1.

Source: Wang et al. 2019 (Neurocomputing 338) for test-time augmentation; the same formula is used for ensembles.
"""

import math

import numpy as np
import numpy.typing as npt


def mask_entropy(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the entropy of each pixel in bits, 0 (certain) to 1 (probability one half).

    Args:
        probability: (H, W) in 0..1.

    Returns:
        (H, W) float32.

    Example:
        >>> import numpy as np
        >>> from acsnet.inference.uncertainty import mask_entropy
        >>> mask_entropy(np.array([[0.5, 0.5]], np.float32)).tolist()
        [[1.0, 1.0]]
    """
    # Rounding errors of an interpolation can leave the range.
    foreground = np.clip(probability, 0, 1)
    return _information(foreground) + _information(1 - foreground)


def label_entropy(probabilities: npt.NDArray[np.float32]) -> float:
    """Return the entropy of class probabilities (K,) divided by its maximum log K, 0 to 1; 0 for a single class."""
    if len(probabilities) == 1:
        return 0.0
    bits = float(_information(probabilities.astype(np.float64)).sum())
    return min(1.0, bits / math.log2(len(probabilities)))


def mean_mask_uncertainty(uncertainty: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> float:
    """Return the mean uncertainty (H, W) over the foreground of a mask, or over the image if the mask is empty."""
    return float((uncertainty[mask] if mask.any() else uncertainty).mean(dtype=np.float64))


def _information(p: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return -p * log2(p), which is 0 at 0."""
    return -p * np.log2(np.where(p > 0, p, 1))
