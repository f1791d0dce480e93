"""How uncertain averaged probabilities are: the predictive entropy, 0 to 1.

It is that of Wang et al. 2019 (Neurocomputing 338) for views of an image, and of the mean of several networks alike.
"""

import math

import numpy as np
import numpy.typing as npt


def mask_entropy(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give the entropy in bits of each pixel being foreground, 0 (certain) to 1 (a probability of one half).

    Args:
        probability: (H, W) in 0..1.

    Returns:
        (H, W) float32.
    """
    # Interpolation may have left a value a little outside.
    foreground = np.clip(probability, 0, 1)
    return _information(foreground) + _information(1 - foreground)


def label_entropy(probabilities: npt.NDArray[np.float32]) -> float:
    """Give the entropy of class probabilities (K,) as a share of the greatest, log K: 0 to 1; 0 of one class."""
    if len(probabilities) == 1:
        return 0.0
    bits = float(_information(probabilities.astype(np.float64)).sum())
    return min(1.0, bits / math.log2(len(probabilities)))


def mean_mask_uncertainty(uncertainty: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> float:
    """Give the mean uncertainty (H, W) over a mask's pixels, or over the image where the mask is empty: 0 to 1."""
    return float((uncertainty[mask] if mask.any() else uncertainty).mean(dtype=np.float64))


def _information(p: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """-p * log2(p), which is 0 at 0."""
    return -p * np.log2(np.where(p > 0, p, 1))
