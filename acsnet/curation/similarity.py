"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Transactions on Image Processing 13, 600-612)."""

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# The publication's: an 11x11 Gaussian window of standard deviation 1.5, and constants that keep the ratio from 0 / 0.
_WINDOW, _SIGMA = (11, 11), 1.5
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Below it, in gray levels, a window is flat: black borders are alike in every image and say nothing.
_FLAT = 3.0


def structural_similarity(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """Mean structural similarity of two gray images (H, W) of one size, at most 1, which only equal images reach."""
    return float(_maps(first.astype(np.float32), second.astype(np.float32))[0].mean())


def similarity_within(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], area: npt.NDArray[np.bool_]
) -> float:
    """Mean structural similarity of what two gray images show in an area, whatever their brightness and contrast.

    The second image is given the first one's distribution of gray values within the area, and windows that are flat in
    both images are left out.

    Args:
        first, second: (H, W), gray.
        area: (H, W), where to compare.

    Returns:
        At most 1; 0 where a tenth of the area or less has any structure.
    """
    if not area.any():
        return 0.0
    tones = _same_tones(first[area], second[area])
    similarity, deviation = _maps(first.astype(np.float32), tones[second])
    structured = area & (deviation > _FLAT)
    if structured.sum() <= 0.1 * area.sum():
        return 0.0
    return float(similarity[structured].mean())


def _same_tones(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> FloatArray:
    """The gray value (256,) that each of the second's becomes, so that as many lie below it as in the first."""
    below_1, below_2 = (np.cumsum(np.bincount(values, minlength=256)) / len(values) for values in (first, second))
    return np.searchsorted(below_1, below_2).clip(0, 255).astype(np.float32)


def _maps(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The similarity at each pixel, and the larger of the two standard deviations in its window."""
    mean_1, mean_2 = _blur(first), _blur(second)
    # Rounding may bring the variance of a flat window below 0.
    variance_1 = np.maximum(_blur(first * first) - mean_1 * mean_1, 0)
    variance_2 = np.maximum(_blur(second * second) - mean_2 * mean_2, 0)
    covariance = _blur(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _LUMINANCE) / (mean_1**2 + mean_2**2 + _LUMINANCE)
    structure = (2 * covariance + _CONTRAST) / (variance_1 + variance_2 + _CONTRAST)
    deviation = np.sqrt(np.maximum(variance_1, variance_2))
    return (luminance * structure).astype(np.float32), deviation.astype(np.float32)


def _blur(values: FloatArray) -> FloatArray:
    return cv2.GaussianBlur(values, _WINDOW, _SIGMA)
