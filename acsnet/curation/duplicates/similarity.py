"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Transactions on Image Processing 13, 600-612)."""

import cv2
import numpy as np

from acsnet.curation.duplicates.description import Float32Array
from acsnet.data.images import BoolArray, UInt8Array

# The values of the paper: an 11x11 Gaussian window of standard deviation 1.5 pixels, and the constants C1 and C2 that
# stabilize the quotients.
_WINDOW_PIXELS = (11, 11)
_WINDOW_SIGMA_PIXELS = 1.5
_LUMINANCE_CONSTANT = (0.01 * 255) ** 2
_CONTRAST_CONSTANT = (0.03 * 255) ** 2
# Windows with less variation are flat: black margins are alike in all images and carry no information.
_FLAT_WINDOW_GRAY_LEVELS = 3.0
# With a smaller structured share the remaining windows are too few for a mean.
_MIN_STRUCTURED_SHARE = 0.1


def structural_similarity(first: UInt8Array, second: UInt8Array) -> float:
    """Compute the mean structural similarity of two gray images (H, W) of one size.

    Returns:
        At most 1; only equal images reach 1.

    Example:
        >>> image = np.arange(400, dtype=np.uint8).reshape(20, 20)
        >>> round(structural_similarity(image, image), 3)
        1.0
    """
    return float(_similarity_and_deviation(first.astype(np.float32), second.astype(np.float32))[0].mean())


def similarity_within(first: UInt8Array, second: UInt8Array, area: BoolArray) -> float:
    """Compute the mean structural similarity of two gray images within an area, independent of brightness and contrast.

    The gray values of the second image are first matched to the distribution of the first within the area. Windows that
    are flat in both images are ignored.

    Args:
        first: gray image (H, W).
        second: gray image (H, W).
        area: (H, W), True for the pixels to compare.

    Returns:
        At most 1; 0 if a tenth of the area or less has any structure.
    """
    if not area.any():
        return 0.0
    matched_tones = _match_tones(first[area], second[area])
    similarity, deviation = _similarity_and_deviation(first.astype(np.float32), matched_tones[second])
    structured = area & (deviation > _FLAT_WINDOW_GRAY_LEVELS)
    if structured.sum() <= _MIN_STRUCTURED_SHARE * area.sum():
        return 0.0
    return float(similarity[structured].mean())


def _match_tones(first: UInt8Array, second: UInt8Array) -> Float32Array:
    """Return a lookup table (256,) that maps the histogram of the second image to that of the first."""
    cumulative_1, cumulative_2 = (
        np.cumsum(np.bincount(values, minlength=256)) / len(values) for values in (first, second)
    )
    return np.searchsorted(cumulative_1, cumulative_2).clip(0, 255).astype(np.float32)


def _similarity_and_deviation(first: Float32Array, second: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the similarity per pixel, and the larger of the two standard deviations within the window."""
    mean_1, mean_2 = _blur(first), _blur(second)
    # Rounding may make the variance of a flat window negative.
    variance_1 = np.maximum(_blur(first * first) - mean_1 * mean_1, 0)
    variance_2 = np.maximum(_blur(second * second) - mean_2 * mean_2, 0)
    covariance = _blur(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _LUMINANCE_CONSTANT) / (mean_1**2 + mean_2**2 + _LUMINANCE_CONSTANT)
    structure = (2 * covariance + _CONTRAST_CONSTANT) / (variance_1 + variance_2 + _CONTRAST_CONSTANT)
    deviation = np.sqrt(np.maximum(variance_1, variance_2))
    return (luminance * structure).astype(np.float32), deviation.astype(np.float32)


def _blur(values: Float32Array) -> Float32Array:
    return cv2.GaussianBlur(values, _WINDOW_PIXELS, _WINDOW_SIGMA_PIXELS)
