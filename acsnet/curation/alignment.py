"""Laying one image over another that may show the same."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.curation.description import Description
from acsnet.curation.similarity import similarity_within
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.metrics import dice_score

# A feature's nearest neighbor counts where it is clearly nearer than the second nearest (Lowe 2004).
_RATIO = 0.85
_ENOUGH_MATCHES = 6
# RANSAC: how far a match may lie off, in pixels of the small pictures, and how often to try.
_TOLERANCE, _TRIALS = 4.0, 1000
# Scans are rescaled and stretched, but hardly more than this, and never sheared.
_LARGEST_SCALE, _LARGEST_STRETCH, _LARGEST_SHEAR = 5.0, 2.0, 0.1
_SMALLEST_OVERLAP = 0.05
# Correlation of two thumbnails from which the images may be one stretched; that of copies is above 0.95.
_ALIKE = 0.9

Transform = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """How the second of two images lies over the first.

    Attributes:
        transform: (2, 3) affine map of picture coordinates of the first to those of the second.
        similarity: structural similarity of what they share, 0-1.
        overlap: the share of the first and of the second that is seen in the other, 0-1.
        mask_dice: Dice of the masks where they overlap, 1 where both are empty; None where a mask is missing.
    """

    transform: Transform
    similarity: float
    overlap: tuple[float, float]
    mask_dice: float | None


def align(first: Description, second: Description) -> Alignment | None:
    """Find how the second image lies over the first, neither of them mirrored: the likeliest of several guesses.

    Guessed are the map that agrees with most of their matching features, and, where they look alike from afar, the
    stretch of one onto the other.

    Returns:
        None where they cannot be laid over each other.
    """
    guesses = [_match(first, second)]
    if first.thumbnail @ second.thumbnail >= _ALIKE:
        guesses.append(_stretch(first, second))
    alignments = [_measure(first, second, guess) for guess in guesses if guess is not None]
    return max((found for found in alignments if found), key=lambda found: found.similarity, default=None)


def lay_identical(first: Description, second: Description) -> Alignment:
    """How two images of identical pixels lie over each other; only their masks can differ."""
    seen = np.ones(first.picture.shape, np.bool_)
    return Alignment(np.eye(2, 3), 1.0, (1.0, 1.0), _mask_dice(first, second, np.eye(2, 3), seen))


def _stretch(first: Description, second: Description) -> Transform:
    height, width = (b / a for a, b in zip(first.picture.shape, second.picture.shape, strict=True))
    # Pixels are squares, their coordinates those of their centers.
    return np.array([[width, 0, (width - 1) / 2], [0, height, (height - 1) / 2]], np.float64)


def _match(first: Description, second: Description) -> Transform | None:
    if min(len(first.points), len(second.points)) < _ENOUGH_MATCHES:
        return None
    likeness = first.features.astype(np.float32) @ second.features.astype(np.float32).T / 255**2
    order = np.argpartition(-likeness, 1, axis=1)[:, :2]
    best_two = np.take_along_axis(likeness, order, axis=1)
    # Of unit vectors the squared distance is 2 - 2 * inner product.
    distances = 2 - 2 * np.minimum(best_two, 1)
    nearest = np.take_along_axis(order, distances.argmin(axis=1)[:, None], axis=1)[:, 0]
    clear = distances.min(axis=1) < _RATIO**2 * distances.max(axis=1)
    if clear.sum() < _ENOUGH_MATCHES:
        return None
    transform, _ = cv2.estimateAffine2D(
        first.points[clear],
        second.points[nearest[clear]],
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_TRIALS,
    )
    return transform if transform is not None and _is_plausible(transform[:, :2]) else None


def _is_plausible(linear: npt.NDArray[np.float64]) -> bool:
    if np.linalg.det(linear) <= 0:
        return False
    scales = np.linalg.norm(linear, axis=0)
    shear = abs(float(linear[:, 0] @ linear[:, 1])) / float(scales.prod())
    if scales.min() < 1 / _LARGEST_SCALE or scales.max() > _LARGEST_SCALE:
        return False
    return bool(scales.max() / scales.min() <= _LARGEST_STRETCH and shear <= _LARGEST_SHEAR)


def _measure(first: Description, second: Description, transform: Transform) -> Alignment | None:
    if np.linalg.det(transform[:, :2]) < 1:
        # The finer of the two is laid over the coarser, which cannot show what the other does.
        found = _lay(second, first, cv2.invertAffineTransform(transform))
        return found and replace(found, transform=transform, overlap=found.overlap[::-1])
    return _lay(first, second, transform)


def _lay(below: Description, above: Description, transform: Transform) -> Alignment | None:
    shape = below.picture.shape
    seen = _seen(above.picture.shape, transform, shape)
    back = cv2.invertAffineTransform(transform)
    overlap = float(seen.mean()), float(_seen(shape, back, above.picture.shape).mean())
    if min(overlap) < _SMALLEST_OVERLAP:
        return None
    similarity = similarity_within(below.picture, warp(above.picture, transform, shape), seen)
    return Alignment(transform, max(0.0, similarity), overlap, _mask_dice(below, above, transform, seen))


def warp(image: UInt8Array, transform: Transform, shape: tuple[int, ...]) -> UInt8Array:
    """Lay an image (h, w) over another of ``shape``; ``transform`` maps coordinates of the other to its own."""
    # OpenCV averages no areas when it warps: what shrinks is blurred before, lest it alias.
    shrinkage = abs(float(np.linalg.det(transform[:, :2]))) ** 0.5
    if shrinkage > 1.05:
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * (shrinkage**2 - 1) ** 0.5)
    return cv2.warpAffine(image, transform, shape[::-1], flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)


def _seen(shape: tuple[int, ...], transform: Transform, onto: tuple[int, ...]) -> BoolArray:
    """Where an image of ``shape`` lies once it is laid over one of shape ``onto``."""
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    return cv2.warpAffine(np.ones(shape, np.uint8), transform, onto[::-1], flags=flags) > 0


def _mask_dice(below: Description, above: Description, transform: Transform, seen: BoolArray) -> float | None:
    if below.mask is None or above.mask is None:
        return None
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    laid = cv2.warpAffine(above.mask.astype(np.uint8), transform, seen.shape[::-1], flags=flags) > 0
    return dice_score(laid, below.mask & seen)
