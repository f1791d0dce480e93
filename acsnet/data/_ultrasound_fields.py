"""Fields for ultrasound augmentation, in decibels or as factors: speckle, depth gain and shadows."""

import math
from statistics import NormalDist

import cv2
import numpy as np

from acsnet._utils.typing import Float32Array, Float64Array
from acsnet.data.images import UInt8Array
from acsnet.errors import InputError
from acsnet.phantom.speckle import gaussian_kernel

# Decibels between black and white, about the default of scanners.
DYNAMIC_RANGE = 60.0
# Standard deviation of fully developed speckle's Rayleigh envelope as a multiple of its mean, 0.5227 (Burckhardt 1978).
RAYLEIGH_CONTRAST = math.sqrt(4 / math.pi - 1)
# Fraction of the height over which a shadow grows to its full loss; a sudden onset would look like a box.
_SHADOW_ONSET_HEIGHT = 0.15


def amplify(image: UInt8Array, decibels: Float32Array) -> UInt8Array:
    """Raise the echo amplitude: ``gray + decibels * 255 / DYNAMIC_RANGE``, rounded and clipped; black stays black.

    Args:
        image: (H, W) or (H, W, C) uint8.
        decibels: (H, W) or (H, 1).

    Raises:
        InputError: If the image is not uint8.
    """
    check_uint8(image, "ultrasound augmentation")
    channels = image.size // (image.shape[0] * image.shape[1])
    levels = np.ascontiguousarray(np.broadcast_to(decibels * np.float32(255 / DYNAMIC_RANGE), image.shape[:2]))
    raised = cv2.add(image, cv2.merge([levels] * channels), dtype=cv2.CV_8U)
    return raised.reshape(image.shape) * (image != 0)


def speckle(size: tuple[int, int], axial: float, lateral: float, rng: np.random.Generator) -> Float32Array:
    """Draw fully developed speckle with mean 1.

    Args:
        size: (height, width).
        axial: Standard deviation of the point spread along the beam, in pixels.
        lateral: Standard deviation across the beam, in pixels; also the lag at which the autocorrelation of the
            intensity is exp(-1/2).
        rng: Source of the scatterers.

    Returns:
        (H, W) float32 envelope.
    """
    along, across = _energy_kernel(axial), _energy_kernel(lateral)
    top, left = len(along) // 2, len(across) // 2
    shape = (2, size[0] + 2 * top, size[1] + 2 * left)
    # Looking up quantiles of the normal distribution by random bytes is ten times faster than drawing from it.
    drawn = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape)
    components = [
        cv2.sepFilter2D(cv2.LUT(field, _QUANTILES), -1, across, along)[top:-top, left:-left] for field in drawn
    ]
    # Real and imaginary components have variance 1 each: the mean of their modulus is sqrt(pi / 2).
    return cv2.magnitude(*components) * np.float32(math.sqrt(2 / math.pi))


def gain_curve(values: list[float], height: int) -> Float32Array:
    """Interpolate equally spaced values from the upper to the lower edge smoothly, within their range: (H, 1)."""
    rows = np.linspace(0, len(values) - 1, height)
    curve = np.interp(rows, np.arange(len(values)), values).astype(np.float32)[:, None]
    interval = height / (len(values) - 1)
    return cv2.GaussianBlur(curve, (1, 2 * math.ceil(interval / 2) + 1), interval / 4, borderType=cv2.BORDER_REPLICATE)


def shadow_profile(
    size: tuple[int, int], position: float, width: float, start: float, divergence: float
) -> Float32Array:
    """Return the profile of a shadow: (H, W) float32, 1 in its middle, 0 outside.

    Args:
        size: (height, width).
        position: Position of the central beam at the upper edge, 0 (left) to 1 (right).
        width: Width of the band at the upper edge, as a fraction of the image; it fades from its middle to its edges.
        start: Depth of the onset, as a fraction of the height.
        divergence: Spread of the beams: at the lower edge they are 1 + ``divergence`` times as far from the middle.
    """
    height, columns = size
    first = min(int(start * height), height - 1)
    depth = np.arange(first, height, dtype=np.float32) / height
    lateral = (np.arange(columns, dtype=np.float32) + 0.5) / columns - 0.5
    # Starting position of the beam through each pixel: beams run straight from a point above the image.
    beam = lateral / (1 + np.float32(divergence) * depth[:, None])
    distance = np.abs(beam - np.float32(position - 0.5))
    inside = np.clip(1 - distance * np.float32(2 / max(width, 1e-6)), 0, 1)
    profile = np.zeros(size, np.float32)
    onset = np.clip((depth - depth[0]) / _SHADOW_ONSET_HEIGHT, 0, 1)
    profile[first:] = _smooth_step(inside) * _smooth_step(onset)[:, None]
    return profile


def _smooth_step(x: Float32Array) -> Float32Array:
    """Map 0 to 0 and 1 to 1 with a slope of 0 at both."""
    return x * x * (3 - 2 * x)


def _energy_kernel(sigma: float) -> Float64Array:
    """Return a Gaussian kernel (2 r + 1, 1) whose squares sum to 1, so that white noise keeps its variance."""
    # OpenCV chooses a sigma of its own if it is 0.
    kernel = gaussian_kernel(max(sigma, 1e-3))
    return np.asarray(kernel / np.linalg.norm(kernel))


def _normal_quantiles() -> Float32Array:
    """Return the quantiles of the normal distribution at the centers of 256 equal bins, scaled to variance 1."""
    quantiles = np.array([NormalDist().inv_cdf((index + 0.5) / 256) for index in range(256)])
    return (quantiles / quantiles.std()).astype(np.float32)


_QUANTILES = _normal_quantiles()


def check_uint8(image: UInt8Array, transform: str) -> None:
    """Check that an image is uint8.

    Raises:
        InputError: If it is not; the message names the transform.
    """
    if image.dtype != np.uint8:
        raise InputError(
            f"{transform} takes uint8 images, received {image.dtype}: place it before transforms that change the type"
        )
