"""Speckle: scatterers, point-spread function, envelope and log compression of the phantom generator."""

from dataclasses import dataclass

import cv2
import numpy as np

from acsnet._utils.typing import Float32Array, Float64Array, Uint8Image

MIN_AMPLITUDE = 1e-6


@dataclass(frozen=True)
class PointSpread:
    """Point-spread function in baseband: separable, Gaussian along and across the beam.

    Attributes:
        axial: Standard deviation along the beam, in pixels.
        lateral: Standard deviation across the beam at the focus, in pixels.
        focus: Depth of the focus as a fraction of the height of the image, 0 to 1.
        widening: Width of the beam at the depth farthest from the focus over its width at the focus, >= 1.
    """

    axial: float
    lateral: float
    focus: float = 0.4
    widening: float = 1.8


def gaussian_kernel(sigma: float) -> Float64Array:
    """Return a Gaussian kernel (2 r + 1, 1) of sum 1, with r three standard deviations of ``sigma`` pixels."""
    return np.asarray(cv2.getGaussianKernel(2 * max(1, round(3 * sigma)) + 1, sigma), dtype=np.float64)


def speckle_envelope(
    amplitude: Float32Array,
    specular: Float32Array,
    spread: PointSpread,
    rng: np.random.Generator,
    looks: int = 1,
) -> Float32Array:
    """Return the echo envelope of tissue imaged by a point-spread function.

    Each pixel has a complex circular Gaussian scatterer, the limit of many scatterers per resolution cell, so that the
    speckle is fully developed. With ``specular`` zero and ``amplitude`` constant, one look has a Rayleigh envelope,
    whose mean is ``sqrt(pi / (4 - pi)) = 1.91`` times its standard deviation. The widening of the beam off the focus is
    a blend of a narrow and a wide lateral kernel by depth; it is normalized by its energy, so that brightness does not
    change.

    Args:
        amplitude: (H, W), root mean square amplitude of the diffuse scatterers, >= 0.
        specular: (H, W), amplitude of smooth reflectors, which add coherently (Rician statistics), >= 0.
        spread: Point-spread function.
        rng: Source of the scatterers.
        looks: Number of independent envelopes to average (spatial or frequency compounding), >= 1.

    Returns:
        (H, W) float32 envelope; its mean square is ``amplitude**2`` where the tissue is homogeneous and ``looks`` is 1.

    Sources:
        R. F. Wagner, S. W. Smith, J. M. Sandrik, H. Lopez, "Statistics of speckle in ultrasound B-scans", IEEE Trans.
        Sonics Ultrason. 30(3), 1983, 156-163. J. C. Bamber, R. J. Dickinson, "Ultrasonic B-scanning: a computer
        simulation", Phys. Med. Biol. 25(3), 1980, 463-479 (scatterers convolved with a separable pulse).
    """
    height, width = amplitude.shape
    axial, narrow = gaussian_kernel(spread.axial), gaussian_kernel(spread.lateral)
    wide = gaussian_kernel(spread.lateral * spread.widening)
    depth = np.linspace(0.0, 1.0, height)[:, None]
    share = np.abs(depth - spread.focus) / max(spread.focus, 1.0 - spread.focus)
    lateral_energy = np.sum(((1 - share) * _pad_to(narrow, len(wide)) + share * _pad_to(wide, len(wide))) ** 2, axis=1)
    # The real and the imaginary component each carry half of the power.
    scale = amplitude * np.sqrt(0.5 / (np.sum(axial**2) * lateral_energy))[:, None].astype(np.float32)
    blend = share.astype(np.float32)
    total = np.zeros((height, width), np.float32)
    for _ in range(looks):
        power = np.zeros((height, width), np.float32)
        for coherent in (specular, np.float32(0)):  # real component, imaginary component
            scatterers = rng.standard_normal((height, width), np.float32) * scale + coherent
            near = cv2.sepFilter2D(scatterers, -1, narrow, axial, borderType=cv2.BORDER_REFLECT)
            far = cv2.sepFilter2D(scatterers, -1, wide, axial, borderType=cv2.BORDER_REFLECT)
            near += blend * (far - near)
            power += near * near
        total += np.sqrt(power)
    return total / np.float32(looks)


def _pad_to(kernel: Float64Array, length: int) -> Float64Array:
    """Return a kernel (n, 1) as a row (length,), zero-padded on both sides."""
    return np.pad(kernel[:, 0], (length - len(kernel)) // 2)


def log_compress(envelope: Float32Array, gain_db: Float32Array | float, dynamic_range_db: float) -> Uint8Image:
    """Return the gray image: 255 at 0 dB and above, 0 at ``-dynamic_range_db`` and below.

    Args:
        envelope: Echo amplitude (H, W), >= 0; an amplitude of 1 is 0 dB.
        gain_db: Gain in decibels, one number or (H, W).
        dynamic_range_db: Decibels between black and white, > 0.
    """
    level = 20.0 * np.log10(np.maximum(envelope, np.float32(MIN_AMPLITUDE))) + gain_db
    gray = 255.0 * (1.0 + level / dynamic_range_db)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)
