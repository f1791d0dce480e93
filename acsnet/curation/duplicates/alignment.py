"""Alignment of two images that may show the same scan."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from acsnet.curation.duplicates.description import Description
from acsnet.curation.duplicates.similarity import similarity_within
from acsnet.data.images import BoolArray, UInt8Array
from acsnet.metrics import dice_score

# A match counts if the nearest neighbor of a feature is clearly nearer than the second nearest (Lowe 2004).
_MAX_DISTANCE_RATIO = 0.85
# An affine map has six unknowns, and each match fixes two: half of these matches are redundant.
_MIN_MATCHES = 6
_RANSAC_TOLERANCE_PIXELS = 4.0  # in the reduced images
_RANSAC_ITERATIONS = 1000
# Copies are rescaled and stretched, but hardly by more than this, and they are not sheared.
_MAX_SCALE = 5.0
_MAX_STRETCH = 2.0
_MAX_SHEAR = 0.1
# Below this share of either image, the shared area is too small to judge.
_MIN_OVERLAP = 0.05
# Correlation of the thumbnails at which one image may be the other one stretched; copies exceed 0.95.
_MIN_THUMBNAIL_CORRELATION = 0.9

Transform = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Position of the second of two images relative to the first.

    Attributes:
        transform: (2, 3) affine map from coordinates in the first reduced image to those in the second.
        similarity: structural similarity of the shared area, 0-1.
        overlap: shares of the first and of the second image that are visible in the other, 0-1.
        mask_dice: Dice of the masks in the shared area, 1 if both are empty; None if a mask is missing.
    """

    transform: Transform
    similarity: float
    overlap: tuple[float, float]
    mask_dice: float | None


def align(first: Description, second: Description) -> Alignment | None:
    """Align the second image to the first, without mirroring.

    Up to two maps are tried: the one that agrees with most matching features, and, if the thumbnails correlate, the
    stretch of one image to the other. The one with the higher similarity is returned.

    Returns:
        The alignment, or None if the images cannot be aligned.
    """
    transforms = [_match_features(first, second)]
    if first.thumbnail @ second.thumbnail >= _MIN_THUMBNAIL_CORRELATION:
        transforms.append(_stretch_to(first, second))
    alignments = [_evaluate(first, second, transform) for transform in transforms if transform is not None]
    return max(
        (alignment for alignment in alignments if alignment),
        key=lambda alignment: alignment.similarity,
        default=None,
    )


def align_identical(first: Description, second: Description) -> Alignment:
    """Return the alignment of two images with identical pixels; only their masks can differ."""
    whole_image = np.ones(first.reduced.shape, np.bool_)
    return Alignment(np.eye(2, 3), 1.0, (1.0, 1.0), _mask_dice(first, second, np.eye(2, 3), whole_image))


def _stretch_to(first: Description, second: Description) -> Transform:
    height, width = (b / a for a, b in zip(first.reduced.shape, second.reduced.shape, strict=True))
    # Coordinates are those of pixel centers, so pixel 0 starts at -0.5.
    return np.array([[width, 0, (width - 1) / 2], [0, height, (height - 1) / 2]], np.float64)


def _match_features(first: Description, second: Description) -> Transform | None:
    """Return the map that agrees with most feature matches, or None if there is no plausible one."""
    if min(len(first.points), len(second.points)) < _MIN_MATCHES:
        return None
    products = first.features.astype(np.float32) @ second.features.astype(np.float32).T / 255**2
    rows, nearest = np.arange(len(products)), products.argmax(axis=1)
    largest = products[rows, nearest]
    products[rows, nearest] = -np.inf
    # The squared distance of unit vectors is 2 - 2 * inner product.
    distances = 2 - 2 * np.minimum((largest, products.max(axis=1)), 1)
    distinct = distances[0] < _MAX_DISTANCE_RATIO**2 * distances[1]
    if distinct.sum() < _MIN_MATCHES:
        return None
    transform, _ = cv2.estimateAffine2D(
        first.points[distinct],
        second.points[nearest[distinct]],
        method=cv2.RANSAC,
        ransacReprojThreshold=_RANSAC_TOLERANCE_PIXELS,
        maxIters=_RANSAC_ITERATIONS,
    )
    return transform if transform is not None and _is_plausible(transform[:, :2]) else None


def _is_plausible(linear: npt.NDArray[np.float64]) -> bool:
    if np.linalg.det(linear) <= 0:
        return False
    scales = np.linalg.norm(linear, axis=0)
    shear = abs(float(linear[:, 0] @ linear[:, 1])) / float(scales.prod())
    if scales.min() < 1 / _MAX_SCALE or scales.max() > _MAX_SCALE:
        return False
    return bool(scales.max() / scales.min() <= _MAX_STRETCH and shear <= _MAX_SHEAR)


def _evaluate(first: Description, second: Description, transform: Transform) -> Alignment | None:
    """Compare the images at the resolution of the coarser one, which cannot show finer detail."""
    if np.linalg.det(transform[:, :2]) < 1:
        alignment = _evaluate_onto(second, first, cv2.invertAffineTransform(transform))
        return alignment and replace(alignment, transform=transform, overlap=alignment.overlap[::-1])
    return _evaluate_onto(first, second, transform)


def _evaluate_onto(fixed: Description, moving: Description, transform: Transform) -> Alignment | None:
    """Warp ``moving`` onto ``fixed`` and compare the two."""
    fixed_shape, moving_shape = fixed.reduced.shape, moving.reduced.shape
    shared = _shared_area(moving_shape, transform, fixed_shape)
    shared_in_moving = _shared_area(fixed_shape, cv2.invertAffineTransform(transform), moving_shape)
    overlap = float(shared.mean()), float(shared_in_moving.mean())
    if min(overlap) < _MIN_OVERLAP:
        return None
    similarity = similarity_within(fixed.reduced, warp(moving.reduced, transform, fixed_shape), shared)
    return Alignment(transform, max(0.0, similarity), overlap, _mask_dice(fixed, moving, transform, shared))


def warp(image: UInt8Array, transform: Transform, shape: tuple[int, ...]) -> UInt8Array:
    """Warp an image (h, w) onto another image of the given shape.

    Args:
        image: the image to warp.
        transform: (2, 3) affine map from coordinates in the other image to those in ``image``.
        shape: (height, width) of the other image.
    """
    # OpenCV does not average areas when it warps; an image that shrinks is blurred first to prevent aliasing.
    shrinkage = abs(float(np.linalg.det(transform[:, :2]))) ** 0.5
    if shrinkage > 1.05:
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * (shrinkage**2 - 1) ** 0.5)
    return cv2.warpAffine(image, transform, shape[::-1], flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)


def _shared_area(moving_shape: tuple[int, ...], transform: Transform, fixed_shape: tuple[int, ...]) -> BoolArray:
    """Return the area of the fixed image that the warped moving image covers."""
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    return cv2.warpAffine(np.ones(moving_shape, np.uint8), transform, fixed_shape[::-1], flags=flags) > 0


def _mask_dice(fixed: Description, moving: Description, transform: Transform, shared: BoolArray) -> float | None:
    if fixed.mask is None or moving.mask is None:
        return None
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    warped_mask = cv2.warpAffine(moving.mask.astype(np.uint8), transform, shared.shape[::-1], flags=flags) > 0
    return dice_score(warped_mask, fixed.mask & shared)
